/** How many requests an operation costs, by opcode; pings come by themselves and are left out. */
import type { Filesystem } from '../../lib/client/filesystem.ts';

export async function rpcsOf(fs: Filesystem, work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = { ...(await fs.counters()).rpcs };
  await work();
  const spent: Record<string, number> = {};
  for (const [opcode, count] of Object.entries((await fs.counters()).rpcs)) {
    const more = count - (before[opcode] ?? 0);
    if (more > 0 && opcode !== 'OBD_PING') spent[opcode] = more;
  }
  return spent;
}
