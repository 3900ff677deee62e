/** Attributes of an object out of an mdt_body, merged with what the data objects say (guide 11 §1 to §3). */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { inodeNumber } from '../../fid/inode.ts';
import { type FileLayout, isFileReleased } from '../../layout/file-layout.ts';
import type { FileMap } from '../../layout/file-map.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import type { Attributes } from '../engine.ts';
import type { ObjectAttributes } from '../osc/known-objects.ts';
import type { KnownAttributes } from './known-attributes.ts';

export const S_IFMT = 0o170000;
export const S_IFREG = 0o100000;
export const S_IFDIR = 0o040000;
export const S_IFLNK = 0o120000;

/** Preferred I/O of regular files: what fills an RPC to one OST. */
const FILE_BLKSIZE = 4 << 20;
const PAGE = 4096;

export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;

/** Throws EPROTO when a reply lacks what an object cannot be shown without. */
export function checkBody(body: MdtBody, target: string): void {
  const needed = MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLTYPE | MdValid.OBD_MD_FLMODE;
  if ((body.mbo_valid & needed) !== needed || (body.mbo_mode & S_IFMT) === 0) {
    throw new ProtocolError(
      'EPROTO',
      `${target} sent attributes without type or FID (valid 0x${body.mbo_valid.toString(16)})`,
      { target, fid: formatFid(body.mbo_fid1) },
    );
  }
}

/** True when the MDT's own size counts: no data objects, or it is not a regular file. */
export function sizeIsFromMdt(body: KnownAttributes, layout: FileLayout | undefined): boolean {
  if (!isRegular(body.mbo_mode) || layout === undefined) return true;
  return (
    (body.mbo_valid & MdValid.OBD_MD_FLSIZE) !== 0n ||
    isFileReleased(layout) ||
    layout.components.length === 0
  );
}

const ms = (seconds: bigint | number): number => Number(seconds) * 1000;

/** `objects`: the attributes of the map's objects in order, where the size is theirs to say. */
export function mergeAttributes(
  fid: Fid,
  body: KnownAttributes,
  map: FileMap | undefined,
  objects: readonly ObjectAttributes[] | undefined,
): Attributes {
  const newest = (mdt: bigint, of: (o: ObjectAttributes) => number): number =>
    (objects ?? []).reduce((time, object) => Math.max(time, of(object)), Number(mdt));
  const data = map !== undefined && objects !== undefined;
  const size = data ? map.fileSize(objects.map((o) => o.size)) : Number(body.mbo_size);
  const blocks = data ? objects.reduce((sum, o) => sum + o.blocks, 0) : Number(body.mbo_blocks);
  const hasSize = (body.mbo_valid & MdValid.OBD_MD_FLSIZE) !== 0n;
  const ctime = newest(body.mbo_ctime, (o) => o.ctime);
  const birth = (body.mbo_valid & MdValid.OBD_MD_FLBTIME) !== 0n ? Number(body.mbo_btime) : ctime;
  return {
    fid: formatFid(fid),
    dev: 0,
    ino: inodeNumber(fid),
    mode: body.mbo_mode,
    nlink: body.mbo_nlink,
    uid: body.mbo_uid,
    gid: body.mbo_gid,
    rdev: body.mbo_rdev,
    size: data || hasSize ? size : 0,
    blksize: isRegular(body.mbo_mode) ? FILE_BLKSIZE : PAGE,
    blocks: data || hasSize ? blocks : 0,
    atimeMs: ms(newest(body.mbo_atime, (o) => o.atime)),
    mtimeMs: ms(newest(body.mbo_mtime, (o) => o.mtime)),
    ctimeMs: ms(ctime),
    birthtimeMs: ms(birth),
  };
}

/** A striped directory as one: its names, sizes and subdirectories are those of its shards, its times the newest. */
export function mergeShards(directory: Attributes, shards: readonly Attributes[]): Attributes {
  const sum = (of: (shard: Attributes) => number): number =>
    shards.reduce((all, shard) => all + of(shard), 0);
  const newest = (of: (shard: Attributes) => number): number => Math.max(of(directory), ...shards.map(of));
  return {
    ...directory,
    // Each shard counts itself and its own `.`: of those the directory has only one.
    nlink: 2 + sum((shard) => shard.nlink - 2),
    size: sum((shard) => shard.size),
    blocks: sum((shard) => shard.blocks),
    atimeMs: newest((shard) => shard.atimeMs),
    mtimeMs: newest((shard) => shard.mtimeMs),
    ctimeMs: newest((shard) => shard.ctimeMs),
  };
}
