import { constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { xattrBuffers } from '../../lib/client/mdc/intent-getxattr.ts';
import { permits, R_OK, W_OK, X_OK } from '../../lib/client/namespace/permission.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import { RQF_LDLM_INTENT_GETXATTR } from '../../lib/wire/formats.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { rpcsOf } from './rpc-count.ts';
import { withCluster } from './sim-cluster.ts';

const NOTHING = {};

describe('what is cached costs no request', () => {
  it('stat, lookup, readdir, getxattr, access and open of what did not change', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/d/e', { recursive: true });
      await fs.writeFile('/d/e/f', 'hello', { stripeCount: 2 });
      await fs.setxattr('/d/e/f', 'user.color', 'blue');
      await fs.symlink('e/f', '/d/link');
      const all = async (): Promise<void> => {
        expect((await fs.stat('/d/e/f')).size).toBe(5);
        expect((await fs.stat('/d/link')).size).toBe(5);
        expect((await fs.lstat('/d/link')).isSymbolicLink()).toBe(true);
        expect(await fs.readlink('/d/link')).toBe('e/f');
        await fs.access('/d/e/f', constants.R_OK);
        expect(await fs.readdir('/d')).toEqual(expect.arrayContaining(['e', 'link']));
        expect((await fs.getxattr('/d/e/f', 'user.color')).toString()).toBe('blue');
        await expect(fs.getxattr('/d/e/f', 'user.none')).rejects.toMatchObject({ code: 'ENODATA' });
        await expect(fs.getxattr('/d/e/f', 'system.posix_acl_access')).rejects.toMatchObject({
          code: 'ENODATA',
        });
        await expect(fs.stat('/d/nothing')).rejects.toMatchObject({ code: 'ENOENT' });
        await expect(fs.open('/d/nothing')).rejects.toMatchObject({ code: 'ENOENT' });
        expect((await fs.getLayout('/d/e/f'))?.stripeCount).toBe(2);
        await using file = await fs.open('/d/e/f');
        expect((await file.stat()).size).toBe(5);
      };
      for (let warm = 0; warm < 3; warm++) await all();
      expect(await rpcsOf(fs, all)).toEqual(NOTHING);
    }));

  it('is dropped when another client changes it, before that client is told', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      await a.mkdir('/d');
      await a.writeFile('/d/f', 'one');
      const warm = async (): Promise<void> => {
        await a.stat('/d/f');
        await a.readdir('/d');
        await a.getxattr('/d/f', 'user.x').catch(() => undefined);
        await a.stat('/d/g').catch(() => undefined);
        await (await a.open('/d/f')).close();
      };
      for (let i = 0; i < 3; i++) await warm();
      await b.chmod('/d/f', 0o600);
      expect((await a.stat('/d/f')).mode & 0o777).toBe(0o600);
      await b.setxattr('/d/f', 'user.x', '1');
      expect((await a.getxattr('/d/f', 'user.x')).toString()).toBe('1');
      await warm();
      await b.writeFile('/d/g', 'new');
      expect((await a.stat('/d/g')).size).toBe(3);
      expect((await a.readdir('/d')).sort()).toEqual(['f', 'g']);
      await b.utimes('/d/f', 1, 2);
      expect((await a.stat('/d/f')).mtimeMs).toBe(2000);
      await b.rename('/d/f', '/d/h');
      await expect(a.stat('/d/f')).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(a.open('/d/f')).rejects.toMatchObject({ code: 'ENOENT' });
      expect((await a.readdir('/d')).sort()).toEqual(['g', 'h']);
      await b.link('/d/h', '/d/i');
      expect((await a.stat('/d/h')).nlink).toBe(2);
      await b.unlink('/d/h');
      expect((await a.stat('/d/i')).nlink).toBe(1);
    }));

  it('is kept where another client changes something else of the same object', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      await b.mkdir('/d/e/f', { recursive: true });
      for (let i = 0; i < 3; i++) {
        await a.stat('/d/e');
        await a.stat('/d/e/f');
      }
      // Its names change, its own name and mode do not: a converts its lock, and walks through it as before.
      const given = await rpcsOf(a, () => b.writeFile('/d/e/g', 'y'));
      expect(given).toEqual({ LDLM_CONVERT: 1 });
      expect(await rpcsOf(a, () => a.stat('/d/e/f'))).toEqual(NOTHING);
      expect((await a.readdir('/d/e')).sort()).toEqual(['f', 'g']);
      await b.chmod('/d/e', 0o700);
      expect((await a.stat('/d/e')).mode & 0o777).toBe(0o700);
    }));

  it('is dropped by our own changes too', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/d');
      await fs.writeFile('/d/f', 'x');
      for (let i = 0; i < 3; i++) {
        await fs.stat('/d/g').catch(() => undefined);
        await fs.readdir('/d');
        await (await fs.open('/d/f')).close();
      }
      await fs.rename('/d/f', '/d/g');
      expect(await fs.readdir('/d')).toEqual(['g']);
      expect((await fs.stat('/d/g')).size).toBe(1);
      await expect(fs.open('/d/f')).rejects.toMatchObject({ code: 'ENOENT' });
      await fs.setxattr('/d/g', 'user.a', 'A');
      expect((await fs.getxattr('/d/g', 'user.a')).toString()).toBe('A');
      await fs.removexattr('/d/g', 'user.a');
      await expect(fs.getxattr('/d/g', 'user.a')).rejects.toMatchObject({ code: 'ENODATA' });
      await fs.chmod('/d/g', 0o640);
      expect((await fs.stat('/d/g')).mode & 0o777).toBe(0o640);
      await fs.truncate('/d/g', 100);
      expect((await fs.stat('/d/g')).size).toBe(100);
      await fs.unlink('/d/g');
      expect(await fs.readdir('/d')).toEqual([]);
    }));
});

