/** Names and directories: what one client makes, another one and a kernel client see, and the other way round. */
import { constants } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';

const cluster = clusterUnderTest('names');

describe('namespace', { timeout: PATIENCE_MS }, () => {
  it('makes, lists, moves, links and removes names', async () => {
    const { fs, dir } = cluster;
    const top = `${dir}/tree`;
    await fs.mkdir(`${top}/a/b`, { recursive: true });
    await fs.writeFile(`${top}/a/file`, 'one');
    await fs.link(`${top}/a/file`, `${top}/a/hard`);
    await fs.symlink('../a/file', `${top}/a/soft`);
    await fs.mknod(`${top}/a/fifo`, constants.S_IFIFO | 0o600);
    expect((await fs.readdir(`${top}/a`)).sort()).toEqual(['b', 'fifo', 'file', 'hard', 'soft']);
    expect((await fs.stat(`${top}/a/file`)).nlink).toBe(2);
    expect(await fs.readlink(`${top}/a/soft`)).toBe('../a/file');
    expect(await fs.readFile(`${top}/a/soft`, 'utf8')).toBe('one');
    expect((await fs.lstat(`${top}/a/fifo`)).isFIFO()).toBe(true);
    await fs.rename(`${top}/a/file`, `${top}/a/b/moved`);
    expect(await fs.readFile(`${top}/a/hard`, 'utf8')).toBe('one');
    await expect(fs.stat(`${top}/a/file`)).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(fs.rmdir(`${top}/a`)).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    await expect(fs.unlink(`${top}/a`)).rejects.toMatchObject({ code: 'EISDIR' });
    await fs.mkdir(`${top}/empty`);
    await expect(fs.unlink(`${top}/empty`)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(fs.rename(`${top}/a/hard`, `${top}/empty`)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(fs.rename(`${top}/empty`, `${top}/a/hard`)).rejects.toMatchObject({ code: 'ENOTDIR' });
    await fs.rmdir(`${top}/empty`);
    await expect(fs.mkdir(`${top}/a`)).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(fs.rename(`${top}/a`, `${top}/a/b/inside`)).rejects.toMatchObject({ code: 'EINVAL' });
    await fs.rm(top, { recursive: true });
    await expect(fs.stat(top)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('overwrites by rename, and keeps an open file whose name is gone', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/old`, 'old');
    await fs.writeFile(`${dir}/new`, 'new');
    const file = await fs.open(`${dir}/old`, 'r+');
    await fs.rename(`${dir}/new`, `${dir}/old`);
    expect(await fs.readFile(`${dir}/old`, 'utf8')).toBe('new');
    await file.write('OLD', 0);
    expect((await file.readFile()).toString()).toMatch(/OLD|^$/);
    await file.close();
    await fs.unlink(`${dir}/old`);
  });

  it('lists a large directory whole, once each', async () => {
    const { fs, dir } = cluster;
    const names = Array.from({ length: 300 }, (_, i) => `${'n'.repeat(40)}${i}`);
    await fs.mkdir(`${dir}/many`);
    for (let i = 0; i < names.length; i += 20)
      await Promise.all(names.slice(i, i + 20).map((name) => fs.writeFile(`${dir}/many/${name}`, '')));
    const listed = await fs.readdir(`${dir}/many`);
    expect(listed.length).toBe(names.length);
    expect(new Set(listed)).toEqual(new Set(names));
    if (cluster.kernel !== undefined)
      expect((await cluster.kernel.names('many')).sort()).toEqual([...names].sort());
  });

  it('takes names of 255 bytes, of any bytes, and refuses longer ones', async () => {
    const { fs, dir } = cluster;
    const longest = 'x'.repeat(255);
    const odd = 'späße \n"\\ 名';
    await fs.writeFile(`${dir}/${longest}`, '1');
    await fs.writeFile(`${dir}/${odd}`, '2');
    const names = await fs.readdir(dir);
    expect(names).toContain(longest);
    expect(names).toContain(odd);
    await expect(fs.writeFile(`${dir}/${longest}x`, '')).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    expect(await fs.readFile(`${dir}/${odd}`, 'utf8')).toBe('2');
  });

  it('shows changes of one client to another at once', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/shared`, 'first');
    await using other = await cluster.mount();
    expect(await other.readFile(`${dir}/shared`, 'utf8')).toBe('first');
    await fs.rename(`${dir}/shared`, `${dir}/renamed`);
    await expect(other.stat(`${dir}/shared`)).rejects.toMatchObject({ code: 'ENOENT' });
    await other.writeFile(`${dir}/renamed`, 'second, longer');
    expect(await fs.readFile(`${dir}/renamed`, 'utf8')).toBe('second, longer');
    expect((await fs.stat(`${dir}/renamed`)).size).toBe(14);
    await other.unlink(`${dir}/renamed`);
    await expect(fs.stat(`${dir}/renamed`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('finds FIDs of paths and paths of FIDs', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/byfid`, '');
    const fid = await fs.fid(`${dir}/byfid`);
    expect(fid).toBe((await fs.stat(`${dir}/byfid`)).fid);
    expect(await fs.pathOf(fid)).toMatch(/byfid$/);
  });

  compare('names both ways round', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    await fs.mkdir(`${dir}/ours`);
    await fs.writeFile(`${dir}/ours/f`, 'ours');
    await fs.symlink('f', `${dir}/ours/l`);
    expect((await kernel.names('ours')).sort()).toEqual(['f', 'l']);
    expect(await kernel.sh('readlink ours/l')).toBe('f\n');
    await kernel.sh(
      'mkdir theirs && echo theirs > theirs/f && ln theirs/f theirs/h && ln -s f theirs/l && mkfifo theirs/p',
    );
    expect((await fs.readdir(`${dir}/theirs`)).sort()).toEqual(['f', 'h', 'l', 'p']);
    expect(await fs.readFile(`${dir}/theirs/l`, 'utf8')).toBe('theirs\n');
    expect((await fs.stat(`${dir}/theirs/h`)).nlink).toBe(2);
    await kernel.sh('mv ours/f ours/g && rm ours/l');
    expect(await fs.readdir(`${dir}/ours`)).toEqual(['g']);
    await fs.rename(`${dir}/theirs/f`, `${dir}/ours/f`);
    expect((await kernel.names('ours')).sort()).toEqual(['f', 'g']);
    expect((await kernel.stat('ours/f')).ino).toBe((await fs.stat(`${dir}/ours/f`, { bigint: true })).ino);
  });
});
