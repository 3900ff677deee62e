/**
 * Until it is terminated: sends the same file again and again, more than its peer takes at once; or gets the same bytes into
 * it, several at a time, and says when one is whole.
 */
import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { openNativeEndpoint } from '../../../lib/lnet/native-network.ts';
import type { LnetHandler } from '../../../lib/lnet/network.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';

const { nid, peer, port, path, length, receives } = workerData as {
  nid: string;
  peer: string;
  port: number;
  path: string;
  length: number;
  receives: boolean;
};
const endpoint = await openNativeEndpoint(nodeRuntime(), {
  nid,
  accept: false,
  nidMap: { [peer]: `127.0.0.1:${port}` },
});
const move = {
  peer: { nid: peer },
  portal: 9,
  matchBits: 1n,
  segments: [],
  file: { fd: openSync(path, receives ? 'r+' : 'r'), position: 0n, length, checksum: 'crc32c' },
} as const;
const begin = (): void => {
  if (receives) endpoint.get(move, onEvent);
  else endpoint.put(move, onEvent);
};
const onEvent: LnetHandler = (event) => {
  if (event.type === 'reply') parentPort?.postMessage(event.mlength);
  if (event.unlinked) begin();
};
for (let i = 0; i < 32; i++) begin();
parentPort?.on('message', () => {});
