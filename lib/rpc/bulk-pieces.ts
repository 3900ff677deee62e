/** How a bulk payload is cut into descriptors: whole MiB of the concatenation, at most 16 (guide 04 §3.3, §7). */
import type { FileRange, Segment } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';

/** LNET_MTU: the most that one descriptor moves. */
export const BULK_PIECE = 1 << 20;
/** 16 MiB in one RPC. */
export const BULK_PIECES_MAX = 16;
/** LNET_MAX_IOV: fragments of one descriptor. */
const FRAGMENTS_MAX = 256;

/** The unit that `pageOffset` counts in: Linux pages of the peers. */
export const BULK_PAGE = 4096;

/**
 * Cuts at every MiB of the concatenation; the first piece is shorter by `pageOffset`, the place of its first byte in
 * its page, because kernels cut at 256 pages. With `count`, exactly that many pieces, the last ones possibly
 * empty. Throws EINVAL for what cannot be sent.
 */
export function splitBulk(segments: readonly Segment[], pageOffset = 0, count?: number): Segment[][] {
  const pieces: Segment[][] = [[]];
  let room = BULK_PIECE - (pageOffset % BULK_PAGE);
  for (const segment of segments) {
    let { offset, length } = segment;
    while (length > 0) {
      if (room === 0) {
        pieces.push([]);
        room = BULK_PIECE;
      }
      const take = Math.min(length, room);
      pieces.at(-1)!.push({ memory: segment.memory, offset, length: take });
      offset += take;
      length -= take;
      room -= take;
    }
  }
  const wanted = count ?? pieces.length;
  if (pieces.length > wanted) throw invalid(`${pieces.length} MiB of bulk where ${wanted} fit`);
  if (wanted > BULK_PIECES_MAX) throw invalid(`bulk of ${wanted} MiB; at most ${BULK_PIECES_MAX} fit an RPC`);
  while (pieces.length < wanted) pieces.push([]);
  if (pieces.some((piece) => piece.length > FRAGMENTS_MAX))
    throw invalid(`more than ${FRAGMENTS_MAX} fragments in a MiB of bulk`);
  return pieces;
}

/** The same for bytes of a file: exactly `count` ranges, the last ones possibly empty. */
export function splitFile(file: FileRange, pageOffset: number, count: number): FileRange[] {
  const ranges: FileRange[] = [];
  let at = 0;
  let room = BULK_PIECE - (pageOffset % BULK_PAGE);
  while (ranges.length < count) {
    const length = Math.min(file.length - at, room);
    ranges.push({ ...file, position: file.position + BigInt(at), length });
    at += length;
    room = BULK_PIECE;
  }
  if (at < file.length) throw invalid(`${file.length} bytes of bulk where ${count} MiB fit`);
  return ranges;
}

function invalid(message: string): LustreError {
  return new LustreError('EINVAL', message, { syscall: 'bulk' }, -22);
}
