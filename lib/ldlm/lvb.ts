/** Lock value blocks of OST objects: sizes and times that locks carry (guide 08 §7, guide 12 §11). */
import { OstLvb, OstLvbV1 } from '../wire/ldlm-structs.ts';
import type { StructValue } from '../wire/struct.ts';

const EMPTY = OstLvb.decode(new Uint8Array(OstLvb.size));

/** An ost_lvb in either of its sizes; undefined for bytes of any other length. */
export function decodeOstLvb(bytes: Uint8Array): StructValue<typeof OstLvb> | undefined {
  if (bytes.length >= OstLvb.size) return OstLvb.decode(bytes);
  if (bytes.length !== OstLvbV1.size) return undefined;
  return { ...EMPTY, ...OstLvbV1.decode(bytes) };
}

/** What the disk says and what a holder has told, the larger of each (guide 08 §7: values only grow). */
export function mergeOstLvb(disk: Uint8Array, told: Uint8Array | undefined): Uint8Array {
  const a = decodeOstLvb(disk);
  const b = told === undefined ? undefined : decodeOstLvb(told);
  if (a === undefined || b === undefined) return disk;
  const larger = <T extends number | bigint>(x: T, y: T): T => (x > y ? x : y);
  return OstLvb.encode({
    lvb_size: larger(a.lvb_size, b.lvb_size),
    lvb_mtime: larger(a.lvb_mtime, b.lvb_mtime),
    lvb_atime: larger(a.lvb_atime, b.lvb_atime),
    lvb_ctime: larger(a.lvb_ctime, b.lvb_ctime),
    lvb_blocks: larger(a.lvb_blocks, b.lvb_blocks),
  });
}

export function lvbSize(bytes: Uint8Array): bigint {
  return decodeOstLvb(bytes)?.lvb_size ?? 0n;
}
