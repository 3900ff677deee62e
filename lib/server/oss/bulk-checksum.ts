/** The checksum of bulk that is in memory: T10 types see where in a page each niobuf begins (guide 12 §6.2). */
import { combineAll } from '../../lnet/checksum-combine.ts';
import type { BulkChecksumName, Segment } from '../../lnet/network.ts';
import { guardBytes, isT10 } from '../../lnet/t10.ts';
import type { NiobufRemote } from '../../wire/ost-structs.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { sliceSegments } from './bulk-memory.ts';

const PAGE = 4096n;

/** `segments` hold the bytes of all niobufs, or those of the first ones when a read ended early. A niobuf ends a sector, so
 * the guard tags of all are those of each, one after the other. */
export async function checksumOfNiobufs(
  store: Pick<ObjectStore, 'checksum'>,
  type: BulkChecksumName,
  niobufs: readonly NiobufRemote[],
  segments: readonly Segment[],
): Promise<number> {
  if (!isT10(type)) return store.checksum(type, segments);
  const parts: { bytes: number; checksum: number }[] = [];
  let at = 0;
  for (const { rnb_offset, rnb_len } of niobufs) {
    const part = sliceSegments(segments, at, rnb_len);
    const length = part.reduce((sum, segment) => sum + segment.length, 0);
    if (length === 0) break;
    const pageOffset = Number(rnb_offset % PAGE);
    const checksum = await store.checksum(type, part, pageOffset);
    parts.push({ bytes: guardBytes(type, pageOffset, length), checksum });
    at += length;
  }
  return combineAll('adler32', parts);
}
