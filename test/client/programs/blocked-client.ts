/**
 * A program that computes without yielding while others want its locks. Standard output, a line of JSON each: `holding`
 * before it blocks, then what it finds afterwards.
 *
 *   blocked-client.ts SPEC PORT worker|inline SECONDS CONTROL
 */
import { mount } from '../../../lib/index.ts';

const [spec = '', port = '', engine = '', seconds = '', control = ''] = process.argv.slice(2);
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

const where = { port: Number(port), control };
const lustre = await mount(spec, { ...where, engine: engine === 'inline' ? 'inline' : 'worker' });
const file = await lustre.open('/shared', 'r+');
await file.write('before', 0);
await lustre.stat('/shared');
const connects = async (): Promise<number> => {
  const { rpcs } = await lustre.counters();
  return (rpcs.OST_CONNECT ?? 0) + (rpcs.MDS_CONNECT ?? 0);
};
const before = await connects();
say({ holding: true });
// As soon as the other side has been told: standard output is written synchronously.
for (const end = performance.now() + Number(seconds) * 1000; performance.now() < end; );
try {
  await file.write('after!', 12);
  const found = await lustre.readFile('/shared', 'utf8');
  say({ found, reconnects: (await connects()) - before });
  await file.close();
} catch (error) {
  say({ failed: (error as Error).message });
}
await lustre.unmount();
