/**
 * The virtual network: who listens where, which links are up, and the faults that a test injects. Everything it decides
 * comes from the seed.
 */
import type { Endpoint, EndpointOptions, Network } from '../lnet/network.ts';
import { type Nid, nidHost, parseNid } from '../lnet/nid.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import { SimEndpoint } from './endpoint.ts';
import { Link, type LinkEnd, type Weather } from './link.ts';
import type { Switchboard } from './peers.ts';
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

const DEFAULT_PORT = 988;
const DEFAULT_SOCKET_TIMEOUT_S = 50;
const CONNECT_TIMEOUT_MS = 10_000;

interface Station {
  readonly endpoint: SimEndpoint;
  readonly options: EndpointOptions;
  /** `host:port` it listens on, or undefined. */
  readonly address: string | undefined;
}

export interface NetworkFaults {
  /** Resets the connections between two NIDs now: what is in flight vanishes, both sides are told. */
  reset(a: Nid, b: Nid): void;
  /** From now on each message between the two meets a connection reset with this probability; 0 ends it. */
  drop(a: Nid, b: Nid, probability: number): void;
  /** Latency between the two, milliseconds: a number or a range. */
  delay(a: Nid, b: Nid, latencyMs: number | readonly [number, number]): void;
  /** Nothing gets through, nobody is told: connections die of their socket timeout, new ones of the connect timeout. */
  partition(a: Nid, b: Nid): void;
  /** Ends a partition; connections that survived it go on where they were. */
  heal(a: Nid, b: Nid): void;
  /** The process at a NID is gone: its handlers never run again, its peers see resets, its address is free. */
  kill(nid: Nid): void;
}

export class SimNetwork implements Network, NetworkFaults {
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #latency: readonly [number, number];
  readonly #board: Switchboard;
  readonly #stations = new Set<Station>();
  readonly #links = new Set<Link>();
  readonly #weather = new Map<string, Weather>();
  #incarnations = 0;
  #nextPort = 40_000;

