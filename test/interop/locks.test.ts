/** Locks of programs, between clients: flock and byte ranges. */
import { describe, expect, it } from 'vitest';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';

const cluster = clusterUnderTest('locks');

describe('file locks', { timeout: PATIENCE_MS }, () => {
  it('keeps another client out until it is unlocked', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    const ours = await fs.open(`${dir}/flock`, 'w+');
    const theirs = await other.open(`${dir}/flock`, 'r+');
    await ours.flock('exclusive');
    await expect(theirs.flock('exclusive', { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
    const waiting = theirs.flock('shared');
    await ours.flock('unlock');
    await waiting;
    await ours.flock('shared', { wait: false });
    await expect(ours.flock('exclusive', { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
    await ours.close();
    await theirs.close();
  });

  it('locks ranges, and tells who holds one', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    const ours = await fs.open(`${dir}/ranges`, 'w+');
    const theirs = await other.open(`${dir}/ranges`, 'r+');
    await ours.lockRange('exclusive', { start: 100, length: 50 });
    await theirs.lockRange('exclusive', { start: 0, length: 100, wait: false });
    const range = { start: 120, length: 1 };
    await expect(theirs.lockRange('shared', { ...range, wait: false })).rejects.toMatchObject({
      code: 'EAGAIN',
    });
    expect(await theirs.testRange('shared', range)).toMatchObject({
      mode: 'exclusive',
      start: 100,
      end: 149,
    });
    await ours.lockRange('unlock', { start: 110, length: 20 });
    await theirs.lockRange('exclusive', { ...range, wait: false });
    await ours.close();
    await theirs.close();
  });

  it('tells one of those who wait for each other', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    await using ours = await fs.open(`${dir}/deadlock`, 'w+');
    await using theirs = await other.open(`${dir}/deadlock`, 'r+');
    await ours.lockRange('exclusive', { start: 0, length: 10 });
    await theirs.lockRange('exclusive', { start: 10, length: 10 });
    const both = await Promise.allSettled([
      ours.lockRange('exclusive', { start: 10, length: 10 }).finally(() => ours.lockRange('unlock')),
      theirs.lockRange('exclusive', { start: 0, length: 10 }).finally(() => theirs.lockRange('unlock')),
    ]);
    const refused = both.filter((result) => result.status === 'rejected');
    expect(refused.map(({ reason }) => reason.code)).toEqual(['EDEADLK']);
  });

  it('lets the members of a group write side by side, and others when they have gone', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    const ours = await fs.open(`${dir}/group`, 'w+', 0o666, { stripeCount: 2, stripeSize: 65536 });
    const theirs = await other.open(`${dir}/group`, 'r+');
    await ours.groupLock(4711);
    await expect(theirs.groupLock(4712, { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
    await theirs.groupLock(4711);
    const bytes = Buffer.alloc(400_000, 'group');
    for (let at = 0; at < bytes.length; at += 50_000)
      await ((at / 50_000) % 2 === 0 ? ours : theirs).write(bytes, at, 50_000, at);
    expect((await ours.read(Buffer.alloc(10), 0, 10, 60_000)).buffer.toString()).toBe('groupgroup');
    const waiting = other.readFile(`${dir}/group`);
    await theirs.groupUnlock(4711);
    await ours.close();
    expect((await waiting).equals(bytes)).toBe(true);
    await theirs.close();
  });

  compare('keeps a kernel client out of the file of a group of ours', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    const file = await fs.open(`${dir}/kept`, 'w+');
    await file.groupLock(4711);
    await file.write('group', 0);
    const read = 'dd if=kept iflag=nonblock bs=4k count=1 2>/dev/null || echo busy';
    expect(await kernel.sh(read)).toBe('busy\n');
    await file.groupUnlock(4711);
    expect(await kernel.sh(read)).toBe('group');
    await file.close();
  });

  compare('tells one of ours and theirs who wait for each other', cluster, async (kernel, skip) => {
    const { fs, dir } = cluster;
    await using file = await fs.open(`${dir}/circle`, 'w+');
    await file.lockRange('exclusive', { start: 0, length: 10 });
    const script = `command -v python3 > /dev/null || exit 0
python3 - <<'END'
import errno, fcntl, os
f = os.open('circle', os.O_RDWR)
fcntl.lockf(f, fcntl.LOCK_EX, 10, 10)
os.write(os.open('holds', os.O_CREAT | os.O_WRONLY), b'x')
try: fcntl.lockf(f, fcntl.LOCK_EX, 10, 0); print('got')
except OSError as e: print('EDEADLK' if e.errno == errno.EDEADLK else e)
END`;
    const theirs = kernel.sh(script);
    const holds = async (): Promise<boolean> => (await fs.readdir(dir)).includes('holds');
    while (!(await holds())) {
      if ((await Promise.race([theirs, fs.stat(dir)])) === '') return skip('no python3 in that shell');
    }
    const ours = await file.lockRange('exclusive', { start: 10, length: 10 }).then(
      () => 'got',
      ({ code }) => code,
    );
    await file.lockRange('unlock');
    expect([ours, (await theirs).trim()].sort()).toEqual(['EDEADLK', 'got']);
  });

  compare('keeps a flock of ours and one of theirs apart', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    const file = await fs.open(`${dir}/both`, 'w+');
    await file.flock('exclusive');
    expect(await kernel.sh('flock -n both true && echo got || echo busy')).toBe('busy\n');
    await file.flock('unlock');
    expect(await kernel.sh('flock -n both true && echo got || echo busy')).toBe('got\n');
    await file.close();
  });
});
