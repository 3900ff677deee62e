import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type LockReport, startCluster } from '../../lib/index.ts';

const main = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url));

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command as a user runs it: the built file, in a process of its own. */
function lustre(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 26 };
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      resolve({ code, stdout, stderr });
    });
  });
}

// npm test builds dist/ first; a lone `npx vitest` may find none.
describe.skipIf(!existsSync(main))('the lustre command', () => {
  let cluster: Cluster;
  let local: string;
  let env: Record<string, string>;
  const run = (...args: string[]): Promise<Ran> => lustre(args, env);
  const ok = async (...args: string[]): Promise<string> => {
    const ran = await run(...args);
    expect(ran.stderr.split('\n').filter((line) => line.startsWith('lustre:'))).toEqual([]);
    expect(ran.code).toBe(0);
    return ran.stdout;
  };

  beforeAll(async () => {
    cluster = await startCluster({ fsname: 'clitest' });
    local = await mkdtemp(join(tmpdir(), 'lustre-cli-'));
    env = { LUSTRE_PORT: String(cluster.port), LUSTRE_MOUNT: cluster.spec };
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(local, { recursive: true });
  });

  it('takes the root of LUSTRE_MOUNT where no path is given', async () => {
    expect(await ok('ls')).toBe(await ok('ls', ':/'));
    expect(await ok('df', '-i')).toMatch(/clitest-OST0001/);
  });

  it('finds by name, type, size and age, and adds up what directories take', async () => {
    await ok('mkdir', '-p', ':/find/sub');
    await writeFile(join(local, 'big.bin'), Buffer.alloc(70_000));
    await writeFile(join(local, 'small.txt'), 'small');
    await ok('cp', join(local, 'big.bin'), join(local, 'small.txt'), ':/find/sub');
    const lines = (text: string): string[] =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .sort();
    expect(lines(await ok('find', ':/find'))).toEqual([
      '/find',
      '/find/sub',
      '/find/sub/big.bin',
      '/find/sub/small.txt',
    ]);
    expect(lines(await ok('find', ':/find', '-name', '*.t[wx]t', '-type', 'f'))).toEqual([
      '/find/sub/small.txt',
    ]);
    expect(lines(await ok('find', ':/find', '--size', '+64k', '--mtime', '-1', '--type', 'f'))).toEqual([
      '/find/sub/big.bin',
    ]);
    expect(lines(await ok('find', ':/find', '-mtime', '+1'))).toEqual([]);
    const found = JSON.parse(await ok('find', ':/find', '-size', '5', '-type', 'f', '--json')) as object;
    expect(found).toMatchObject({ path: '/find/sub/small.txt', type: 'f', size: 5 });
    expect((await run('find', ':/find', '-size', 'much')).code).toBe(2);
    const used = JSON.parse(await ok('du', '--apparent-size', '--json', ':/find')) as { bytes: number }[];
    expect(used).toMatchObject([
      { path: '/find/sub', files: 3 },
      { path: '/find', files: 4 },
    ]);
    expect(used[1]!.bytes).toBeGreaterThanOrEqual(70_005);
    expect(await ok('du', '-s', ':/find')).toMatch(/4 {2}\/find/);
  });

  it('copies a tree in, lists it, and copies it out unchanged', async () => {
    const tree = join(local, 'tree');
    await mkdir(join(tree, 'sub'), { recursive: true });
    await writeFile(join(tree, 'empty'), '');
    await writeFile(join(tree, 'sub/big'), randomBytes(5_000_001));
    await symlink('sub/big', join(tree, 'link'));
    await ok('cp', '-r', tree, ':/');
    const listing = JSON.parse(await ok('ls', '--json', ':/tree'));
    expect(listing[0].entries.map((e: { name: string }) => e.name)).toEqual(['empty', 'link', 'sub']);
    expect(listing[0].entries[1]).toMatchObject({ type: 'l', link: 'sub/big' });
    await ok('cp', '-r', ':/tree', join(local, 'back'));
    const sum = async (file: string): Promise<string> =>
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex');
    expect(await sum(join(local, 'back/sub/big'))).toBe(await sum(join(tree, 'sub/big')));
  });

  it('writes files to standard output byte for byte', async () => {
    await writeFile(join(local, 'text'), 'one\ntwo\n');
    await ok('cp', join(local, 'text'), ':/text');
    expect(await ok('cat', ':/text', ':/text')).toBe('one\ntwo\none\ntwo\n');
  });

  it('makes, moves, links and removes', async () => {
    await ok('mkdir', '-p', ':/d/e');
    await ok('cp', join(local, 'text'), ':/d/e/f');
    await ok('ln', ':/d/e/f', ':/d/hard');
    await ok('ln', '-s', 'e/f', ':/d/soft');
    await ok('mv', ':/d/e/f', ':/d/e/g');
    const { 0: stat } = JSON.parse(await ok('stat', '--json', ':/d/hard'));
    expect(stat).toMatchObject({ nlink: 2, size: 8 });
    expect(stat.fid).toMatch(/^\[0x2[0-9a-f]+:0x[0-9a-f]+:0x0\]$/);
    expect(await ok('ls', ':/d')).toBe('e\nhard\nsoft\n');
    await ok('rm', '-r', ':/d');
    expect((await run('ls', ':/d')).code).toBe(1);
  });

  it('sets and shows layouts', async () => {
    await ok('setstripe', '-c', '2', '-S', '1M', ':/wide');
    const [{ layout }] = JSON.parse(await ok('getstripe', '--json', ':/wide'));
    expect(layout).toMatchObject({ stripeCount: 2, stripeSize: 1 << 20 });
    expect(layout.objects.map((o: { ostIndex: number }) => o.ostIndex).sort()).toEqual([0, 1]);
    expect(await ok('getstripe', ':/wide')).toMatch(/lmm_stripe_count: {2}2\n/);
    await ok('setstripe', '-E', '128K', '-c', '1', '-S', '64K', '-E', '-1', '-c', '-1', ':/growing');
    expect(await ok('getstripe', '-c', '--component-count', ':/growing')).toBe('1\n2\n');
    expect(await ok('getstripe', '-v', ':/growing')).toMatch(
      /lcme_extent.e_end: {3}131072\n[\s\S]*e_end: {3}EOF\n/,
    );
    const refused = await run('setstripe', '-L', 'mdt', ':/f');
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/give -E/)]);
  });

  it('reserves space, makes holes, shows extents and versions, gives advice', async () => {
    await ok('fallocate', '-l', '1M', ':/ranges');
    await writeFile(join(local, 'ranges'), 'one\ntwo\n');
    await ok('cp', join(local, 'ranges'), ':/ranges');
    const version = await ok('data_version', ':/ranges');
    await ok('fallocate', '-p', '-o', '2', '-l', '4', ':/ranges');
    expect(await ok('cat', ':/ranges')).toBe(`on${'\0'.repeat(4)}o\n`);
    expect(await ok('data_version', '-n', ':/ranges')).not.toBe(version);
    const [{ extents }] = JSON.parse(await ok('filefrag', '--json', ':/ranges'));
    expect(extents).toMatchObject([{ offset: 0, length: 8, objectOffset: 0 }]);
    await ok('ladvise', '-a', 'willread', '-s', '0', '-l', '4k', ':/ranges');
    expect((await run('ladvise', '-a', 'sometimes', ':/ranges')).code).toBe(2);
  });

  it('sets, shows, checks and clears projects', async () => {
    await ok('mkdir', '-p', ':/proj/sub');
    await ok('project', '-p', '1234', '-s', '-r', ':/proj');
    await ok('fallocate', '-l', '1k', ':/proj/sub/f');
    expect(await ok('project', '-d', ':/proj')).toBe(' 1234 P /proj\n');
    expect(await ok('project', '-r', ':/proj')).toBe(' 1234 P /proj/sub\n 1234 - /proj/sub/f\n');
    await ok('project', '-C', ':/proj/sub/f');
    expect(await ok('project', '-c', '-r', ':/proj')).toBe(
      '/proj/sub/f - project identifier is not set (inode=0, tree=1234)\n',
    );
    expect((await run('quota', '-p', '1234', cluster.spec)).stderr).toMatch(/EOPNOTSUPP/);
    expect((await run('setquota', '-p', '1234', cluster.spec)).code).toBe(2);
  });

  it('shows space by target and in all', async () => {
    const { targets, total } = JSON.parse(await ok('df', '--json', cluster.spec));
    expect(targets.map((t: { name: string }) => t.name)).toEqual([
      'clitest-MDT0000',
      'clitest-OST0000',
      'clitest-OST0001',
    ]);
    expect(total.blocks).toBeGreaterThan(0);
  });

  it('pings a NID', async () => {
    const [result] = JSON.parse(await ok('ping', '--json', '127.0.0.1@tcp'));
    expect(result.nids).toContain('127.0.0.1@tcp');
  });

  it('shows the locks of servers and of a mount: table, JSON, graphs', async () => {
    const socket = join(local, 'mount.sock');
    const holder = await cluster.mount({ control: socket });
    const waiter = await cluster.mount();
    try {
      const file = await holder.open('/locked', 'w');
      await file.flock('exclusive');
      const other = await waiter.open('/locked', 'r');
      const controller = new AbortController();
      const waiting = other
        .flock('shared', { signal: controller.signal })
        .catch((error: Error) => error.name);
      const waiters = async (): Promise<LockReport['shown']> =>
        JSON.parse(await ok('locks', '--dir', cluster.dir, '--contended', '--json')).targets.flatMap(
          (target: LockReport) => target.shown,
        );
      let shown = await waiters();
      while (shown.length === 0) shown = await waiters();
      expect(shown).toMatchObject([
        {
          type: 'flock',
          object: await holder.fid('/locked'),
          holders: [{ mode: 'PW', what: '[0, EOF]', state: 'GRANTED' }],
          waiters: [{ mode: 'PR', state: 'WAITING', waitsFor: [shown[0]!.holders[0]!.id] }],
        },
      ]);
      expect(await ok('locks', '--dir', cluster.dir)).toMatch(/MDT0000 \(server\): locks \d+, resources \d+/);
      expect(await ok('locks', '--dir', cluster.dir, '--contended', '--graph', 'mermaid')).toContain(
        'l1 --> l0',
      );
      const mine = JSON.parse(await ok('locks', '--socket', socket, '--json')).targets;
      expect(mine.map(({ side }: LockReport) => side)).toEqual(['client', 'client', 'client']);
      controller.abort();
      expect(await waiting).toBe('AbortError');
    } finally {
      await holder.unmount();
      await waiter.unmount();
    }
    expect(existsSync(socket)).toBe(false);
    expect((await run('locks', '--dir', local)).stderr).toContain('no process answers');
  });

  it('says its version', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await ok('--version')).toBe(`${version}\n`);
  });

  describe('exit codes', () => {
    it('1 when the operation failed, and says what was tried on what', async () => {
      const ran = await run('cat', ':/nothing');
      expect(ran).toMatchObject({ code: 1, stdout: '' });
      expect(ran.stderr).toBe(
        "lustre: ENOENT: no such file or directory, open '/nothing' (clitest-MDT0000)\n",
      );
    });
    it.each([
      ['an unknown option', ['ls', '--bogus', ':/']],
      ['an unknown command', ['frobnicate']],
      ['a missing argument', ['mkdir']],
      ['a local path', ['ls', '/tmp']],
      ['a port that is none', ['ls', '--port', '70000', ':/']],
      ['two file systems', ['mv', '127.0.0.1@tcp:/a/x', '127.0.0.1@tcp:/b/x']],
    ])('2 for %s', async (_what, args) => {
      const ran = await run(...args);
      expect(ran.code).toBe(2);
      expect(ran.stderr).not.toBe('');
    });
    it('2 for :/path without LUSTRE_MOUNT', async () => {
      expect((await lustre(['ls', ':/'], { LUSTRE_MOUNT: '' })).code).toBe(2);
    });
    it('3 when nobody serves there', async () => {
      const ran = await run('ls', '--port', '1', '--json', ':/');
      expect(ran.code).toBe(3);
      expect(JSON.parse(ran.stderr).error).toMatchObject({ code: 'ECONNREFUSED' });
    });
  });
});
