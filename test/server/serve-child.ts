/** A server node in a process of its own, for tests that kill it: `serve-child.ts DIR PORT`. Prints `ready`. */
import { createNativeNetwork } from '../../lib/lnet/native-network.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { startServerNode } from '../../lib/server/node.ts';

const [dir = '', port = ''] = process.argv.slice(2);
const runtime = nodeRuntime();
await startServerNode({
  runtime,
  network: createNativeNetwork(runtime),
  dir,
  fsname: 'demo',
  nid: '127.0.0.1@tcp',
  port: Number(port),
  osts: 2,
});
process.stdout.write('ready\n');
setInterval(() => {}, 1 << 30);
