/** Ranges of an object's file, for a network to move. */
import type { FileExtent, FileRange } from '../../lnet/network.ts';

/** `extents`: at least one. */
export function fileRange(fd: number, extents: readonly FileExtent[]): FileRange {
  const [{ position, length }, ...rest] = extents as readonly [FileExtent, ...FileExtent[]];
  return rest.length === 0 ? { fd, position, length } : { fd, position, length, rest };
}

/** What of it there is in a file of `size` bytes. */
export function fileRangeWithin(fd: number, extents: readonly FileExtent[], size: bigint): FileRange {
  const there: FileExtent[] = [];
  for (const extent of extents) {
    const left = size - extent.position;
    if (left <= 0n) break;
    there.push(left < extent.length ? { ...extent, length: Number(left) } : extent);
  }
  return fileRange(fd, there.length > 0 ? there : [{ position: extents[0]!.position, length: 0 }]);
}
