/** Parts of an operation as they stand in an endpoint's scratch area (native/scratch.h). */
import { checksumTypeBits } from './checksum.ts';
import { ScratchWord } from './native-addon.ts';
import type { FileExtent, FileRange } from './network.ts';

const EXTENT_WORDS = 3;

/** A file instead of segments. Extents beyond the area are not there: the module refuses their number. */
export function writeFileRange(words: Uint32Array, range: FileRange): void {
  const { fd, rest = [], checksum } = range;
  words[ScratchWord.SEGMENT_COUNT] = 0;
  words[ScratchWord.SEGMENTS] = fd;
  words[ScratchWord.SEGMENTS + 1] = checksum === undefined ? 0 : checksumTypeBits[checksum];
  words[ScratchWord.SEGMENTS + 2] = 1 + rest.length;
  let at = ScratchWord.SEGMENTS + EXTENT_WORDS;
  for (const extent of [range, ...rest]) {
    writeExtent(words, at, extent);
    at += EXTENT_WORDS;
  }
}

function writeExtent(words: Uint32Array, at: number, { position, length }: FileExtent): void {
  words[at] = Number(position & 0xffff_ffffn);
  words[at + 1] = Number(position >> 32n);
  words[at + 2] = length;
}
