/** Clients and servers with this process's own clock, random source and network. */

import { type EngineListener, type EngineThread, startWorkerEngine } from './client/engine/worker-engine.ts';
import { Filesystem } from './client/filesystem.ts';
import { diagnose, type Finding } from './client/mount/doctor.ts';
import { formatMountSpec, parseMountSpec } from './client/mount/mount-spec.ts';
import { chooseOwnNid } from './client/mount/own-nid.ts';
import { type EngineOptions, mountFilesystem } from './client/mount.ts';
import { type ControlSocket, controlPath, listenForLocks } from './control-socket.ts';
import { startEngineThread } from './engine-thread.ts';
import type { ContentionOptions } from './ldlm/contention.ts';
import { createNativeNetwork } from './lnet/native-network.ts';
import type { Network, PingResult } from './lnet/network.ts';
import { type Nid, parseNid } from './lnet/nid.ts';
import { type Logger, nodeRuntime, type Runtime } from './runtime/runtime.ts';
import type { ServerNode, ServerNodeOptions } from './server/node.ts';

export interface MountOptions {
  /** Our own NID; default another loopback address for servers on loopback, else one of this machine's addresses. */
  readonly nid?: string;
  /** TCP port of the servers; default 988. */
  readonly port?: number;
  /** NID -> `host:port`, for NAT, tunnels and containers. */
  readonly nidMap?: Readonly<Record<string, string>>;
  /** Accept connections at `host:port`; servers answer on ours, so none are needed. */
  readonly listen?: string;
  /**
   * TCP connections of each bulk type to a server, 1 to 16. Default by the speed of the link that has our NID's address, as kernels
   * choose: 2 from 4 Gbit/s on, 3 from 16, 4 from 64, 5 from 256; 1 below, and where the link tells no speed. On loopback half of
   * the cores, 1 to 4.
   */
  readonly connsPerPeer?: number;
  /**
   * How long the engine's event loop looks for replies before it sleeps, microseconds, while they come in quick succession and
   * nobody else wants its core; 0 for never, as where CPU time is paid for. Default 100.
   */
  readonly busyPollUs?: number;
  /** Who asks; default the process's own user and groups. */
  readonly uid?: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
  /** Default the process's own. */
  readonly umask?: number;
  /** Bulk checksums; default crc32c where the server has it, false for none. */
  readonly checksums?:
    | 'crc32c'
    | 'crc32'
    | 'adler32'
    | 't10ip512'
    | 't10ip4K'
    | 't10crc512'
    | 't10crc4K'
    | false;
  /** Requests in flight to one target; default 8, to an MDT 32. */
  readonly maxRpcsInFlight?: number;
  /** Most data in one request, in pages of 4 KiB (max_pages_per_rpc); default what the servers take, 1 to 16 MiB. */
  readonly maxPagesPerRpc?: number;
  /** How long to wait for the first connection, milliseconds; default 30000. */
  readonly connectTimeoutMs?: number;
  /** In the words of mount.lustre: `flock,exclude=lab-OST0001`. What this client does not have is refused by name. */
  readonly options?: string;
  /** A pino logger; default silent. */
  readonly log?: Logger;
  /** A Unix socket to make, at which `lustre locks` looks into this mount; default none. */
  readonly control?: string;
  /**
   * Where the engine runs. `worker` (default): in a thread of its own, so that locks are given back, pings answered and data
   * written while the program computes. `inline`: in the caller's thread, the shortest path for a program that never
   * blocks its event loop for long.
   */
  readonly engine?: 'worker' | 'inline';
  /** For tests: another clock and network, of the simulator. They cannot cross to a thread: the engine is inline. */
  readonly runtime?: Runtime;
  readonly network?: Network;
}

/**
 * Mounts `NID[,NID][:NID]:/fsname[/directory]`. Rejects with EINVAL for a bad specification, ECONNREFUSED, EHOSTUNREACH or
 * ETIMEDOUT when no MGS answers, ENOENT for a file system that it does not know.
 */
export async function mount(spec: string, options: MountOptions = {}): Promise<Filesystem> {
  const { uid, gid, groups, umask, log, control, engine, runtime: given, network, ...rest } = options;
  const plain = {
    ...rest,
    credentials: {
      uid: uid ?? process.getuid?.() ?? 0,
      gid: gid ?? process.getgid?.() ?? 0,
      groups: groups ?? process.getgroups?.() ?? [],
      umask: umask ?? process.umask(),
    },
    processId: process.pid,
  };
  if (engine !== 'inline' && given === undefined && network === undefined) {
    const text = formatMountSpec(parseMountSpec(spec));
    const start = (listener: EngineListener): EngineThread =>
      startEngineThread({ spec: text, options: plain, control }, log, listener);
    return new Filesystem(await startWorkerEngine(start), text, nodeRuntime(log));
  }
  const runtime = given ?? nodeRuntime(log);
  let socket: ControlSocket | undefined;
  const engineOptions: EngineOptions = {
    ...plain,
    runtime,
    network: network ?? createNativeNetwork(runtime),
    ...(given === undefined && { onActivity: keepAlive() }),
    onUnmount: () => socket?.close(),
  };
  const filesystem = await mountFilesystem(spec, engineOptions);
  try {
    if (control !== undefined) socket = await listenForLocks(control, (asked) => filesystem.locks(asked));
  } catch (error) {
    await filesystem.unmount();
    throw error;
  }
  return filesystem;
}

