/** Niobufs as extents of the object's file, for a network that moves files. */
import { FILE_EXTENTS_MAX, type FileExtent } from '../../lnet/network.ts';
import { BULK_PAGE } from '../../rpc/bulk-pieces.ts';
import type { NiobufRemote } from '../../wire/ost-structs.ts';

/** Those that lie together are one. Undefined where there may be more of them to a MiB of bulk than the network takes: of whole
 * pages, which is what kernels send, a MiB never has more. */
export function extentsOf(niobufs: readonly NiobufRemote[]): FileExtent[] | undefined {
  const extents: FileExtent[] = [];
  let end = -1n;
  let ofPages = true;
  for (const { rnb_offset, rnb_len } of niobufs) {
    const last = extents.at(-1);
    if (last !== undefined && rnb_offset === end) {
      extents[extents.length - 1] = { position: last.position, length: last.length + rnb_len };
    } else {
      ofPages &&= last === undefined || (isPageEnd(end) && isPageEnd(rnb_offset));
      extents.push({ position: rnb_offset, length: rnb_len });
    }
    end = rnb_offset + BigInt(rnb_len);
  }
  return ofPages || extents.length <= FILE_EXTENTS_MAX ? extents : undefined;
}

const isPageEnd = (position: bigint): boolean => position % BigInt(BULK_PAGE) === 0n;
