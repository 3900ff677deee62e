/**
 * Our client does what the notes of the captures document, against the kernel servers' recorded replies: with the documented
 * results, and with the kernel client's requests but for what `differences.ts` explains.
 */
import { describe, expect, it } from 'vitest';
import { capture } from '../cli/captures.ts';
import { explain } from './comparison.ts';
import { MEANT } from './differences.ts';
import { NOT_ASKED, numberOf, timesOf } from './omissions.ts';
import { replay } from './replay.ts';
import { SCRIPTS } from './scripts/all.ts';

describe('a target that is down', () => {
  it.each(['lab-MDT0001', 'lab-OST0001'])('%s: the file system is mounted all the same', async (down) => {
    await replay(
      capture('01-mount-df-umount'),
      async ({ filesystem, step }) => {
        await step('lfs path2fid', async () => {
          expect(await filesystem.stat('/', { bigint: true })).toMatchObject({ size: 4096n, nlink: 3n });
        });
      },
      { down },
    );
  });

  it('is left alone when the mount excludes it', async () => {
    const peer = await replay(
      capture('01-mount-df-umount'),
      async ({ filesystem, step }) => {
        await step('df -k', async () => {
          const names = (await filesystem.statfsTargets()).map(({ name }) => name);
          expect(names).toEqual(['lab-MDT0000', 'lab-MDT0001', 'lab-OST0000']);
        });
      },
      { options: 'flock,exclude=lab-OST0001' },
    );
    expect(peer.matches.filter(({ purpose }) => purpose.target === 'lab-OST0001')).toEqual([]);
  });

  it('lab-MDT0000: it is not, and the error names it', async () => {
    const mounting = replay(capture('01-mount-df-umount'), async () => {}, { down: 'lab-MDT0000' });
    await expect(mounting).rejects.toMatchObject({ code: 'ETIMEDOUT', target: 'lab-MDT0000' });
  });
});

describe('replayed captures', () => {
  const needed = new Set<unknown>();
  const replayed = new Set<unknown>();
  /** Rows of the omissions that explained as many as they say, by their place and the capture's number. */
  const exhausted = new Set<string>();
  for (const [name, script, options] of SCRIPTS) {
    it.skipIf(capture(name) === '')([name, options?.checksums].join(' '), async () => {
      const peer = await replay(capture(name), script, options);
      const { differences, omissions, rows, times } = explain(peer);
      for (const row of rows) needed.add(row);
      NOT_ASKED.forEach((row, i) => {
        if (times.get(row) === timesOf(row, peer.recording)) exhausted.add(`${i} ${numberOf(name)}`);
      });
      replayed.add(script);
      expect(differences).toEqual([]);
      expect(omissions).toEqual([]);
      expect(peer.callbacks.answers.filter(({ status }) => status !== 0)).toEqual([]);
      expect(peer.locks.kept).toEqual([]);
    });
  }

  it('need each row of the tables', (context) => {
    // Only all of them together tell that nothing needs a row.
    if (replayed.size < SCRIPTS.length) context.skip();
    const idle = MEANT.filter((row) => !needed.has(row)).map(
      ({ operation, field }) => `${operation} ${field}`,
    );
    const absent = NOT_ASKED.flatMap(({ times, why }, i) =>
      Object.keys(times)
        .filter((number) => !exhausted.has(`${i} ${number}`))
        .map((number) => `${number}: ${why}`),
    );
    expect([idle, absent]).toEqual([[], []]);
  });
});
