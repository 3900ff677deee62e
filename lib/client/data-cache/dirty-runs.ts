/** Dirty bytes of an object as the writes that bring them to the server: what is contiguous goes together. */
import { BLOCK_SIZE, type Block, type Room } from './cache-memory.ts';

/** Dirty bytes of one block. */
export interface DirtyPiece {
  readonly block: Block;
  readonly from: number;
  readonly to: number;
  /** Where the block's bytes were when the write began. */
  readonly room: Room;
}

/** Blocks that have dirty bytes and touch `[start, end)`, in the object's order. */
export function dirtyBlocks(blocks: ReadonlyMap<number, Block>, start: number, end: number): Block[] {
  const first = Math.floor(start / BLOCK_SIZE);
  const last = Math.ceil(end / BLOCK_SIZE);
  const found: Block[] = [];
  const take = (block: Block | undefined): void => {
    if (block !== undefined && !block.dirty.isEmpty) found.push(block);
  };
  if (last - first <= blocks.size) {
    for (let index = first; index < last; index++) take(blocks.get(index));
    return found;
  }
  for (const block of blocks.values()) if (block.index >= first && block.index < last) take(block);
  return found.sort((a, b) => a.index - b.index);
}

/** Takes the dirty bytes of blocks, which are in the object's order; none of the runs crosses a multiple of `size`. */
export function dirtyRuns(blocks: readonly Block[], size: number): DirtyPiece[][] {
  const runs: DirtyPiece[][] = [];
  let at = -1;
  for (const block of blocks) {
    for (const [from, to] of block.dirty) {
      const begins = block.start + from;
      const piece = { block, from, to, room: block.room };
      if (begins !== at || begins % size === 0) runs.push([piece]);
      else runs.at(-1)!.push(piece);
      at = block.start + to;
    }
    block.dirty.clear();
  }
  return runs;
}

/** What a run is in may not change until what this gives is called, which calls `free` for each block. */
export function hold(pieces: readonly DirtyPiece[], free: (block: Block, room: Room) => void): () => void {
  const held = [...onePerBlock(pieces)];
  for (const { room } of held) room.writing++;
  return () => {
    for (const { block, room } of held) free(block, room);
  };
}

/** Memory that holding a run keeps from others. */
export function roomBytes(pieces: readonly DirtyPiece[]): number {
  return [...onePerBlock(pieces)].reduce((sum, { room }) => sum + room.memory.bytes.length, 0);
}

/** What the server does not have may not be read back as if it were there. */
export function forget(pieces: readonly DirtyPiece[]): void {
  for (const { block, from, to } of pieces) {
    for (const [gapFrom, gapTo] of [...block.dirty.gaps(from, to)]) block.valid.remove(gapFrom, gapTo);
  }
}

/** The first piece of each block of a run. */
function* onePerBlock(pieces: readonly DirtyPiece[]): Generator<DirtyPiece> {
  let last: Block | undefined;
  for (const piece of pieces) {
    if (piece.block !== last) yield piece;
    last = piece.block;
  }
}
