/**
 * What a metadata target keeps, table by table (design: Stores; guides 07 §10, 16 §9). The records are the store's own and
 * never go over the wire; LMDB orders entries by the bytes of their keys, so numbers in keys are big-endian.
 */
import { LuFid } from '../../wire/fid-structs.ts';
import { array, le32, le64, type StructValue, struct, u64 } from '../../wire/struct.ts';

export const MdtTable = {
  /** FID -> Inode. */
  inode: 'inode',
  /** Directory's FID, hash of the name, name -> DirectoryEntry. */
  entry: 'entry',
  /** FID, name -> value. */
  xattr: 'xattr',
  /** FID -> target of a symbolic link. */
  symlink: 'symlink',
  /** FID -> nothing: unlinked, but open (guide 09 §5.4). */
  orphan: 'orphan',
  /** Client's UUID -> ClientState (last_rcvd). */
  client: 'client',
  /** Name -> counters of the target. */
  target: 'target',
  /** Start of a sequence range -> FldRange. */
  fld: 'fld',
  /** OST index -> OspState. */
  osp: 'osp',
  /** OST index, sequence, oid, kind -> work for an OST that has not confirmed it yet. */
  ostWork: 'ost-work',
} as const;

export const mdtTables: readonly string[] = Object.values(MdtTable);

export const Inode = struct('inode', 128, {
  /** transno of the last change. */
  version: [0, le64],
  size: [8, le64],
  /** 512-byte units. */
  blocks: [16, le64],
  /** Seconds since the epoch, as signed numbers. */
  atime: [24, le64],
  mtime: [32, le64],
  ctime: [40, le64],
  btime: [48, le64],
  rdev: [56, le64],
  mode: [64, le32],
  uid: [68, le32],
  gid: [72, le32],
  nlink: [76, le32],
  /** InodeFlag bits. */
  flags: [80, le32],
  projid: [84, le32],
  /** 1 when size and blocks of a regular file are known from a client's close (LSOM). */
  lazySize: [88, le32],
  /** 1 when it has never had other extended attributes than its layout and its names; 0 where nobody has kept account. */
  plain: [92, le32],
  /** A directory's own parent. */
  parent: [96, LuFid],
});
export type Inode = StructValue<typeof Inode>;

export const DirectoryEntry = struct('directory entry', 24, {
  fid: [0, LuFid],
  /** S_IFMT bits of what it names. */
  type: [16, le32],
});
export type DirectoryEntry = StructValue<typeof DirectoryEntry>;

export const ClientState = struct('client state', 32, {
  lastTransno: [0, u64],
  lastXid: [8, u64],
  lastResult: [16, le32],
});
export type ClientState = StructValue<typeof ClientState>;

export const FldRange = struct('fld range', 24, {
  end: [0, u64],
  index: [8, le32],
  /** RangeType: MDT 0, OST 1. */
  type: [12, le32],
});
export type FldRange = StructValue<typeof FldRange>;

export const OspState = struct('osp state', 32, {
  /** The data sequence that this target has of the OST; 0 for none yet. */
  seq: [0, u64],
  /** The last object id that a file has. */
  lastUsed: [8, le32],
});
export type OspState = StructValue<typeof OspState>;

/** uid, gid and project of an object. */
export const ObjectOwner = struct('object owner', 12, { ids: [0, array(le32, 3)] });
/** The same of a store that was written before projects were kept. */
export const ObjectOwnerBefore = struct('object owner', 8, { ids: [0, array(le32, 2)] });

/** A record until a table takes its copy. All in one backing store, of which the codec keeps its views. */
const store = new ArrayBuffer(256);
export const scratch = {
  inode: new Uint8Array(store, 0, Inode.size),
  entry: new Uint8Array(store, 128, DirectoryEntry.size),
  client: new Uint8Array(store, 160, ClientState.size),
  osp: new Uint8Array(store, 192, OspState.size),
} as const;

const signed = (x: bigint): bigint => BigInt.asIntN(64, x);

export function decodeInode(bytes: Uint8Array): Inode {
  const inode = Inode.decode(bytes);
  inode.atime = signed(inode.atime);
  inode.mtime = signed(inode.mtime);
  inode.ctime = signed(inode.ctime);
  return inode;
}
