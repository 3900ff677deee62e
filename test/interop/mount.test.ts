/** Mounting and leaving: wrong names, sub-directories, and what stays behind. */
import { describe, expect, it } from 'vitest';
import { mount } from '../../lib/index.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';

const cluster = clusterUnderTest('mount');

describe('mount', { timeout: PATIENCE_MS }, () => {
  it('connects to each target that the configuration names', async () => {
    const { fs } = cluster;
    const targets = await fs.statfsTargets();
    const names = targets.map((target) => target.name);
    expect(names.length).toBe(new Set(names).size);
    expect(names.some((name) => /-MDT0000$/.test(name))).toBe(true);
    expect(names.some((name) => /-OST[0-9a-f]{4}$/.test(name))).toBe(true);
  });

  it('mounts a sub-directory as root', async () => {
    const { fs, dir, spec } = cluster;
    await fs.mkdir(`${dir}/sub/deep`, { recursive: true });
    await fs.writeFile(`${dir}/sub/deep/f`, 'in a sub-directory');
    await using sub = await mount(`${spec}${dir}/sub`, cluster.options(1));
    expect(await sub.readdir('/')).toEqual(['deep']);
    expect(await sub.readFile('/deep/f', 'utf8')).toBe('in a sub-directory');
  });

  it('says that a file system or directory is not there', async () => {
    const { spec } = cluster;
    const nowhere = spec.replace(/:\/.*/, ':/toolongname');
    await expect(mount(nowhere, cluster.options(1))).rejects.toMatchObject({ code: 'EINVAL' });
    const wrong = spec.replace(/:\/.*/, ':/nosuch');
    await expect(mount(wrong, cluster.options(1))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(mount(`${spec}/no/such/directory`, cluster.options(1))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  it('changes nothing when it is mounted ro', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/ro`, 'only to be read');
    await using ro = await cluster.mount(1, { options: 'ro' });
    expect(await ro.readFile(`${dir}/ro`, 'utf8')).toBe('only to be read');
    const changes = [
      ro.writeFile(`${dir}/ro`, 'x'),
      ro.mkdir(`${dir}/rw`),
      ro.unlink(`${dir}/ro`),
      ro.chmod(`${dir}/ro`, 0o600),
      ro.rename(`${dir}/ro`, `${dir}/rw`),
      ro.setxattr(`${dir}/ro`, 'user.x', 'x'),
    ];
    for (const change of changes) await expect(change).rejects.toMatchObject({ code: 'EROFS' });
    expect(await fs.readFile(`${dir}/ro`, 'utf8')).toBe('only to be read');
  });

  it('does without a target that is excluded', async () => {
    const { fs, dir } = cluster;
    const osts = (await fs.statfsTargets()).filter(({ kind }) => kind === 'ost');
    await fs.writeFile(`${dir}/there`, 'x', { stripeCount: 1, stripeOffset: osts[0]!.index });
    await fs.writeFile(`${dir}/elsewhere`, 'x', { stripeCount: 1, stripeOffset: osts.at(-1)!.index });
    await using some = await cluster.mount(1, { options: `exclude=${osts.at(-1)!.name}` });
    const left = (await some.statfsTargets()).map(({ name }) => name);
    expect(left).not.toContain(osts.at(-1)!.name);
    expect(left).toContain(osts[0]!.name);
    expect(await some.readFile(`${dir}/there`, 'utf8')).toBe('x');
    await expect(some.readFile(`${dir}/elsewhere`)).rejects.toMatchObject({ code: 'EIO' });
    expect(await some.readdir(dir)).toContain('elsewhere');
  });

  it('comes and goes many times', async () => {
    const { dir } = cluster;
    for (let i = 0; i < 5; i++) {
      const fs = await cluster.mount();
      await fs.writeFile(`${dir}/again`, `time ${i}`);
      await fs.unmount();
      await fs.unmount();
    }
    expect(await cluster.fs.readFile(`${dir}/again`, 'utf8')).toBe('time 4');
  });
});
