/** How a directory lies over MDTs (guide 13 §12): the LMV EA that a server sends, and what a user asks for. */
import type { Fid } from '../fid/fid.ts';
import { LustreError, ProtocolError } from '../runtime/errors.ts';
import { LuFid } from '../wire/fid-structs.ts';
import { LmvConstant as L } from '../wire/layout-constants.ts';
import { LmvMdsMdV1, LmvUserMdV1 } from '../wire/layout-structs.ts';
import { shardOfName } from './shard-hash.ts';

/** A striped directory: its names lie in shards, each a directory of its own on some MDT. */
export interface DirectoryLayout {
  readonly shards: readonly Fid[];
  /** Index of the MDT of the directory itself. */
  readonly master: number;
  /** hash type and LMV_HASH_FLAG_* */
  readonly hashType: number;
  readonly migrateOffset: number;
  readonly migrateHash: number;
}

/** Where a name is, or will be made, and where else it may still be while the directory is being changed. */
export interface NamePlace {
  readonly shard: number;
  readonly old: number | undefined;
}

export const directoryHashes = {
  all_char: L.LMV_HASH_TYPE_ALL_CHARS,
  fnv_1a_64: L.LMV_HASH_TYPE_FNV_1A_64,
  crush: L.LMV_HASH_TYPE_CRUSH,
  crush2: L.LMV_HASH_TYPE_CRUSH2,
} as const;
export type DirectoryHash = keyof typeof directoryHashes;

/** Where a new directory goes, or those made in it by default. What is left out is for the server to choose. */
export interface DirectoryStriping {
  /** MDTs to spread the names over; 1: none but one. */
  readonly mdtCount?: number;
  /** Index of the first MDT; -1 for any. */
  readonly mdtIndex?: number;
  readonly hash?: DirectoryHash;
  /** In a default: how many levels inherit it. */
  readonly maxInherit?: number;
}

/** Reads an LMV EA; undefined for a directory that is not striped. Throws EPROTO when it is malformed, ENODATA for a foreign one. */
export function decodeDirectoryLayout(ea: Uint8Array): DirectoryLayout | undefined {
  if (ea.length < 4) return undefined;
  const magic = new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(0, true);
  // A shard has its directory's numbers under a magic of its own: its names lie in itself.
  if (magic === 0 || magic === L.LMV_MAGIC_STRIPE) return undefined;
  if (magic === L.LMV_MAGIC_FOREIGN)
    throw new LustreError('ENODATA', 'the directory is foreign: its content is elsewhere', {}, -61);
  if (magic !== L.LMV_MAGIC_V1) throw bad(`has the magic 0x${magic.toString(16)}`);
  if (ea.length < LmvMdsMdV1.size) throw bad(`has ${ea.length} bytes`);
  const md = LmvMdsMdV1.decode(ea);
  const count = md.lmv_stripe_count;
  if (count === 0) return undefined;
  if (count > L.LMV_MAX_STRIPE_COUNT || ea.length < LmvMdsMdV1.size + count * LuFid.size)
    throw bad(`claims ${count} shards in ${ea.length} bytes`);
  const changing = (md.lmv_hash_type & L.LMV_HASH_FLAG_LAYOUT_CHANGE) !== 0;
  if (changing && (md.lmv_migrate_offset === 0 || md.lmv_migrate_offset > count))
    throw bad(`changes from ${md.lmv_migrate_offset} of ${count} shards`);
  return {
    shards: Array.from({ length: count }, (_, i) => LuFid.decode(ea, LmvMdsMdV1.size + i * LuFid.size)),
    master: md.lmv_master_mdt_index,
    hashType: md.lmv_hash_type,
    migrateOffset: md.lmv_migrate_offset,
    migrateHash: md.lmv_migrate_hash,
  };
}

/** Throws EBADFD for a hash that we do not know: any shard might hold the name. */
export function placeOfName(layout: DirectoryLayout, name: string): NamePlace {
  const { shards, hashType, migrateHash, migrateOffset } = layout;
  const count = shards.length;
  const all = [hashType, count, 0] as const;
  let now: readonly [number, number, number] = all;
  let before: readonly [number, number, number] | undefined;
  const has = (flag: number): boolean => (hashType & flag) !== 0;
  if (has(L.LMV_HASH_FLAG_SPLIT)) before = [migrateHash, migrateOffset, 0];
  else if (has(L.LMV_HASH_FLAG_MERGE)) {
    now = [migrateHash, migrateOffset, 0];
    before = all;
  } else if (has(L.LMV_HASH_FLAG_MIGRATION)) {
    now = [hashType, migrateOffset, 0];
    before = [migrateHash, count - migrateOffset, migrateOffset];
  }
  const shard = at(now, name);
  const old = before === undefined || before[1] <= 0 ? undefined : at(before, name);
  return { shard, old: old === shard ? undefined : old };
}

function at([hash, count, offset]: readonly [number, number, number], name: string): number {
  const shard = shardOfName(hash & L.LMV_HASH_TYPE_MASK, count, name);
  if (shard === undefined)
    throw new LustreError(
      'EBADFD',
      `the directory's names are spread by the unknown hash ${hash & L.LMV_HASH_TYPE_MASK}`,
      { hint: 'The servers are newer than this client' },
      -77,
    );
  return shard + offset;
}

/** `lmv_user_md` for these wishes. Throws EINVAL for values that no server takes. */
export function encodeDirectoryStriping(wish: DirectoryStriping): Uint8Array {
  const { mdtCount = 0, mdtIndex = -1, hash, maxInherit = 0 } = wish;
  const number = (value: number, name: string, low: number, high: number): number => {
    if (Number.isInteger(value) && value >= low && value <= high) return value;
    throw new LustreError('EINVAL', `${name} ${value} is not from ${low} to ${high}`, {}, -22);
  };
  return LmvUserMdV1.encode({
    lum_magic: L.LMV_USER_MAGIC,
    lum_stripe_count: number(mdtCount, 'mdtCount', -1, L.LMV_MAX_STRIPE_COUNT) >>> 0,
    lum_stripe_offset: number(mdtIndex, 'mdtIndex', -1, 0xffff) >>> 0,
    lum_hash_type: hash === undefined ? 0 : directoryHashes[hash],
    lum_max_inherit: number(maxInherit, 'maxInherit', 0, 255),
  });
}

/** Reads a default layout of directories, as a server sends it; undefined where there is none. */
export function decodeDirectoryDefault(ea: Uint8Array): DirectoryStriping | undefined {
  if (ea.length < LmvUserMdV1.size) return undefined;
  const md = LmvUserMdV1.decode(ea);
  if (md.lum_magic !== L.LMV_USER_MAGIC) return undefined;
  const hash = (Object.keys(directoryHashes) as DirectoryHash[]).find(
    (name) => directoryHashes[name] === (md.lum_hash_type & L.LMV_HASH_TYPE_MASK),
  );
  return {
    mdtCount: md.lum_stripe_count | 0,
    mdtIndex: md.lum_stripe_offset | 0,
    maxInherit: md.lum_max_inherit,
    ...(hash !== undefined && { hash }),
  };
}

const bad = (what: string): ProtocolError => new ProtocolError('EPROTO', `the layout of a directory ${what}`);
