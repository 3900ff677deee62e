/**
 * Capture 08: an MDT that has evicted the client. What the servers' crash and the replay of requests made of the mount is not
 * replayed: ours has no replay of requests yet.
 */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import { RQF_OBD_PING } from '../../../lib/wire/formats.ts';
import type { Replay } from '../replay.ts';
import { KIB, setstripe } from './shell.ts';

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

/** The servers crash while files are open and nothing of the last seconds is on disk; then all is as it was. */
export async function recovered(replay: Replay): Promise<void> {
  const { filesystem: fs, session, step, restart, dropLocks } = replay;
  await fs.mkdir('/base');
  await fs.writeFile('/base/c', 'committed\n');
  await setstripe(replay, '/base/held', { stripeCount: 2, stripeSize: 64 * KIB });
  const dirty = Buffer.from('dirty before the crash\n'.repeat(8000));
  const [held, unlinked] = await step('hold.py', async () => {
    const a = await fs.open('/base/held', 'r+');
    await a.write(dirty);
    const u = await fs.open('/base/unlinked', constants.O_RDWR | constants.O_CREAT, 0o777);
    await u.write(Buffer.from('open and unlinked\n'));
    await fs.unlink('/base/unlinked');
    await fs.mkdir('/rep');
    // Empty here: the kernel had not written them when the servers crashed.
    for (const i of [1, 2, 3, 4, 5])
      await (await fs.open(`/rep/f${i}`, constants.O_WRONLY | constants.O_CREAT)).close();
    await fs.rename('/rep/f5', '/rep/g5');
    await fs.link('/rep/f1', '/rep/l1');
    await fs.chmod('/rep/f3', 0o600);
    await fs.unlink('/rep/f4');
    return [a, u];
  });
  const imports = [...session.mdts.values(), ...session.osts.values()];
  // The first connect behind the crash is in frame 300.
  await restart(299, 'ls -l /mnt/lustre/rep', async () => {
    await Promise.all(imports.map(({ caller }) => caller.call(RQF_OBD_PING, {}).catch(() => undefined)));
    // The kernel had been writing when the servers crashed, and goes on.
    await held.datasync();
  });
  expect([...session.mdts.values()].map(({ generation }) => generation)).toEqual([1, 1]);
  await step('ls -l /mnt/lustre/rep', async () => {
    expect((await fs.stat('/rep')).isDirectory()).toBe(true);
    expect((await fs.readdir('/rep')).toSorted()).toEqual(['f1', 'f2', 'f3', 'g5', 'l1']);
    // What is in them the kernel read under locks that it had from before: no answer to that is recorded.
    await held.write(Buffer.from('written after recovery\n'), { position: dirty.length });
    await held.sync();
    expect((await held.stat()).size).toBe(184023);
    const { buffer, bytesRead } = await unlinked.read(Buffer.alloc(100), { position: 0 });
    expect(buffer.toString('utf8', 0, bytesRead)).toBe('open and unlinked\n');
    await held.close();
    await unlinked.close();
  });
  await dropLocks();
}
