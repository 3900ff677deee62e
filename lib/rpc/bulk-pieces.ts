/** How a bulk payload is cut into descriptors: whole MiB of the concatenation, at most 16 (guide 04 §3.3, §7). */
import { type BulkSegment, FILE_EXTENTS_MAX, type FileExtent, type FileRange } from '../lnet/network.ts';
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
export function splitBulk<S extends BulkSegment>(
  segments: readonly S[],
  pageOffset = 0,
  count?: number,
): S[][] {
  const pieces: S[][] = [[]];
  let room = BULK_PIECE - (pageOffset % BULK_PAGE);
  for (const segment of segments) {
    let { offset, length } = segment;
    while (length > 0) {
      if (room === 0) {
        pieces.push([]);
        room = BULK_PIECE;
      }
      const take = Math.min(length, room);
      pieces.at(-1)!.push(partOf(segment, offset, take));
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

/** So many bytes of a segment's memory or file from `offset` on. */
export function partOf<S extends BulkSegment>(segment: S, offset: number, length: number): S {
  // Written out: what is spread is put together much more slowly.
  const part: BulkSegment =
    'memory' in segment ? { memory: segment.memory, offset, length } : { file: segment.file, offset, length };
  return part as S;
}

/** Bytes of all extents of a range. */
export function bytesOfFile({ length, rest = [] }: FileRange): number {
  return rest.reduce((sum, extent) => sum + extent.length, length);
}

/** The same for bytes of a file: exactly `count` ranges, the last ones possibly empty. */
export function splitFile(file: FileRange, pageOffset: number, count: number): FileRange[] {
  const { fd, checksum, rest = [] } = file;
  const ranges: FileRange[] = [];
  const extents = [file, ...rest];
  let next = 0;
  let within = 0;
  for (let room = BULK_PIECE - (pageOffset % BULK_PAGE); ranges.length < count; room = BULK_PIECE) {
    const parts: FileExtent[] = [];
    while (room > 0 && next < extents.length) {
      const { position, length } = extents[next]!;
      const take = Math.min(length - within, room);
      parts.push({ position: position + BigInt(within), length: take });
      room -= take;
      within += take;
      if (within === length) [next, within] = [next + 1, 0];
    }
    if (parts.length > FILE_EXTENTS_MAX)
      throw invalid(`more than ${FILE_EXTENTS_MAX} extents of a file in a MiB of bulk`);
    const [first = { position: file.position + BigInt(file.length), length: 0 }, ...others] = parts;
    ranges.push({
      fd,
      ...first,
      ...(others.length > 0 && { rest: others }),
      ...(checksum !== undefined && { checksum }),
    });
  }
  if (next < extents.length) throw invalid(`${bytesOfFile(file)} bytes of bulk where ${count} MiB fit`);
  return ranges;
}

function invalid(message: string): LustreError {
  return new LustreError('EINVAL', message, { syscall: 'bulk' }, -22);
}
