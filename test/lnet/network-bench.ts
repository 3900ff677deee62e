/** Two endpoints of a network under test, and what the tests of network-semantics.ts do with them. */
import {
  type Endpoint,
  type EndpointOptions,
  type GetOptions,
  type LnetEvent,
  type MatchEntry,
  type MdHandle,
  MdOption,
  type Network,
  type PutOptions,
  type Segment,
} from '../../lib/lnet/network.ts';
import { NID_ANY } from '../../lib/lnet/nid.ts';
import { keptEvent } from './kept-event.ts';

export interface NetworkUnderTest {
  readonly network: Network;
  /** Options that open the n-th endpoint (0, 1, 2 ...) so that it can reach and be reached by the others. */
  options(n: number): EndpointOptions;
  /** Waits for the work: `sim.run`, or for real networks the promise itself. */
  run<T>(work: Promise<T>): Promise<T>;
  /** Time enough for anything under way to arrive. */
  settle(): Promise<void>;
}

/** A descriptor's handle with what its handler was told. */
export class Watched {
  readonly events: LnetEvent[] = [];
  handle!: MdHandle;
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  readonly handler = (event: LnetEvent): void => {
    this.events.push(keptEvent(event));
    for (const waiter of this.#waiting) if (this.satisfied(waiter.count)) waiter.resolve();
  };

  get types(): string[] {
    return this.events.map((event) => event.type);
  }

  of(type: LnetEvent['type']): LnetEvent[] {
    return this.events.filter((event) => event.type === type);
  }

  /** Resolves when the last event has come (count -1) or `count` of them have. */
  async until(count = -1): Promise<LnetEvent[]> {
    if (!this.satisfied(count)) {
      await new Promise<void>((resolve) => {
        this.#waiting.push({ count, resolve });
      });
    }
    return this.events;
  }

  private satisfied(count: number): boolean {
    return count < 0 ? this.events.some((event) => event.unlinked) : this.events.length >= count;
  }
}

export const MTU = 1 << 20;
export const PORTAL = 30;

export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}

export class NetworkBench {
  readonly #make: () => Promise<NetworkUnderTest>;
  readonly #opened: Endpoint[] = [];
  under!: NetworkUnderTest;
  a!: Endpoint;
  b!: Endpoint;

  constructor(make: () => Promise<NetworkUnderTest>) {
    this.#make = make;
  }

  async begin(): Promise<void> {
    this.under = await this.#make();
    this.#opened.length = 0;
    this.a = await this.run(this.open(0));
    this.b = await this.run(this.open(1));
  }

  async end(): Promise<void> {
    await this.run(Promise.all(this.#opened.map((endpoint) => endpoint.close())));
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.under.run(work);
  }

  settle(): Promise<void> {
    return this.under.settle();
  }

  async open(n: number): Promise<Endpoint> {
    const endpoint = await this.under.network.open(this.under.options(n));
    this.#opened.push(endpoint);
    return endpoint;
  }

  segment(endpoint: Endpoint, bytes: number | Uint8Array): Segment {
    const memory = typeof bytes === 'number' ? endpoint.allocate(bytes) : endpoint.pin(bytes);
    return { memory, offset: 0, length: memory.bytes.length };
  }

  attach(endpoint: Endpoint, entry: Partial<MatchEntry> & { segments: Segment[] }): Watched {
    const watched = new Watched();
    watched.handle = endpoint.attach(
      {
        portal: PORTAL,
        matchBits: 7n,
        peer: { nid: NID_ANY },
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT,
        autoUnlink: true,
        ...entry,
      },
      watched.handler,
    );
    return watched;
  }

  put(from: Endpoint, to: Endpoint, data: Uint8Array | Segment[], more: Partial<PutOptions> = {}): Watched {
    const watched = new Watched();
    const segments = Array.isArray(data) ? data : [this.segment(from, data)];
    watched.handle = from.put(
      { peer: { nid: to.nid }, portal: PORTAL, matchBits: 7n, segments, ...more },
      watched.handler,
    );
    return watched;
  }

  get(from: Endpoint, to: Endpoint, segments: Segment[], more: Partial<GetOptions> = {}): Watched {
    const watched = new Watched();
    watched.handle = from.get(
      { peer: { nid: to.nid }, portal: PORTAL, matchBits: 7n, segments, ...more },
      watched.handler,
    );
    return watched;
  }
}
