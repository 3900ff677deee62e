/** A read stream hands on what was read into, not copies of it. */
import { expect, test } from 'vitest';
import { LustreReadStream } from '../../lib/client/read-stream.ts';
import { Transfers } from '../../lib/client/transfers/transfers.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';

const MIB = 1 << 20;

/** A file of so many bytes that are what their place in it says. Each read takes a few turns of the event loop. */
function fileOf(size: number) {
  const reads = new Map<ArrayBufferLike, number>();
  return {
    reads,
    async read(buffer: Buffer, { position }: { position: number }) {
      for (let turn = 0; turn < 1 + ((position / MIB) % 3); turn++) await new Promise(setImmediate);
      const bytesRead = Math.max(0, Math.min(buffer.length, size - position));
      if (bytesRead > 0) buffer.writeUInt32LE(position, 0);
      reads.set(buffer.buffer, position);
      return { bytesRead };
    },
    close: () => Promise.resolve(),
    transfers: new Transfers(nodeRuntime()),
    flightBounds: () => Promise.resolve({ width: 2, rpcBytes: 4 * MIB, rpcs: 8 }),
  };
}

test.each(['slow', 'quick'])(
  'the pieces that a %s consumer iterates over are those that were read',
  async (pace) => {
    const size = 90 * MIB + 5;
    const file = fileOf(size);
    let at = 0;
    for await (const chunk of new LustreReadStream(file, {})) {
      const piece = chunk as Buffer;
      // The end of the file is little, and copied; all else is the memory that the network filled.
      if (piece.length > MIB / 2) expect(file.reads.get(piece.buffer)).toBe(at);
      expect(piece.readUInt32LE(0)).toBe(at);
      at += piece.length;
      if (pace === 'slow') for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    }
    expect(at).toBe(size);
  },
);
