import { constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { withCluster } from './sim-cluster.ts';

const code = (wanted: string, more: Record<string, unknown> = {}) =>
  expect.objectContaining({ code: wanted, ...more });

describe('names', () => {
  it('are made, listed, renamed and removed', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/d');
      await fs.writeFile('/d/a', 'A');
      await fs.writeFile('d/b', 'B');
      expect((await fs.readdir('/d')).sort()).toEqual(['a', 'b']);
      await fs.rename('/d/a', '/d/c');
      await fs.rename('/d/c', '/d/b');
      expect(await fs.readdir('/d')).toEqual(['b']);
      expect(await fs.readFile('/d/b', 'utf8')).toBe('A');
      await fs.unlink('/d/b');
      await fs.rmdir('/d');
      expect(await fs.readdir('/')).toEqual([]);
    }));

  it('fail as node:fs does', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/d');
      await fs.writeFile('/d/f', '');
      await expect(fs.stat('/nope')).rejects.toEqual(
        code('ENOENT', { errno: -2, syscall: 'stat', path: '/nope' }),
      );
      await expect(fs.readFile('/nope')).rejects.toEqual(code('ENOENT', { syscall: 'open' }));
      await expect(fs.stat('/d/f/x')).rejects.toEqual(code('ENOTDIR'));
      await expect(fs.stat('/d/f/')).rejects.toEqual(code('ENOTDIR'));
      await expect(fs.mkdir('/d')).rejects.toEqual(code('EEXIST', { syscall: 'mkdir', path: '/d' }));
      await expect(fs.mkdir('/')).rejects.toEqual(code('EEXIST'));
      await expect(fs.rmdir('/d')).rejects.toEqual(code('ENOTEMPTY'));
      await fs.mkdir('/d/below');
      await expect(fs.rename('/d/below', '/d')).rejects.toEqual(code('ENOTEMPTY'));
      await fs.rmdir('/d/below');
      await expect(fs.rmdir('/d/f')).rejects.toEqual(code('ENOTDIR'));
      await expect(fs.unlink('/d')).rejects.toEqual(code('EISDIR'));
      await expect(fs.rmdir('/')).rejects.toEqual(code('EBUSY'));
      await expect(fs.readdir('/d/f')).rejects.toEqual(code('ENOTDIR'));
      await expect(fs.readlink('/d/f')).rejects.toEqual(code('EINVAL'));
      await expect(fs.rename('/d', '/d/e')).rejects.toEqual(code('EINVAL', { path: '/d', dest: '/d/e' }));
      await expect(fs.rename('/x', '/y')).rejects.toEqual(code('ENOENT'));
      await expect(fs.link('/d', '/e')).rejects.toEqual(code('EPERM'));
      await expect(fs.open('/d/f', 'wx')).rejects.toEqual(code('EEXIST'));
      await fs.symlink('nowhere', '/link');
      await expect(fs.open('/link', 'wx')).rejects.toEqual(code('EEXIST'));
      await fs.unlink('/link');
      await expect(fs.open('/d', 'w')).rejects.toEqual(code('EISDIR'));
      await expect(fs.writeFile(`/${'x'.repeat(256)}`, '')).rejects.toEqual(code('ENAMETOOLONG'));
      await expect(fs.stat('')).rejects.toEqual(code('ENOENT'));
      await expect(fs.stat('a\0b')).rejects.toEqual(code('ERR_INVALID_ARG_VALUE'));
      await expect(fs.open('/d/f', 'q')).rejects.toEqual(code('ERR_INVALID_ARG_VALUE'));
      await expect(fs.rm('/nope')).rejects.toEqual(code('ENOENT'));
      await fs.rm('/nope', { force: true });
      await expect(fs.rm('/d')).rejects.toEqual(code('EISDIR'));
    }));

  it('of the wrong kind are not removed: no server is asked, a kernel MDT would do it', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/empty');
      await fs.writeFile('/f', '');
      const other = await mount();
      const sent = async () => (await other.counters()).rpcs.MDS_REINT ?? 0;
      await expect(other.unlink('/empty')).rejects.toEqual(code('EISDIR'));
      await expect(other.rmdir('/f')).rejects.toEqual(code('ENOTDIR'));
      await expect(other.unlink('/nope')).rejects.toEqual(code('ENOENT'));
      expect(await sent()).toBe(0);
    }));

  it('take every byte but slash and NUL', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const names = ['größe', '日本', ' ', '\n', '"', '-', '...', 'a'.repeat(255)];
      for (const name of names) await fs.writeFile(`/${name}`, name);
      expect((await fs.readdir('/')).sort()).toEqual([...names].sort());
      for (const name of names) expect(await fs.readFile(`/${name}`, 'utf8')).toBe(name);
    }));

  it('that are no UTF-8 are listed and reached by what was listed', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
      await fs.writeFile(bytes, 'x');
      const [name] = await fs.readdir('/');
      expect(await fs.readFile(`/${name}`, 'utf8')).toBe('x');
      await fs.unlink(bytes);
      expect(await fs.readdir('/')).toEqual([]);
    }));

  it('list large directories once each, whole', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const names = Array.from({ length: 350 }, (_, i) => `${i}-`.padEnd(230, 'long-names-fill-pages-'));
      await fs.mkdir('/many');
      for (let i = 0; i < names.length; i += 50)
        await Promise.all(names.slice(i, i + 50).map((name) => fs.mkdir(`/many/${name}`)));
      expect((await fs.readdir('/many')).sort()).toEqual([...names].sort());
      const types = await fs.readdir('/many', { withFileTypes: true });
      expect(types.every((entry) => entry.isDirectory() && entry.parentPath === '/many')).toBe(true);
      await fs.rm('/many', { recursive: true });
      expect(await fs.readdir('/')).toEqual([]);
    }));

  it('mkdir with recursive makes what is missing and says where it began', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      expect(await fs.mkdir('/a/b/c', { recursive: true })).toBe('/a');
      expect(await fs.mkdir('/a/b/c', { recursive: true })).toBeUndefined();
      expect(await fs.mkdir('/a/b/d/e', { recursive: true })).toBe('/a/b/d');
      expect((await fs.readdir('/', { recursive: true })).sort()).toEqual([
        'a',
        'a/b',
        'a/b/c',
        'a/b/d',
        'a/b/d/e',
      ]);
      await fs.writeFile('/a/f', '');
      await expect(fs.mkdir('/a/f', { recursive: true })).rejects.toEqual(code('EEXIST'));
    }));
});

