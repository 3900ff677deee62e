/** Capture 08: servers that crash and come again, an MDT and OSTs that have evicted the client. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { expect } from 'vitest';
import { RQF_OBD_PING } from '../../../lib/wire/formats.ts';
import type { Replay } from '../replay.ts';
import { cat, KIB, MIB, md5, refused, setstripe } from './shell.ts';

/** FID of /base. */
const BASE = '[0x200000bd2:0x1:0x0]';

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

/** MDT0000 is unmounted and mounted again, while a file is open that somebody appends to and closes. */
async function restartedMdt({ filesystem: fs, session, step, peer, dropLocks }: Replay): Promise<void> {
  const mdt = session.mdts.get(0)!;
  const passing = (ms: number): Promise<void> => new Promise((resolve) => session.runtime.after(ms, resolve));
  const connects = (): number =>
    peer.matches.filter(
      ({ purpose, exchange: { frame } }) => purpose.operation === 'MDS_CONNECT' && frame > 752,
    ).length;
  const grace = await step('exec 9>/mnt/lustre/base/grace', async () => {
    const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
    const file = await fs.open('/base/grace', O_WRONLY | O_CREAT | O_TRUNC, 0o666);
    await file.write(Buffer.from('one\n'));
    return file;
  });
  const [listing, closed] = await step('timeout 5 ls /mnt/lustre', async () => {
    const names = fs.readdir('/');
    // Told in the next step, if it comes to that.
    names.catch(() => undefined);
    // What concerns other targets goes on meanwhile: what is written goes there when its time has come.
    await passing(30_000);
    expect(connects()).toBeGreaterThan(1);
    await grace.write(Buffer.from('two\n'), { position: 4 });
    const close = grace.close();
    close.catch(() => undefined);
    await passing(1000);
    return [names, close];
  });
  await step('for i in $(seq 90)', async () => {
    expect((await listing).toSorted()).toEqual(['base', 'rep']);
    await closed;
    expect(mdt.generation).toBe(1);
  });
  await step('ls /mnt/lustre /mnt/lustre/base; cat', async () => {
    expect((await fs.readdir('/base')).toSorted()).toEqual(['c', 'grace', 'held']);
    await using file = await fs.open('/base/grace', 'r');
    // What is in it the kernel had in its cache: no answer to a read is recorded.
    expect((await file.stat()).size).toBe('one\ntwo\n'.length);
  });
  await dropLocks(BASE);
}

/** The servers crash while files are open and nothing of the last seconds is on disk; then all is as it was. At last all evict it. */
export async function recovered(replay: Replay): Promise<void> {
  const { filesystem: fs, session, step, between, restart, dropLocks } = replay;
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
  await restartedMdt(replay);
  // The MDT evicts this client, too; it has nothing to lose there.
  await step('sleep 1; ls', async () => {
    expect((await fs.stat('/base')).isDirectory()).toBe(true);
    expect(session.mdts.get(0)!.generation).toBe(2);
  });
  const written = Buffer.concat([dirty, Buffer.from('written after recovery\n')]);
  const lost = await step('dd if=/dev/urandom', () =>
    fs.open('/base/held', constants.O_WRONLY | constants.O_CREAT, 0o666),
  );
  await step('sync; cat', async () => {
    // Both OSTs have evicted this client: what was not at their disks is lost, and who wrote it is told.
    await between(1191, 1196, async () => {
      const writing = lost.write(randomBytes(128 * KIB), { position: 0 }).then(() => lost.datasync());
      expect(await refused(writing)).toBe('EIO');
      await lost.close();
    });
    await between(1199, 1297, async () => {
      await using file = await fs.open('/base/held', 'r');
      const { bytesRead, buffer } = await file.read(Buffer.alloc(MIB), { position: 0 });
      expect(md5(buffer.subarray(0, bytesRead))).toBe(md5(written));
    });
    await between(1301, 1341, async () => {
      await fs.writeFile('/base/held', 'again\n');
      expect(await cat(fs, '/base/held')).toBe('again\n');
    });
  });
  await dropLocks();
}
