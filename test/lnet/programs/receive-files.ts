/** Gets the same bytes into a file again and again, several at a time, until it is terminated; says when one is whole. */
import { openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { openNativeEndpoint } from '../../../lib/lnet/native-network.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';

const { nid, peer, port, path, length } = workerData as {
  nid: string;
  peer: string;
  port: number;
  path: string;
  length: number;
};
const endpoint = await openNativeEndpoint(nodeRuntime(), {
  nid,
  accept: false,
  nidMap: { [peer]: `127.0.0.1:${port}` },
});
const fd = openSync(path, 'r+');
const receive = (): void => {
  endpoint.get(
    {
      peer: { nid: peer },
      portal: 9,
      matchBits: 1n,
      segments: [],
      file: { fd, position: 0n, length, checksum: 'crc32c' },
    },
    (event) => {
      if (event.type === 'reply') parentPort?.postMessage(event.mlength);
      if (event.unlinked) receive();
    },
  );
};
for (let i = 0; i < 32; i++) receive();
parentPort?.on('message', () => {});
