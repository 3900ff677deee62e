/** Sends the same file again and again, more than its peer takes at once, until it is terminated. */
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
const fd = openSync(path, 'r');
const send = (): void => {
  endpoint.put(
    {
      peer: { nid: peer },
      portal: 9,
      matchBits: 1n,
      segments: [],
      file: { fd, position: 0n, length, checksum: 'crc32c' },
    },
    (event) => {
      if (event.unlinked) send();
    },
  );
};
for (let i = 0; i < 32; i++) send();
parentPort?.on('message', () => {});
