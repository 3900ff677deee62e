/** Listings: pages of lu_dirent in hash order, always little-endian (guide 09 §8). */
import type { Fid } from '../../fid/fid.ts';
import { Dir, MdsStatus } from '../../wire/mds-constants.ts';
import { LuDirent, LuDirpage, LudaType } from '../../wire/mds-structs.ts';
import type { NamedEntry, NamespaceView } from './namespace.ts';

const PAGE = Dir.LU_PAGE_SIZE;
const ATTRS = Dir.LUDA_FID | Dir.LUDA_TYPE | Dir.LUDA_64BITHASH;

const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Bytes of an entry: the name, aligned to 2, then its type, all aligned to 8. */
const entrySize = (nameLength: number): number =>
  roundUp(((LuDirent.size + nameLength + 2) & ~1) + LudaType.size, 8);

/**
 * Whole pages of a directory from `hashStart` on, at most `maxBytes` of them. A directory without a name left gives one
 * empty page.
 */
export function directoryPages(
  ns: NamespaceView,
  directory: Fid,
  hashStart: bigint,
  maxBytes: number,
): Uint8Array {
  const pages = new Uint8Array(Math.floor(maxBytes / PAGE) * PAGE);
  if (ns.inode(directory).nlink === 0) return emptyPage(pages, hashStart);
  let page = -1;
  let used: number = PAGE;
  let last: { at: number; hash: bigint } | undefined;
  const finish = (hashEnd: bigint): void => {
    if (last === undefined) return;
    const collides = last.hash === hashEnd;
    const view = new DataView(pages.buffer, page * PAGE, PAGE);
    view.setBigUint64(8, hashEnd, true);
    view.setUint32(16, collides ? Dir.LDF_COLLIDE : 0, true);
    // The last entry of a page says so with a length of 0.
    view.setUint16(last.at + 24, 0, true);
  };
  for (const entry of ns.entries(directory, hashStart)) {
    const size = entrySize(entry.name.length);
    if (used + size > PAGE) {
      finish(entry.hash);
      if ((page + 2) * PAGE > pages.length) return pages;
      page++;
      LuDirpage.encodeInto(pages, page * PAGE, { ldp_hash_start: page === 0 ? hashStart : entry.hash });
      used = LuDirpage.size;
    }
    writeEntry(pages, page * PAGE + used, size, entry);
    last = { at: used, hash: entry.hash };
    used += size;
  }
  if (last === undefined) return emptyPage(pages, hashStart);
  finish(MdsStatus.MDS_DIR_END_OFF);
  return pages.subarray(0, (page + 1) * PAGE);
}

function writeEntry(pages: Uint8Array, at: number, size: number, entry: NamedEntry): void {
  LuDirent.encodeInto(pages, at, {
    lde_fid: entry.fid,
    lde_hash: entry.hash,
    lde_reclen: size,
    lde_namelen: entry.name.length,
    lde_attrs: ATTRS,
  });
  pages.set(entry.name, at + LuDirent.size);
  LudaType.encodeInto(pages, at + LuDirent.size + roundUp(entry.name.length, 2), { lt_type: entry.type });
}

function emptyPage(pages: Uint8Array, hashStart: bigint): Uint8Array {
  LuDirpage.encodeInto(pages, 0, {
    ldp_hash_start: hashStart,
    ldp_hash_end: MdsStatus.MDS_DIR_END_OFF,
    ldp_flags: Dir.LDF_EMPTY,
  });
  return pages.subarray(0, PAGE);
}
