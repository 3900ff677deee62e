/** Leaves with an open endpoint, an attached entry, a live connection and nothing under way: must end by itself. */
import { openNativeEndpoint } from '../../../lib/lnet/native-network.ts';
import { MdOption } from '../../../lib/lnet/network.ts';
import { NID_ANY } from '../../../lib/lnet/nid.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';

const runtime = nodeRuntime();
const a = await openNativeEndpoint(runtime, { nid: '127.0.0.1@tcp', listen: '127.0.0.1:0' });
const b = await openNativeEndpoint(runtime, {
  nid: '127.0.0.2@tcp',
  accept: false,
  nidMap: { '127.0.0.1@tcp': `127.0.0.1:${a.port}` },
});
a.attach(
  {
    portal: 9,
    matchBits: 1n,
    peer: { nid: NID_ANY },
    segments: [{ memory: a.allocate(4096), offset: 0, length: 4096 }],
    threshold: Number.POSITIVE_INFINITY,
    options: MdOption.OP_PUT,
    autoUnlink: false,
  },
  () => {},
);
const answer = await b.ping('127.0.0.1@tcp', 5000);
if (process.argv[2] === 'exit') process.exit(answer.nids.length === 1 ? 7 : 1);
console.log(answer.nids.join());