describe('links', () => {
  it('symlinks are followed in every place, and not by lstat', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/a/b', { recursive: true });
      await fs.writeFile('/a/b/f', 'text');
      await fs.symlink('b', '/a/down');
      await fs.symlink('../a/down/f', '/a/file');
      await fs.symlink('/a/file', '/abs');
      expect(await fs.readlink('/a/file')).toBe('../a/down/f');
      expect(await fs.readFile('/abs', 'utf8')).toBe('text');
      expect(await fs.readFile('/a/down/../b/f', 'utf8')).toBe('text');
      expect(await fs.realpath('/abs')).toBe('/a/b/f');
      expect((await fs.lstat('/abs')).isSymbolicLink()).toBe(true);
      expect((await fs.stat('/abs')).size).toBe(4);
      await fs.writeFile('/abs', 'other');
      expect(await fs.readFile('/a/b/f', 'utf8')).toBe('other');
      await fs.symlink('a', '/list');
      await fs.symlink('none', '/nowhere');
      expect(await fs.readdir('/list')).toContain('down');
      await expect(fs.readdir('/nowhere')).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(fs.readdir('/abs')).rejects.toMatchObject({ code: 'ENOTDIR' });
      await fs.symlink('made', '/dangling');
      await fs.writeFile('/dangling', 'x');
      expect(await fs.readFile('/made', 'utf8')).toBe('x');
      await fs.unlink('/abs');
      expect(await fs.readFile('/a/b/f', 'utf8')).toBe('other');
    }));

  it('in a circle are ELOOP', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.symlink('y', '/x');
      await fs.symlink('x', '/y');
      await expect(fs.stat('/x')).rejects.toEqual(code('ELOOP'));
      await expect(fs.readFile('/x')).rejects.toEqual(code('ELOOP'));
      await expect(fs.stat('/x/z')).rejects.toEqual(code('ELOOP'));
      await expect(fs.open('/x', constants.O_RDONLY | constants.O_NOFOLLOW)).rejects.toEqual(code('ELOOP'));
    }));

  it('hard links share everything', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/a', '1');
      await fs.link('/a', '/b');
      await fs.appendFile('/b', '2');
      expect(await fs.readFile('/a', 'utf8')).toBe('12');
      expect([(await fs.stat('/a')).nlink, await fs.fid('/a')]).toEqual([2, await fs.fid('/b')]);
      await fs.unlink('/a');
      expect([(await fs.stat('/b')).nlink, await fs.readFile('/b', 'utf8')]).toEqual([1, '12']);
    }));
});

