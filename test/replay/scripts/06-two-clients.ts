/** Capture 06: two mounts that read and write the same file in turn, and the same directory. */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';
import { cat } from './shell.ts';

export async function twoClients({ filesystem: a, second: b, step, dropLocks }: Replay): Promise<void> {
  await step('lfs setstripe -c 1 -i 0 $A/c', async () => {
    await (await a.open('/c', 'wx', 0o644, { stripeCount: 1, stripeOffset: 0 })).close();
    await dropLocks();
    await a.writeFile('/c', 'written by A\n');
    expect(await a.fid('/c')).toBe('[0x200000407:0x1:0x0]');
    expect(await a.getLayout('/c')).toMatchObject({
      stripeCount: 1,
      objects: [{ ostIndex: 0, oid: 0x20, seq: 0x280000401n }],
    });
  });
  await step('B reads', async () => {
    expect(await cat(b, '/c')).toBe('written by A\n');
  });
  await step('from B, longer line', async () => {
    {
      // The kernel knew that there is such a file, and had no need for a FID to make it with.
      await using file = await b.open('/c', constants.O_WRONLY | constants.O_TRUNC);
      await file.write(Buffer.from('from B, longer line\n'));
    }
    expect(await cat(a, '/c')).toBe('from B, longer line\n');
    for (const client of [a, b]) {
      const { size, mtime } = await client.stat('/c');
      expect([size, mtime.toISOString()]).toEqual([20, '2026-11-22T09:32:22.000Z']);
    }
  });
  await step('exec 5>>', async () => {
    await using file = await a.open('/c', constants.O_WRONLY | constants.O_APPEND);
    for (const i of [1, 2, 3]) {
      await file.write(Buffer.from(`A line ${i}\n`));
      expect((await b.stat('/c')).size).toBe(20 + 9 * i);
    }
    await file.close();
    expect(await cat(b, '/c')).toBe('from B, longer line\nA line 1\nA line 2\nA line 3\n');
  });
  await step('dd if=/dev/zero of=/mnt/lustre/w', async () => {
    await using file = await a.open('/w', 'w');
    for (let i = 0; i < 64; i++) await file.write(Buffer.alloc(4096));
    for (let i = 0; i < 5; i++) expect((await b.stat('/w')).size).toBe(262144);
  });
  await step('tr "\\0" A', async () => {
    await (await a.open('/pp', 'wx', 0o644, { stripeCount: 1, stripeOffset: 1 })).close();
    await dropLocks('[0x200000407:0x4:0x0]');
    // In turn: each takes the other's lock away, who writes what it has.
    for (let i = 0; i < 6; i++) {
      const [client, letter] = i % 2 === 0 ? [a, 'A'] : [b, 'B'];
      // As above: from the second time on the kernel knew it.
      await using file = await client.open('/pp', constants.O_WRONLY | (i < 2 ? constants.O_CREAT : 0));
      await file.write(Buffer.alloc(4096, letter), { position: i * 4096 });
    }
    await using file = await a.open('/pp', 'r', 0, { direct: true });
    let letters = '';
    for (let i = 0; i < 6; i++) {
      const { buffer } = await file.read(Buffer.alloc(4096), { position: i * 4096 });
      letters += buffer.toString('latin1', 0, 1);
      expect(new Set(buffer).size).toBe(1);
    }
    expect(letters).toBe('ABABAB');
  });
  await step('mkdir /mnt/lustre/d; ls', async () => {
    await a.mkdir('/d');
    expect(await b.readdir('/d')).toEqual([]);
    // `touch` sets its times, too, which ours does under a lock on the object: no answer to that is recorded.
    await (await a.open('/d/new', constants.O_WRONLY | constants.O_CREAT)).close();
    expect(await b.readdir('/d')).toEqual(['new']);
    await b.unlink('/d/new');
    expect(await a.readdir('/d')).toEqual([]);
    await a.rename('/c', '/d/cc');
    expect((await b.readdir('/')).toSorted()).toEqual(['d', 'pp', 'w']);
    expect(await b.readdir('/d')).toEqual(['cc']);
    await b.chmod('/d/cc', 0o600);
    expect((await a.stat('/d/cc')).mode & 0o777).toBe(0o600);
    {
      // As `truncate` does.
      await using file = await b.open('/d/cc', constants.O_WRONLY | constants.O_CREAT);
      await file.truncate(5);
    }
    expect(await cat(a, '/d/cc')).toBe('from ');
    await b.unlink('/d/cc');
    await b.rmdir('/d');
    expect((await a.readdir('/')).toSorted()).toEqual(['pp', 'w']);
  });
  await step('exec 7</mnt/lustre/w', async () => {
    await using file = await a.open('/w', 'r');
    await b.unlink('/w');
    expect((await file.read(Buffer.alloc(4), { position: 0 })).buffer).toEqual(Buffer.alloc(4));
  });
}
