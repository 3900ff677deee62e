/**
 * The cluster that the interop suite runs against: the one that LUSTRE_TEST_MOUNT names, or one of our own when it names
 * none. Whatever the tests make lies in one new directory, which is removed at the end.
 *
 *   LUSTRE_TEST_MOUNT      NID:/fsname/dir; the directory must exist and be writable
 *   LUSTRE_PORT            the servers' port
 *   LUSTRE_NID             our own NIDs, comma-separated: one for each mount that is up at a time (two), see docs/real-clusters.md
 *   LUSTRE_NID_MAP         NID=HOST:PORT,...
 *   LUSTRE_VERIFY_WITH     where a kernel client shows the same directory
 *   LUSTRE_VERIFY_SHELL    how to reach a shell there; default `sh -c`
 */
import { afterAll, beforeAll } from 'vitest';
import { type Filesystem, type MountOptions, mount, startCluster } from '../../lib/index.ts';
import { KernelView } from './kernel-view.ts';

/** Whether this run is against somebody else's servers or beside a kernel mount: then what cannot be tested is reported. */
export const ASKED_FOR =
  process.env.LUSTRE_TEST_MOUNT !== undefined || process.env.LUSTRE_VERIFY_WITH !== undefined;

/** Emulated and far-away servers are slow. */
export const PATIENCE_MS = process.env.LUSTRE_TEST_MOUNT === undefined ? 30_000 : 240_000;

export interface ClusterUnderTest {
  /** What is mounted. */
  readonly spec: string;
  /** False for our own servers. */
  readonly foreign: boolean;
  /** Mounts as another client; the caller unmounts. `as`: 0 or 1, which of our NIDs. */
  mount(as?: 0 | 1, options?: MountOptions): Promise<Filesystem>;
  /** What `mount` needs to do the same. */
  options(as: 0 | 1): MountOptions;
  /** A client that stays mounted. */
  readonly fs: Filesystem;
  /** The directory that is ours, below the mounted root. */
  readonly dir: string;
  /** A kernel client beside us, when there is one. */
  readonly kernel: KernelView | undefined;
}

interface Target {
  readonly spec: string;
  readonly foreign: boolean;
  readonly options: readonly [MountOptions, MountOptions];
  stop(): Promise<void>;
}

function mapOf(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((entry) => entry.split('=') as [string, string]));
}

async function target(): Promise<Target> {
  const { LUSTRE_TEST_MOUNT, LUSTRE_PORT, LUSTRE_NID, LUSTRE_NID_MAP } = process.env;
  if (LUSTRE_TEST_MOUNT === undefined) {
    const cluster = await startCluster({ inProcess: true, osts: 3 });
    // In this thread: one of its own is worth its start only where people use it.
    const options = (nid: string): MountOptions => ({ ...cluster.mountOptions, nid, engine: 'inline' });
    return {
      spec: cluster.spec,
      foreign: false,
      options: [options('127.0.2.1@tcp'), options('127.0.2.2@tcp')],
      stop: () => cluster.stop(),
    };
  }
  const nids = (LUSTRE_NID ?? '').split(',').filter((nid) => nid !== '');
  const options = (nid: string | undefined): MountOptions => ({
    connectTimeoutMs: 120_000,
    ...(nid !== undefined && { nid }),
    ...(LUSTRE_PORT !== undefined && { port: Number(LUSTRE_PORT) }),
    ...(LUSTRE_NID_MAP !== undefined && { nidMap: mapOf(LUSTRE_NID_MAP) }),
  });
  return {
    spec: LUSTRE_TEST_MOUNT,
    foreign: true,
    options: [options(nids[0]), options(nids[1])],
    stop: async () => undefined,
  };
}

/** The cluster of a test file: mounted before its tests and left as it was after them. */
export function clusterUnderTest(name: string): ClusterUnderTest {
  let to: Target | undefined;
  let fs: Filesystem | undefined;
  let dir = '';
  beforeAll(async () => {
    to = await target();
    fs = await mount(to.spec, to.options[0]);
    dir = await fs.mkdtemp(`/interop-${name}-`);
    await fs.chmod(dir, 0o755);
  }, PATIENCE_MS);
  afterAll(async () => {
    if (fs !== undefined) {
      if (dir !== '') await fs.rm(dir, { recursive: true, force: true });
      await fs.unmount();
    }
    await to?.stop();
  }, PATIENCE_MS);
  const there = (): { to: Target; fs: Filesystem } => {
    if (to === undefined || fs === undefined) throw new Error('the cluster is not mounted yet');
    return { to, fs };
  };
  return {
    get spec() {
      return there().to.spec;
    },
    get foreign() {
      return there().to.foreign;
    },
    mount: (as = 1, options = {}) => mount(there().to.spec, { ...there().to.options[as], ...options }),
    options: (as) => there().to.options[as],
    get fs() {
      return there().fs;
    },
    get dir() {
      return dir;
    },
    get kernel(): KernelView | undefined {
      const { LUSTRE_VERIFY_WITH, LUSTRE_VERIFY_SHELL } = process.env;
      if (LUSTRE_VERIFY_WITH === undefined) return undefined;
      return new KernelView(LUSTRE_VERIFY_SHELL ?? 'sh -c', LUSTRE_VERIFY_WITH + dir);
    },
  };
}
