/** Files in archives: their states, and on a cluster with a coordinator and a copy tool the whole way there and back. */
import { expect, it } from 'vitest';
import type { HsmFlag, LustreError } from '../../lib/index.ts';
import { pattern } from '../client/sim-cluster.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';

const cluster = clusterUnderTest('hsm');
/** How long a copy tool may take for a small file. */
const COPY_MS = PATIENCE_MS / 4;

/** Whether the servers give leases, by something else that takes one: kernel servers do, our own do not. */
async function haveLeases(path: string): Promise<boolean> {
  const { fs } = cluster;
  await fs.writeFile(path, 'x');
  try {
    await fs.migrate(path, { stripeCount: 1 });
    return true;
  } catch (error) {
    if ((error as LustreError).code !== 'EOPNOTSUPP') throw error;
    return false;
  }
}

it('keeps what is known of a file in an archive', { timeout: PATIENCE_MS }, async () => {
  const { fs, dir, kernel } = cluster;
  const path = `${dir}/states`;
  await fs.writeFile(path, 'x');
  expect((await fs.getHsmState(path)).flags).toEqual([]);
  await fs.setHsmState(path, { set: ['exists', 'archived'], archiveId: 3 });
  await fs.setHsmState(path, { set: ['norelease'] });
  expect(await fs.getHsmState(path)).toMatchObject({
    flags: ['exists', 'archived', 'norelease'],
    archiveId: 3,
  });
  // It is not to be released; servers without leases do not even come to that.
  const code = (await haveLeases(`${dir}/leased`)) ? 'EPERM' : 'EOPNOTSUPP';
  await expect(fs.releaseHsm(path)).rejects.toMatchObject({ code });
  // What has changed is not what is in the archive.
  await fs.writeFile(path, 'changed', { flag: 'r+' });
  await fs.sync();
  if (kernel === undefined) return;
  const theirs = await kernel.sh('command -v lfs > /dev/null || exit 0; lfs hsm_state states');
  if (theirs === '') return;
  const { flags } = await fs.getHsmState(path);
  for (const flag of flags) expect(theirs).toContain(flag === 'norelease' ? 'never_release' : flag);
  await kernel.sh('lfs hsm_set --noarchive states; lfs hsm_clear --norelease states');
  expect((await fs.getHsmState(path)).flags).toEqual([
    ...flags.filter((one) => one !== 'norelease'),
    'noarchive',
  ]);
});

/** Asks until a file has a flag, or has it no more: nobody tells when a copy tool is done. */
async function until(path: string, flag: HsmFlag, set: boolean): Promise<boolean> {
  const end = performance.now() + COPY_MS;
  while ((await cluster.fs.getHsmState(path)).flags.includes(flag) !== set)
    if (performance.now() > end) return false;
  return true;
}

it('archives, gives up and brings back the data of a file', { timeout: PATIENCE_MS }, async ({ skip }) => {
  const { fs, dir } = cluster;
  const path = `${dir}/archived`;
  const bytes = pattern(3_000_017);
  await fs.writeFile(path, bytes, { stripeCount: 2, stripeSize: 65536 });
  const before = await fs.stat(path);
  await fs
    .requestHsm('archive', [path])
    .catch((error: LustreError) => skip(`there is no HSM coordinator (${error.code})`));
  if (!(await until(path, 'archived', true))) skip('no copy tool has taken the request');
  await fs.releaseHsm(path);
  expect((await fs.getHsmState(path)).flags).toEqual(['exists', 'released', 'archived']);
  expect((await fs.getLayout(path))?.released).toBe(true);
  expect(await fs.stat(path)).toMatchObject({ size: before.size, mtimeMs: before.mtimeMs, fid: before.fid });

  // Whoever reads it waits until it is back; so does everybody else.
  await using other = await cluster.mount();
  const [ours, theirs] = await Promise.all([fs.readFile(path), other.readFile(path)]);
  expect(ours.equals(bytes)).toBe(true);
  expect(theirs.equals(bytes)).toBe(true);
  expect((await fs.getHsmState(path)).flags).toEqual(['exists', 'archived']);

  // A write to it: the data come back first, and then are others than those in the archive.
  await fs.releaseHsm(path);
  await using file = await fs.open(path, 'r+');
  await file.write('changed', 1_000_000);
  await file.sync();
  bytes.write('changed', 1_000_000);
  expect((await other.readFile(path)).equals(bytes)).toBe(true);
  await file.close();
  expect(await until(path, 'dirty', true)).toBe(true);
  await expect(fs.releaseHsm(path)).rejects.toMatchObject({ code: 'EPERM' });

  // Asked for beforehand.
  await fs.requestHsm('archive', [path]);
  expect(await until(path, 'dirty', false)).toBe(true);
  await fs.releaseHsm(path);
  await fs.requestHsm('restore', [path]);
  expect(await until(path, 'released', false)).toBe(true);
  await fs.requestHsm('remove', [path]);
  expect(await until(path, 'exists', false)).toBe(true);
});

compare('released files: what one gives up the other brings back', cluster, async (kernel, skip) => {
  const { fs, dir } = cluster;
  const bytes = pattern(500_000);
  await fs.writeFile(`${dir}/turns`, bytes);
  const asked = await kernel.sh('lfs hsm_archive turns && echo asked').catch(() => '');
  if (asked === '') return skip('there is no HSM coordinator');
  if (!(await until(`${dir}/turns`, 'archived', true))) return skip('no copy tool has taken the request');
  await kernel.sh('lfs hsm_release turns');
  expect((await fs.readFile(`${dir}/turns`)).equals(bytes)).toBe(true);
  await fs.releaseHsm(`${dir}/turns`);
  expect(await kernel.sh('lfs hsm_state turns')).toContain('released');
  expect(await kernel.sh('stat -c %s turns && cat turns | wc -c')).toBe('500000\n500000\n');
  expect((await fs.getHsmState(`${dir}/turns`)).flags).toEqual(['exists', 'archived']);
});
