/** A program that reads a file of a mount and then leaves it as its third argument says: `idle`, `unmount`, `exit` or `busy`:
 * in the middle of many calls. */
import { mount } from '../../../lib/index.ts';

const [spec = '', port = '', end = ''] = process.argv.slice(2);
const lustre = await mount(spec, { port: Number(port) });
await lustre.writeFile(`/hello-${end}`, 'hello');
process.stdout.write(`${JSON.stringify({ read: await lustre.readFile(`/hello-${end}`, 'utf8') })}\n`);
if (end === 'unmount') await lustre.unmount();
if (end === 'exit') {
  void lustre.readFile(`/hello-${end}`);
  setImmediate(() => process.exit(7));
}
if (end === 'busy') {
  const call = async (): Promise<void> => {
    for (;;) await Promise.allSettled([lustre.readdir('/'), lustre.statfs()]);
  };
  for (let lane = 0; lane < 8; lane++) void call();
  setTimeout(() => process.exit(7), 10 + 30 * Math.random());
}
