/** Sends more PUTs than the peer's ring holds while the peer's thread is blocked, pings it meanwhile, then lets it go. */
import { parentPort, workerData } from 'node:worker_threads';
import { openNativeEndpoint } from '../../../lib/lnet/native-network.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';

const { nid, peer, port, count } = workerData as { nid: string; peer: string; port: number; count: number };
const endpoint = await openNativeEndpoint(nodeRuntime(), {
  nid,
  accept: false,
  nidMap: { [peer]: `127.0.0.1:${port}` },
});
const memory = endpoint.allocate(64);
let sent = 0;
const failures: string[] = [];
const put = (i: number) =>
  new Promise<void>((resolve) => {
    endpoint.put(
      {
        peer: { nid: peer },
        portal: 9,
        matchBits: 1n,
        hdrData: BigInt(i),
        segments: [{ memory, offset: 0, length: 64 }],
      },
      (event) => {
        if (event.status !== 0)
          failures.push(`${event.type} ${i}: ${event.status}, ${endpoint.lastError(peer)}`);
        sent++;
        resolve();
      },
    );
  });
parentPort?.once('message', async (gate: Int32Array) => {
  await put(0);
  // The peer's thread stands still from its first event on.
  const pinged = await endpoint.ping(peer, 10_000).then(
    () => true,
    () => false,
  );
  const rest = Array.from({ length: count - 1 }, (_, i) => put(i + 1));
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
  await Promise.all(rest);
  parentPort?.postMessage({ pinged, sent, failures: failures.slice(0, 10) });
});
// Hanging up ends what the peer has not read yet, so this thread stays until it is terminated.
parentPort?.on('message', () => {});
parentPort?.postMessage('ready');