  constructor(o: {
    time: VirtualTime;
    random: SeededRandom;
    latencyMs: readonly [number, number];
    guard: (handler: () => void) => void;
  }) {
    this.#time = o.time;
    this.#random = o.random;
    this.#latency = o.latencyMs;
    this.#board = {
      time: o.time,
      random: o.random,
      guard: o.guard,
      connect: (from, nid) => this.#connect(from, nid),
      closed: (endpoint) => this.#remove(endpoint),
    };
  }

  async open(options: EndpointOptions): Promise<Endpoint> {
    return this.openEndpoint(options);
  }

  openEndpoint(options: EndpointOptions): SimEndpoint {
    const nid = parseNid(options.nid);
    const address = options.accept === false ? undefined : this.#listenAddress(nid, options);
    if (address !== undefined && this.#listener(address) !== undefined) {
      throw new LustreError(
        'EADDRINUSE',
        `address already in use, listen ${address}`,
        { nid },
        -Errno.EADDRINUSE,
      );
    }
    const endpoint = new SimEndpoint(nid, this.#board, ++this.#incarnations);
    this.#stations.add({ endpoint, options, address });
    return endpoint;
  }

  reset(a: Nid, b: Nid): void {
    for (const link of this.#between(a, b)) this.#reset(link);
  }

  drop(a: Nid, b: Nid, probability: number): void {
    this.#weatherOf(a, b).breakProbability = probability;
  }

  delay(a: Nid, b: Nid, latencyMs: number | readonly [number, number]): void {
    this.#weatherOf(a, b).latencyMs = typeof latencyMs === 'number' ? [latencyMs, latencyMs] : latencyMs;
  }

  partition(a: Nid, b: Nid): void {
    const weather = this.#weatherOf(a, b);
    if (weather.partitioned) return;
    weather.partitioned = true;
    weather.partitions++;
    for (const link of this.#between(a, b)) this.#expireWhilePartitioned(link);
  }

  heal(a: Nid, b: Nid): void {
    this.#weatherOf(a, b).partitioned = false;
    for (const link of this.#between(a, b)) link.resume();
  }

  kill(nid: Nid): void {
    for (const { endpoint } of [...this.#stations]) if (endpoint.nid === nid) endpoint.kill();
  }

  #connect(from: LinkEnd, nid: Nid): void {
    const caller = this.#station(from);
    if (caller === undefined) return;
    const weather = this.#weatherOf(caller.endpoint.nid, nid);
    const [low, high] = weather.latencyMs;
    // Three round trips: TCP, acceptor request, HELLO (guide 02).
    this.#time.after(6 * this.#random.between(low, high), () => this.#finishConnect(caller, nid, weather));
  }

  #finishConnect(caller: Station, nid: Nid, weather: Weather): void {
    const { endpoint, options } = caller;
    if (!endpoint.isOpen || endpoint.linkTo(nid) !== undefined) return;
    if (weather.partitioned) {
      this.#time.after(CONNECT_TIMEOUT_MS, () => {
        if (endpoint.linkTo(nid) === undefined) this.#refuse(endpoint, nid, Errno.ETIMEDOUT);
      });
      return;
    }
    const address = options.nidMap?.[nid] ?? `${nidHost(nid)}:${options.port ?? DEFAULT_PORT}`;
    const target = this.#listener(address);
    // A listener with another NID ends the HELLO exchange.
    if (target === undefined || target.endpoint.nid !== nid) {
      this.#refuse(endpoint, nid, target === undefined ? Errno.ECONNREFUSED : Errno.EPROTO);
      return;
    }
    // An earlier incarnation of the caller that the listener still holds a link to is gone (guide 02 §3).
    target.endpoint.linkTo(endpoint.nid)?.break(Errno.ECONNRESET);
    const link = new Link([endpoint, target.endpoint], {
      weather,
      time: this.#time,
      random: this.#random,
      bulkConnections: options.connsPerPeer ?? 1,
      onReset: (broken) => this.#reset(broken),
    });
    this.#links.add(link);
    endpoint.connected(link);
    if (target.endpoint !== endpoint) target.endpoint.connected(link);
  }

  #refuse(endpoint: SimEndpoint, nid: Nid, errno: number): void {
    endpoint.connectFailed(nid, errnoError(errno, { syscall: 'connect', nid }));
  }

  #reset(link: Link): void {
    this.#links.delete(link);
    link.break(Errno.ECONNRESET);
  }

  /** A partition longer than the socket timeout ends connections (keepalives notice even on idle ones). */
  #expireWhilePartitioned(link: Link): void {
    const seconds = this.#station(link.ends[0])?.options.socketTimeout ?? DEFAULT_SOCKET_TIMEOUT_S;
    const { partitions } = link.weather;
    this.#time.after(seconds * 1000, () => {
      if (!link.open || !link.weather.partitioned || link.weather.partitions !== partitions) return;
      this.#links.delete(link);
      link.break(Errno.ETIMEDOUT);
    });
  }

  #remove(endpoint: LinkEnd): void {
    const station = this.#station(endpoint);
    if (station !== undefined) this.#stations.delete(station);
    for (const link of this.#links) if (link.ends.includes(endpoint)) this.#links.delete(link);
  }

  #station(endpoint: LinkEnd): Station | undefined {
    for (const station of this.#stations) if (station.endpoint === endpoint) return station;
    return undefined;
  }

  #listener(address: string): Station | undefined {
    for (const station of this.#stations) if (station.address === address) return station;
    return undefined;
  }

  #listenAddress(nid: Nid, options: EndpointOptions): string {
    const listen = options.listen ?? `${nidHost(nid)}:${options.port ?? DEFAULT_PORT}`;
    return listen.endsWith(':0') ? `${listen.slice(0, -1)}${this.#nextPort++}` : listen;
  }

  #between(a: Nid, b: Nid): Link[] {
    return [...this.#links].filter(({ ends: [x, y] }) => pairKey(x.nid, y.nid) === pairKey(a, b));
  }

  #weatherOf(a: Nid, b: Nid): Weather {
    const key = pairKey(a, b);
    let weather = this.#weather.get(key);
    if (weather === undefined) {
      weather = { latencyMs: this.#latency, partitioned: false, partitions: 0, breakProbability: 0 };
      this.#weather.set(key, weather);
    }
    return weather;
  }
}

function pairKey(a: Nid, b: Nid): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