/** Keeps the process alive while there are calls under way, as node:fs does: endpoints and timers alone do not. */
function keepAlive(): (busy: boolean) => void {
  let timer: NodeJS.Timeout | undefined;
  return (busy) => {
    clearInterval(timer);
    timer = busy ? setInterval(() => undefined, 2 ** 30) : undefined;
  };
}

export interface ServeOptions {
  /** Where the targets keep what they store; made if it is missing. */
  readonly dir: string;
  readonly fsname: string;
  readonly nid: string;
  readonly port: number;
  readonly osts: number;
  readonly listen?: string;
  readonly nidMap?: Readonly<Record<string, string>>;
  /** As MountOptions has it, for requests; default 100. */
  readonly busyPollUs?: number;
  /** How long a client has at least to give a lock back that another wants before it is evicted, milliseconds; default
   * 100000. One that was slow before gets more. */
  readonly lockTimeoutMs?: number;
  /** When OSTs send clients that offered it away from what many want to lock: `locks` in the way of one (default 32), for
   * `timeMs` (2000) after, those who ask for at most `bytesMax` (0: nobody). */
  readonly contention?: ContentionOptions;
  readonly log?: Logger;
}

/** Starts MGS, MDT0000 and OSTs in this process. Stop them with the node's `stop`. */
export async function serve(options: ServeOptions): Promise<ServerNode> {
  const { log, ...rest } = options;
  const runtime = nodeRuntime(log);
  const alive = keepAlive();
  alive(true);
  try {
    // The servers are loaded by who serves: a client has no use for them and their database.
    const { startServerNode } = await import('./server/node.ts');
    const nodeOptions: ServerNodeOptions = { ...rest, runtime, network: createNativeNetwork(runtime) };
    return await withControl(await startServerNode(nodeOptions), options.dir, runtime);
  } finally {
    alive(false);
  }
}

/** A node that can be looked into by who may read its directory, as long as it runs. */
async function withControl(node: ServerNode, dir: string, runtime: Runtime): Promise<ServerNode> {
  try {
    const socket = await listenForLocks(controlPath(dir), (asked) => node.locks(asked), {
      moved: () => node.moved(),
    });
    return {
      ...node,
      stop: async () => {
        await socket.close();
        await node.stop();
      },
    };
  } catch (err) {
    runtime.log.warn({ err, dir }, 'no control socket: lustre locks will not reach these servers');
    return node;
  }
}

export interface PingOptions extends Pick<MountOptions, 'nid' | 'port' | 'nidMap' | 'log'> {
  /** How many; default 1. */
  readonly count?: number;
  /** For each, milliseconds; default 5000. */
  readonly timeoutMs?: number;
}

/** Tries what a mount does, step by step, and tells what came of each: never rejects. */
export async function* diagnoseMount(
  spec: string,
  options: MountOptions = {},
): AsyncGenerator<Finding, void> {
  const { log, nid, port, nidMap } = options;
  const runtime = nodeRuntime(log);
  const alive = keepAlive();
  alive(true);
  try {
    yield* diagnose(spec, {
      runtime,
      network: createNativeNetwork(runtime),
      ...(nid !== undefined && { nid }),
      ...(port !== undefined && { port }),
      ...(nidMap !== undefined && { nidMap }),
    });
  } finally {
    alive(false);
  }
}

/** LNet ping. Rejects with ETIMEDOUT, ECONNREFUSED or EHOSTUNREACH. */
export async function pingNid(nid: Nid, options: PingOptions = {}): Promise<PingResult[]> {
  const { count = 1, timeoutMs = 5000, log, nid: own, ...where } = options;
  const peer = parseNid(nid);
  const runtime = nodeRuntime(log);
  const alive = keepAlive();
  alive(true);
  const endpoint = await createNativeNetwork(runtime).open({
    ...where,
    nid: own === undefined ? chooseOwnNid(peer, runtime) : parseNid(own),
    accept: false,
  });
  try {
    const results: PingResult[] = [];
    for (let i = 0; i < count; i++) results.push(await endpoint.ping(peer, timeoutMs));
    return results;
  } finally {
    await endpoint.close();
    alive(false);
  }
}
