/** A whole file system in one call: MGS, MDT0000 and OSTs, in a child process or in this one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Filesystem } from './client/filesystem.ts';
import { nidHost } from './lnet/nid.ts';
import { type MountOptions, mount, serve } from './process.ts';
import { LustreError } from './runtime/errors.ts';
import type { Logger } from './runtime/runtime.ts';
import type { ServerNode } from './server/node.ts';

export interface ClusterOptions {
  /** Where the targets keep what they store; default a temporary directory, removed at the end. */
  readonly dir?: string;
  /** Keep the directory at the end, also a temporary one. */
  readonly keep?: boolean;
  /** Default `lustre`. */
  readonly fsname?: string;
  /** OSTs; default 2. */
  readonly osts?: number;
  /** The servers' NID; default 127.0.0.1@tcp. */
  readonly nid?: string;
  /** TCP port; default one that is free. */
  readonly port?: number;
  /** Run the servers in this process instead of one of their own. */
  readonly inProcess?: boolean;
  /** How long a client has to give a lock back that another wants before it is evicted, milliseconds; default 100000. */
  readonly lockTimeoutMs?: number;
  readonly log?: Logger;
}

/** A running file system. Stop it, or bind it with `await using`. */
export interface Cluster {
  /** What to mount: `127.0.0.1@tcp:/lustre`. */
  readonly spec: string;
  readonly dir: string;
  readonly port: number;
  /** Process of the servers. */
  readonly pid: number | undefined;
  /** What `mount` needs besides the spec. */
  readonly mountOptions: MountOptions;
  mount(options?: MountOptions): Promise<Filesystem>;
  /** Ends the servers at once, as a crash does (SIGKILL). Not possible for servers in this process. */
  kill(): Promise<void>;
  /** Starts them again on the same directory, stopping them first if they run. */
  restart(): Promise<void>;
  /** Stops the servers and removes a temporary directory. Safe to call twice. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Servers as the cluster runs them. */
interface Servers {
  readonly pid: number | undefined;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

interface Settings {
  readonly dir: string;
  readonly fsname: string;
  readonly nid: string;
  readonly port: number;
  readonly osts: number;
  readonly lockTimeoutMs: number | undefined;
  readonly log: Logger | undefined;
}

const START_MS = 30_000;
const STOP_MS = 15_000;

/** Starts a file system and resolves when it can be mounted. Rejects with what the servers could not do. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const {
    fsname = 'lustre',
    nid = '127.0.0.1@tcp',
    osts = 2,
    log,
    lockTimeoutMs,
    inProcess = false,
  } = options;
  const temporary = options.dir === undefined;
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'node-lustre-')));
  const port = options.port ?? (await freePort(nidHost(nid)));
  const settings: Settings = { dir, fsname, nid, port, osts, lockTimeoutMs, log };
  const cleanUp = async (): Promise<void> => {
    if (temporary && options.keep !== true) await rm(dir, { recursive: true, force: true });
  };
  try {
    const start = inProcess ? startHere : startChild;
    return new RunningCluster(settings, await start(settings), start, cleanUp);
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

class RunningCluster implements Cluster {
  readonly spec: string;
  readonly dir: string;
  readonly port: number;
  readonly mountOptions: MountOptions;
  readonly #settings: Settings;
  readonly #start: (settings: Settings) => Promise<Servers>;
  readonly #cleanUp: () => Promise<void>;
  #servers: Servers | undefined;
  #stopped = false;

  constructor(
    settings: Settings,
    servers: Servers,
    start: (settings: Settings) => Promise<Servers>,
    cleanUp: () => Promise<void>,
  ) {
    this.#settings = settings;
    this.#servers = servers;
    this.#start = start;
    this.#cleanUp = cleanUp;
    this.spec = `${settings.nid}:/${settings.fsname}`;
    this.dir = settings.dir;
    this.port = settings.port;
    this.mountOptions = { port: settings.port, ...(settings.log !== undefined && { log: settings.log }) };
  }

  get pid(): number | undefined {
    return this.#servers?.pid;
  }

  mount(options: MountOptions = {}): Promise<Filesystem> {
    return mount(this.spec, { ...this.mountOptions, ...options });
  }

  async kill(): Promise<void> {
    const servers = this.#servers;
    if (servers === undefined) return;
    await servers.kill();
    this.#servers = undefined;
  }

  async restart(): Promise<void> {
    if (this.#stopped)
      throw new LustreError('ESHUTDOWN', 'the cluster was stopped', { syscall: 'restart' }, -108);
    const servers = this.#servers;
    this.#servers = undefined;
    await servers?.stop();
    this.#servers = await this.#start(this.#settings);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    const servers = this.#servers;
    this.#servers = undefined;
    try {
      await servers?.stop();
    } finally {
      await this.#cleanUp();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function startHere(settings: Settings): Promise<Servers> {
  const { log, lockTimeoutMs, ...where } = settings;
  const node: ServerNode = await serve({
    ...where,
    ...(lockTimeoutMs !== undefined && { lockTimeoutMs }),
    ...(log !== undefined && { log }),
  });
  return {
    pid: process.pid,
    stop: () => node.stop(),
    kill: () =>
      Promise.reject(
        new LustreError(
          'EOPNOTSUPP',
          'servers in this process cannot be killed',
          { hint: 'Start the cluster without inProcess' },
          -95,
        ),
      ),
  };
}

/** Room for the young of V8: with its default of 1 MiB to begin with it collects many times a second, and finds most requests
 * still in work. */
const YOUNG = ['--min-semi-space-size=16', '--max-semi-space-size=32'];

/** `lustre serve` in a process of its own: the built command, or the sources where nothing is built. */
async function startChild(settings: Settings): Promise<Servers> {
  const built = fileURLToPath(new URL('./cli/main.js', import.meta.url));
  const useBuilt = await access(built).then(
    () => true,
    () => false,
  );
  const main = useBuilt
    ? [built]
    : ['--import', 'tsx', fileURLToPath(new URL('./cli/main.ts', import.meta.url))];
  const { dir, fsname, nid, port, osts, lockTimeoutMs, log } = settings;
  const flags = [
    '--dir',
    dir,
    '--fsname',
    fsname,
    '--nid',
    nid,
    '--port',
    `${port}`,
    '--osts',
    `${osts}`,
    '--json',
    ...(lockTimeoutMs === undefined ? [] : ['--lock-timeout', `${lockTimeoutMs / 1000}`]),
  ];
  const level = log === undefined || log.level === 'silent' ? [] : ['--log', log.level];
  const child = spawn(process.execPath, [...YOUNG, ...main, 'serve', ...flags, ...level], {
    stdio: ['ignore', 'pipe', level.length > 0 ? 'inherit' : 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await ready(child, ended);
  // Nothing of a child that runs keeps the parent alive; it ends with the parent at the latest.
  child.unref();
  const die = (): void => void child.kill('SIGKILL');
  process.once('exit', die);
  void ended.then(() => process.removeListener('exit', die));
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    child.ref();
    child.kill(name);
    const timer = setTimeout(die, STOP_MS);
    await ended;
    clearTimeout(timer);
  };
  return { pid: child.pid, stop: () => signal('SIGTERM'), kill: () => signal('SIGKILL') };
}

/** Waits for the line with `ready`. Rejects with what the child wrote to stderr. */
async function ready(child: ChildProcess, ended: Promise<void>): Promise<void> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  const lines = createInterface({ input: child.stdout! });
  const line = new Promise<void>((resolve, reject) => {
    lines.once('line', (text) => {
      if (text.includes('"ready"')) resolve();
      else reject(failed(`the servers said '${text}'`));
    });
    child.once('error', (error) => reject(failed(error.message)));
    void ended.then(() => reject(failed(stderr.trim() || 'the servers ended at once')));
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((_, reject) => {
    timer = setTimeout(() => reject(failed(`the servers were not ready in ${START_MS / 1000} s`)), START_MS);
  });
  try {
    await Promise.race([line, late]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(timer);
    child.stdout?.resume();
    // Pipes of a child that goes on running must not keep the parent alive.
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null && 'unref' in stream) unref(stream);
  }
}

function unref(stream: object): void {
  if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
}

function failed(why: string): LustreError {
  return new LustreError('ERR_LUSTRE_SERVE', `the servers could not be started: ${why}`, {
    syscall: 'serve',
  });
}

/** A TCP port that nobody listens on at this address. */
function freePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