describe('attributes', () => {
  it('times that an open handle sets outlive its close', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount(), await mount()];
      for (const flags of ['r', 'r+', 'w+']) {
        await fs.writeFile('/f', 'x');
        {
          await using file = await fs.open('/f', flags);
          await file.read(Buffer.alloc(1));
          await file.utimes(1000, 2000);
        }
        const times = { atimeMs: 1_000_000, mtimeMs: 2_000_000 };
        expect([await fs.stat('/f'), await other.stat('/f')]).toMatchObject([times, times]);
      }
    }));

  it('are set and shown', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      await fs.writeFile('/f', 'x', { mode: 0o640 });
      expect((await fs.stat('/f')).mode & 0o7777).toBe(0o640);
      await fs.chmod('/f', 0o4711);
      await fs.chown('/f', 1000, 1001);
      await fs.utimes('/f', 1000, new Date(2000_000));
      const stats = await fs.stat('/f');
      expect(stats).toMatchObject({
        uid: 1000,
        gid: 1001,
        atimeMs: 1_000_000,
        mtimeMs: 2_000_000,
        size: 1,
        nlink: 1,
      });
      expect(stats.mode & 0o1777).toBe(0o711);
      expect(stats.ctimeMs).toBeGreaterThan(sim.runtime.wallTime() - 10_000);
      const big = await fs.stat('/f', { bigint: true });
      expect([big.size, big.mtimeNs]).toEqual([1n, 2_000_000_000_000n]);
      await fs.writeFile('/f', 'longer');
      expect((await fs.stat('/f')).mtimeMs).toBeGreaterThan(2_000_000);
    }));

  it('the umask applies to what is made, not to chmod', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount({ credentials: { umask: 0o077 } });
      await fs.mkdir('/d');
      await fs.writeFile('/f', '');
      await fs.chmod('/d', 0o777);
      expect((await fs.stat('/d')).mode & 0o777).toBe(0o777);
      expect((await fs.stat('/f')).mode & 0o777).toBe(0o600);
    }));

  it('permissions are checked, also for names that are cached', () =>
    withCluster(async ({ mount }) => {
      const root = await mount();
      await root.mkdir('/open', { mode: 0o777 });
      await root.chmod('/open', 0o777);
      await root.mkdir('/closed', { mode: 0o700 });
      await root.writeFile('/closed/f', 'secret');
      await root.writeFile('/readable', 'text');
      const user = await mount({ credentials: { uid: 1000, gid: 1000 } });
      await user.writeFile('/open/mine', 'x');
      expect(await root.stat('/open/mine')).toMatchObject({ uid: 1000, gid: 1000 });
      expect(await user.readFile('/readable', 'utf8')).toBe('text');
      await expect(user.readFile('/closed/f')).rejects.toEqual(code('EACCES'));
      await expect(user.writeFile('/readable', 'y')).rejects.toEqual(code('EACCES'));
      await expect(user.mkdir('/new')).rejects.toEqual(code('EACCES'));
      await expect(user.chmod('/readable', 0o777)).rejects.toEqual(code('EPERM'));
      await expect(user.access('/readable', constants.W_OK)).rejects.toEqual(code('EACCES'));
      await user.access('/readable', constants.R_OK);
      await root.chmod('/closed', 0o755);
      expect(await user.readFile('/closed/f', 'utf8')).toBe('secret');
      await root.chmod('/closed', 0o700);
      await expect(user.stat('/closed/f')).rejects.toEqual(code('EACCES'));
    }));

  it('extended attributes come and go', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', '');
      await fs.setxattr('/f', 'user.color', 'blue');
      await expect(fs.setxattr('/f', 'user.color', 'x', { flag: 'create' })).rejects.toEqual(code('EEXIST'));
      expect((await fs.getxattr('/f', 'user.color')).toString()).toBe('blue');
      expect(await fs.listxattr('/f')).toContain('user.color');
      await fs.removexattr('/f', 'user.color');
      await expect(fs.getxattr('/f', 'user.color')).rejects.toEqual(code('ENODATA'));
    }));

  it('special files are made but not opened for data', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mknod('/fifo', constants.S_IFIFO | 0o644);
      expect((await fs.stat('/fifo')).isFIFO()).toBe(true);
      expect((await fs.readdir('/', { withFileTypes: true }))[0]?.isFIFO()).toBe(true);
    }));
});

describe('mounts', () => {
  it('of a sub-directory have it as root', () =>
    withCluster(async ({ mount }) => {
      const whole = await mount();
      await whole.mkdir('/home/me', { recursive: true });
      await whole.writeFile('/home/me/f', 'x');
      await whole.symlink('/home', '/link');
      const mine = await mount({}, '/home/me');
      expect(await mine.readdir('/')).toEqual(['f']);
      await expect(mine.stat('/../../home')).rejects.toEqual(code('ENOENT'));
      await expect(mount({}, '/home/you')).rejects.toEqual(code('ENOENT'));
      await expect(mount({}, '/home/me/f')).rejects.toEqual(code('ENOTDIR'));
      await expect(mount({}, '/link/me')).rejects.toEqual(code('ENOTDIR'));
    }));

  it('of what is not there say what is wrong', () =>
    withCluster(async ({ node, sim }) => {
      const { mountFilesystem } = await import('../../lib/client/mount.ts');
      const { runtime, network } = sim.process('stranger');
      const options = { runtime, network, nid: '127.0.9.1@tcp', connectTimeoutMs: 5000 };
      await expect(mountFilesystem('127.0.0.1@tcp:/other', options)).rejects.toEqual(code('ENOENT'));
      await expect(mountFilesystem('127.0.7.7@tcp:/sim', options)).rejects.toThrow(/127\.0\.7\.7@tcp/);
      await expect(mountFilesystem('sim', options)).rejects.toThrow(/mount specification/);
      expect(node.spec).toBe('127.0.0.1@tcp:/sim');
    }));
});
