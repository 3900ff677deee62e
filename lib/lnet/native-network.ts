/** The Network on real sockets: LNet over TCP by the native module (guides 01 and 02). */
import { errnoName, LustreError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { checkBusyPoll, DEFAULT_BUSY_POLL_US } from './busy-poll.ts';
import { connsPerPeerAt } from './conns-per-peer.ts';
import { loadLnetAddon, type NativeEndpointOptions } from './native-addon.ts';
import { NativeLnetEndpoint } from './native-endpoint.ts';
import type { Endpoint, EndpointOptions, Network } from './network.ts';
import { nidHost, nidToBits, parseNid } from './nid.ts';

const DEFAULT_PORT = 988;
const DEFAULT_SOCKET_TIMEOUT_S = 50;
/** lnet_transaction_timeout of 2.17. */
const RESPONSE_TIMEOUT_MS = 150_000;
const RING_ENTRIES = 4096;

/** The network of this machine. */
export function createNativeNetwork(runtime: Runtime): Network {
  return {
    async open(options: EndpointOptions): Promise<Endpoint> {
      return openNativeEndpoint(runtime, options);
    },
  };
}

/** As Network.open, with what only the native endpoint has (`port`). */
export async function openNativeEndpoint(
  runtime: Runtime,
  options: EndpointOptions,
): Promise<NativeLnetEndpoint> {
  const nid = parseNid(options.nid);
  if (!/@tcp\d*$/.test(nid)) {
    throw new LustreError('EPROTONOSUPPORT', `cannot open ${nid}: only tcp networks are supported`, { nid });
  }
  const native = nativeOptions(nid, options);
  try {
    return new NativeLnetEndpoint(runtime, loadLnetAddon(), nid, native);
  } catch (error) {
    throw openError(error, nid, native);
  }
}

function nativeOptions(nid: string, options: EndpointOptions): NativeEndpointOptions {
  const port = checkPort(options.port ?? DEFAULT_PORT, 1);
  const listen = options.listen === undefined ? undefined : parseHostPort(options.listen, 0);
  const socketTimeoutMs = Math.round((options.socketTimeout ?? DEFAULT_SOCKET_TIMEOUT_S) * 1000);
  const connsPerPeer = options.connsPerPeer ?? connsPerPeerAt(nidHost(nid));
  if (!(socketTimeoutMs >= 1 && socketTimeoutMs <= 0x7fff_ffff)) {
    throw new LustreError(
      'EINVAL',
      `socketTimeout ${options.socketTimeout} is not a number of seconds above 0`,
    );
  }
  if (!Number.isInteger(connsPerPeer) || connsPerPeer < 1 || connsPerPeer > 16) {
    throw new LustreError('EINVAL', `connsPerPeer ${connsPerPeer} is not an integer from 1 to 16`);
  }
  const busyPollUs = checkBusyPoll(options.busyPollUs ?? DEFAULT_BUSY_POLL_US);
  return {
    nid: nidToBits(nid),
    port,
    accept: options.accept ?? true,
    listenHost: listen?.host ?? '',
    listenPort: listen?.port ?? -1,
    connsPerPeer,
    busyPollUs,
    socketTimeoutMs,
    responseTimeoutMs: RESPONSE_TIMEOUT_MS,
    acceptUnprivileged: options.acceptUnprivileged ?? true,
    nidMap: Object.entries(options.nidMap ?? {}).map(([key, value]) => ({
      nid: nidToBits(key),
      ...parseHostPort(value, 1),
    })),
    ringEntries: RING_ENTRIES,
  };
}

/** `host:port`, `[v6]:port`. Throws EINVAL. */
function parseHostPort(text: string, lowest: number): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) {
    throw new LustreError('EINVAL', `'${text}' is not HOST:PORT`, { hint: "Write it as '127.0.0.1:9988'" });
  }
  return { host: match[1] ?? match[2] ?? '', port: checkPort(Number(match[3]), lowest) };
}

function checkPort(port: number, lowest: number): number {
  if (Number.isInteger(port) && port >= lowest && port <= 65535) return port;
  throw new LustreError('EINVAL', `${port} is not a port from ${lowest} to 65535`);
}

function openError(error: unknown, nid: string, options: NativeEndpointOptions): unknown {
  if (error instanceof LustreError || !(error instanceof Error)) return error;
  const errno = Number((error as Error & { errno?: unknown }).errno ?? 0);
  if (errno === 0) return error;
  return new LustreError(
    errnoName(errno),
    error.message,
    { syscall: 'listen', nid, hint: hintFor(errnoName(errno), options), cause: error },
    errno,
  );
}

function hintFor(code: string, options: NativeEndpointOptions): string | undefined {
  const port = options.listenPort >= 0 ? options.listenPort : options.port;
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is taken there: stop who has it, or choose another port`;
    case 'EACCES':
    case 'EPERM':
      return `Port ${port} needs root or CAP_NET_BIND_SERVICE: choose one above 1023`;
    case 'EADDRNOTAVAIL':
      return "The NID's address is not one of this machine: give the address to listen on with `listen`";
    default:
      return undefined;
  }
}
