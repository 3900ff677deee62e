/** Opens an endpoint in a worker thread and pings the main thread's; then stays open until terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { openNativeEndpoint } from '../../../lib/lnet/native-network.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';

const { nid, peer, port } = workerData as { nid: string; peer: string; port: number };
const endpoint = await openNativeEndpoint(nodeRuntime(), {
  nid,
  accept: false,
  nidMap: { [peer]: `127.0.0.1:${port}` },
});
const answer = await endpoint.ping(peer, 5000);
parentPort?.postMessage(answer.nids);
parentPort?.on('message', () => {});
