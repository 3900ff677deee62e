/**
 * Capture 08: an MDT that has evicted the client. What the servers' crash and the replay of requests made of the mount is not
 * replayed: ours has no replay of requests yet.
 */
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';

export async function evicted({ filesystem: fs, session, step, dropLocks }: Replay): Promise<void> {
  const mdt = session.mdts.get(0)!;
  await fs.mkdir('/base');
  await fs.writeFile('/base/c', 'committed\n');
  await dropLocks();
  expect(mdt.generation).toBe(1);
  await step('sleep 1; ls', async () => {
    // The kernel's first call failed with EIO. Ours asks again what needs nothing of that which the server has forgotten.
    expect((await fs.stat('/base')).isDirectory()).toBe(true);
    expect(mdt.generation).toBe(2);
    expect((await fs.readdir('/base')).toSorted()).toEqual(['c', 'ev', 'grace', 'held']);
  });
}