describe('a kept open handle', () => {
  it('is closed at the server when the file is removed, and never before its last user has finished', () =>
    withCluster(async ({ mount, node }) => {
      const [a, b] = [await mount(), await mount()];
      await a.writeFile('/f', 'kept');
      for (let i = 0; i < 2; i++) await (await a.open('/f')).close();
      const open = (): number => node.mdt!.core.files.count;
      expect(open()).toBe(1);
      const file = await a.open('/f');
      expect(open()).toBe(1);
      await b.unlink('/f');
      expect(open()).toBe(1);
      expect((await file.readFile()).toString()).toBe('kept');
      await file.close();
      expect(open()).toBe(0);
      await a.writeFile('/g', 'unused');
      for (let i = 0; i < 2; i++) await (await a.open('/g')).close();
      expect(open()).toBe(1);
      await b.unlink('/g');
      expect(open()).toBe(0);
    }));

  it('serves directories as well', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/d');
      for (let i = 0; i < 3; i++) await fs.readdir('/d');
      expect(await rpcsOf(fs, () => fs.readdir('/d'))).toEqual(NOTHING);
      await fs.writeFile('/d/f', '');
      expect(await rpcsOf(fs, () => fs.readdir('/d'))).not.toEqual(NOTHING);
      expect(await fs.readdir('/d')).toEqual(['f']);
      expect(await rpcsOf(fs, () => fs.readdir('/d'))).toEqual(NOTHING);
      await fs.rm('/d', { recursive: true });
      await expect(fs.readdir('/d')).rejects.toMatchObject({ code: 'ENOENT' });
    }));
});

describe('requests', () => {
  it('of a create and of ls -l are as few as can be', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount(), await mount()];
      await fs.mkdir('/d');
      await fs.writeFile('/d/warm', '');
      const create = await rpcsOf(fs, async () => (await fs.open('/d/new', 'wx')).close());
      expect(create).toEqual({ LDLM_ENQUEUE: 1, MDS_CLOSE: 1 });
      for (let i = 0; i < 40; i++) await (await fs.open(`/d/f${i}`, 'wx')).close();
      const list = await rpcsOf(other, async () => {
        for (const name of await other.readdir('/d')) await other.stat(`/d/${name}`);
      });
      // A name and an object each; the directory is looked up, opened, locked, read and closed.
      expect(list.LDLM_ENQUEUE).toBeLessThanOrEqual(2 * 42 + 4);
      expect(list.MDS_READPAGE).toBe(1);
    }));
});

describe('requests for extended attributes equal those of a kernel client', () => {
  it('all at once, with a lock (02 pkt 174)', () => {
    const root = { uid: 0, gid: 0, groups: [], umask: 0o022 };
    const ours = encoded(RQF_LDLM_INTENT_GETXATTR, {
      dlm_req: {},
      ...xattrBuffers(parseFid('[0x200000403:0x2:0x0]'), 2500, root),
    });
    expect(ours.slice(1)).toEqual(buffersOf(capturedMessage('02-namespace', 174, 101)).slice(1));
  });
});

describe('permission from access lists', () => {
  const who = (uid: number, gid: number, groups: number[] = []) => ({ uid, gid, groups, umask: 0 });
  /** u::rw-, u:7:r-x, g::r--, g:8:-wx, m::rw-, o::--x */
  const acl = Buffer.from(
    '02000000' +
      '01000600ffffffff' +
      '0200050007000000' +
      '04000400ffffffff' +
      '0800030008000000' +
      '10000600ffffffff' +
      '20000100ffffffff',
    'hex',
  );
  const file = { body: { mbo_mode: 0o100661, mbo_uid: 5, mbo_gid: 6 }, acl };

  it.each([
    ['the owner', who(5, 1), R_OK | W_OK, true],
    ['the owner, beyond its entry', who(5, 1), X_OK, false],
    ['a named user, within the mask', who(7, 1), R_OK, true],
    ['a named user, beyond the mask', who(7, 1), X_OK, false],
    ['the group', who(9, 6), R_OK, true],
    ['the group, not what another group may', who(9, 6), W_OK, false],
    ['a named group', who(9, 1, [8]), W_OK, true],
    ['two groups, neither of which may both', who(9, 6, [8]), R_OK | W_OK, false],
    ['anybody else', who(9, 9), X_OK, true],
    ['anybody else, more', who(9, 9), R_OK, false],
    ['root', who(0, 0), R_OK | W_OK | X_OK, true],
  ])('%s', (_name, caller, wanted, allowed) => {
    expect(permits(file, caller, wanted)).toBe(allowed);
  });
});
