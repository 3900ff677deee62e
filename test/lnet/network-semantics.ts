/**
 * What every Network must do (guide 01 §5, §6), written once: test/sim runs it on the virtual network, test/lnet on the
 * native one. Nothing here depends on latency, on the order of messages on different connections, or on whether
 * `send` comes before or after `ack` and `reply`.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checksumTs } from '../../lib/lnet/checksum.ts';
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
class Watched {
  readonly events: LnetEvent[] = [];
  handle!: MdHandle;
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  readonly handler = (event: LnetEvent): void => {
    this.events.push(event);
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

const MTU = 1 << 20;
const PORTAL = 30;

function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff);
}

export function networkSemantics(name: string, makeNetwork: () => Promise<NetworkUnderTest>): void {
  describe(`LNet semantics on ${name}`, () => {
    let under: NetworkUnderTest;
    let a: Endpoint;
    let b: Endpoint;
    let opened: Endpoint[];

    const open = async (n: number): Promise<Endpoint> => {
      const endpoint = await under.network.open(under.options(n));
      opened.push(endpoint);
      return endpoint;
    };
    const segment = (endpoint: Endpoint, bytes: number | Uint8Array): Segment => {
      const memory = typeof bytes === 'number' ? endpoint.allocate(bytes) : endpoint.pin(bytes);
      return { memory, offset: 0, length: memory.bytes.length };
    };
    const attach = (endpoint: Endpoint, entry: Partial<MatchEntry> & { segments: Segment[] }): Watched => {
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
    };
    const put = (
      from: Endpoint,
      to: Endpoint,
      data: Uint8Array | Segment[],
      more: Partial<PutOptions> = {},
    ) => {
      const watched = new Watched();
      const segments = Array.isArray(data) ? data : [segment(from, data)];
      watched.handle = from.put(
        { peer: { nid: to.nid }, portal: PORTAL, matchBits: 7n, segments, ...more },
        watched.handler,
      );
      return watched;
    };
    const get = (from: Endpoint, to: Endpoint, segments: Segment[], more: Partial<GetOptions> = {}) => {
      const watched = new Watched();
      watched.handle = from.get(
        { peer: { nid: to.nid }, portal: PORTAL, matchBits: 7n, segments, ...more },
        watched.handler,
      );
      return watched;
    };

    beforeEach(async () => {
      under = await makeNetwork();
      opened = [];
      a = await under.run(open(0));
      b = await under.run(open(1));
    });
    afterEach(async () => {
      await under.run(Promise.all(opened.map((endpoint) => endpoint.close())));
    });

    describe('PUT', () => {
      test('lands in the matching entry and both sides are told', async () => {
        const sink = segment(b, 100);
        const entry = attach(b, { segments: [sink], threshold: 1, peer: { nid: a.nid } });
        const sent = put(a, b, pattern(60), { hdrData: 0x1234n });
        await under.run(Promise.all([entry.until(), sent.until()]));
        expect(entry.events).toEqual([
          {
            type: 'put',
            status: 0,
            initiator: { nid: a.nid, pid: 12345 },
            target: b.nid,
            matchBits: 7n,
            hdrData: 0x1234n,
            offset: 0,
            rlength: 60,
            mlength: 60,
            unlinked: true,
          },
        ]);
        expect(sink.memory.bytes.subarray(0, 60)).toEqual(pattern(60));
        expect(sent.events).toMatchObject([{ type: 'send', status: 0, unlinked: true }]);
      });

      test('of zero bytes and of 1 MiB in 256 pieces', async () => {
        const sinks = Array.from({ length: 256 }, () => segment(b, 4096));
        const entry = attach(b, { segments: sinks, threshold: 2 });
        const empty = put(a, b, []);
        await under.run(Promise.all([entry.until(1), empty.until()]));
        const source = pattern(MTU);
        const memory = a.pin(source);
        const pieces = Array.from({ length: 256 }, (_, i) => ({ memory, offset: i * 4096, length: 4096 }));
        const big = put(a, b, pieces, { ack: true });
        await under.run(Promise.all([entry.until(), big.until()]));
        expect(entry.events.map((event) => event.mlength)).toEqual([0, MTU]);
        expect(Buffer.concat(sinks.map((s) => s.memory.bytes)).equals(source)).toBe(true);
        expect(big.of('ack')).toMatchObject([{ status: 0, mlength: MTU }]);
      });

      test('over 1 MiB, of more than 256 pieces or outside its memory is refused', () => {
        const piece = segment(a, 16);
        const refuse = (segments: Segment[]) =>
          expect(() => put(a, b, segments)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
        refuse([segment(a, MTU + 1)]);
        refuse(Array.from({ length: 257 }, () => ({ ...piece, length: 1 })));
        refuse([{ ...piece, offset: 8 }]);
        refuse([{ ...piece, offset: -1, length: 4 }]);
      });

      test('with ack tells how much was stored, and exactly one event is the last', async () => {
        const entry = attach(b, { segments: [segment(b, 50)], options: MdOption.OP_PUT | MdOption.TRUNCATE });
        const sent = put(a, b, pattern(80), { ack: true });
        await under.run(Promise.all([entry.until(1), sent.until()]));
        expect(sent.types.toSorted()).toEqual(['ack', 'send']);
        expect(sent.of('ack')).toMatchObject([{ status: 0, mlength: 50, matchBits: 7n }]);
        expect(sent.events.map((event) => event.unlinked)).toEqual([false, true]);
        expect(entry.events).toMatchObject([{ rlength: 80, mlength: 50, unlinked: false }]);
      });

      test('is never acknowledged by an entry with ACK_DISABLE', async () => {
        const entry = attach(b, {
          segments: [segment(b, 50)],
          options: MdOption.OP_PUT | MdOption.ACK_DISABLE,
        });
        const sent = put(a, b, pattern(10), { ack: true });
        await under.run(Promise.all([entry.until(1), sent.until(1)]));
        await under.settle();
        expect(sent.types).toEqual(['send']);
        sent.handle.unlink();
        await under.run(sent.until());
        expect(sent.events.map((event) => [event.type, event.unlinked])).toEqual([
          ['send', false],
          ['unlink', true],
        ]);
      });

      test('too long for the entry is dropped whole, without searching on', async () => {
        const short = attach(b, { segments: [segment(b, 10)] });
        const long = attach(b, { segments: [segment(b, 100)] });
        const before = b.counters().dropped;
        const sent = put(a, b, pattern(20));
        await under.run(sent.until());
        await under.settle();
        expect(short.events).toEqual([]);
        expect(long.events).toEqual([]);
        expect(b.counters().dropped).toBe(before + 1);
      });

      test('that matches nothing is dropped: portal, bits, peer and operation all count', async () => {
        const sinks = [
          attach(b, { segments: [segment(b, 10)], portal: PORTAL + 1 }),
          attach(b, { segments: [segment(b, 10)], matchBits: 8n }),
          attach(b, { segments: [segment(b, 10)], peer: { nid: b.nid } }),
          attach(b, { segments: [segment(b, 10)], options: MdOption.OP_GET }),
        ];
        const before = b.counters().dropped;
        await under.run(put(a, b, pattern(5)).until());
        await under.settle();
        for (const sink of sinks) expect(sink.events).toEqual([]);
        expect(b.counters().dropped).toBe(before + 1);
      });

      test('is read when it is sent, not later: memory may be reused after the send event', async () => {
        const sink = segment(b, 64);
        const entry = attach(b, { segments: [sink] });
        const source = segment(a, pattern(64));
        const sent = put(a, b, [source]);
        await under.run(sent.until());
        source.memory.bytes.fill(0);
        source.memory.release();
        await under.run(entry.until(1));
        expect(sink.memory.bytes).toEqual(pattern(64));
      });
    });

    describe('matching', () => {
      test('goes by list order, before and after', async () => {
        const entry = (position: 'before' | 'after') =>
          attach(b, { segments: [segment(b, 8)], threshold: 1, position });
        const second = entry('after');
        const third = entry('after');
        const first = entry('before');
        for (const [i, expected] of [first, second, third].entries()) {
          put(a, b, new Uint8Array([i]));
          await under.run(expected.until());
        }
        expect([first, second, third].map((entry) => entry.events.length)).toEqual([1, 1, 1]);
      });

      test('does not compare ignored bits', async () => {
        const entry = attach(b, {
          segments: [segment(b, 64)],
          matchBits: 0xab00n,
          ignoreBits: 0xffn,
          threshold: 2,
        });
        put(a, b, pattern(1), { matchBits: 0xab17n });
        await under.run(entry.until(1));
        put(a, b, pattern(1), { matchBits: 0xac17n });
        put(a, b, pattern(1), { matchBits: 0xab42n });
        await under.run(entry.until());
        expect(entry.events.map((event) => event.matchBits)).toEqual([0xab17n, 0xab42n]);
      });

      test('the local offset runs on; MANAGE_REMOTE takes the sender’s', async () => {
        const local = segment(b, 30);
        const running = attach(b, { segments: [local], threshold: 3 });
        for (const [i, length] of [5, 10, 15].entries()) {
          put(a, b, pattern(length), { offset: 999 });
          await under.run(running.until(i + 1));
        }
        expect(running.events.map((event) => event.offset)).toEqual([0, 5, 15]);
        expect(running.events.at(-1)?.unlinked).toBe(true);

        const remote = attach(b, {
          segments: [segment(b, 100)],
          options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
        });
        put(a, b, pattern(10), { offset: 40 });
        await under.run(remote.until(1));
        put(a, b, pattern(10), { offset: 0 });
        await under.run(remote.until(2));
        expect(remote.events.map((event) => event.offset)).toEqual([40, 0]);
      });

      test('a remote offset past the end is dropped', async () => {
        const remote = attach(b, {
          segments: [segment(b, 100)],
          options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE | MdOption.TRUNCATE,
        });
        const before = b.counters().dropped;
        await under.run(put(a, b, pattern(10), { offset: 0xffff_ff00 }).until());
        await under.settle();
        expect(remote.events).toEqual([]);
        expect(b.counters().dropped).toBe(before + 1);
      });

      test('a threshold exhausts an entry; without auto-unlink it stays, matching nothing', async () => {
        const once = attach(b, { segments: [segment(b, 100)], threshold: 1, autoUnlink: false });
        const next = attach(b, { segments: [segment(b, 100)], threshold: 1 });
        put(a, b, pattern(3));
        await under.run(once.until(1));
        put(a, b, pattern(4));
        await under.run(next.until());
        expect(once.events).toMatchObject([{ type: 'put', unlinked: false }]);
        once.handle.unlink();
        await under.run(once.until());
        expect(once.types).toEqual(['put', 'unlink']);
      });

      test('MAX_SIZE rotates request buffers: the message that leaves too little room is the last', async () => {
        const buffer = () =>
          attach(b, {
            segments: [segment(b, 100)],
            options: MdOption.OP_PUT | MdOption.MAX_SIZE,
            maxSize: 40,
          });
        const first = buffer();
        const second = buffer();
        for (let i = 1; i <= 3; i++) {
          put(a, b, pattern(25));
          await under.run(first.until(i));
        }
        put(a, b, pattern(25));
        await under.run(second.until(1));
        expect(first.events.map((event) => [event.offset, event.unlinked])).toEqual([
          [0, false],
          [25, false],
          [50, true],
        ]);
        expect(second.events).toMatchObject([{ offset: 0, unlinked: false }]);
      });

      test('a message over maxSize is dropped', async () => {
        const buffer = attach(b, {
          segments: [segment(b, 100)],
          options: MdOption.OP_PUT | MdOption.MAX_SIZE,
          maxSize: 40,
        });
        await under.run(put(a, b, pattern(41)).until());
        await under.settle();
        expect(buffer.events).toEqual([]);
      });

      test('a lazy portal parks what finds no buffer; others drop it', async () => {
        b.setLazyPortal(PORTAL);
        const early = put(a, b, pattern(20), { ack: true });
        put(a, b, pattern(20), { portal: PORTAL + 1 });
        await under.run(early.until(1));
        await under.settle();
        const lazy = attach(b, { segments: [segment(b, 100)] });
        const strict = attach(b, { segments: [segment(b, 100)], portal: PORTAL + 1 });
        await under.run(Promise.all([lazy.until(1), early.until()]));
        await under.settle();
        expect(lazy.events).toMatchObject([{ type: 'put', mlength: 20 }]);
        expect(early.of('ack')).toMatchObject([{ status: 0, mlength: 20 }]);
        expect(strict.events).toEqual([]);
      });
    });

    describe('GET', () => {
      test('brings the bytes; both sides are told', async () => {
        const source = attach(b, {
          segments: [segment(b, pattern(2000))],
          options: MdOption.OP_GET,
          threshold: 1,
        });
        const sink = segment(a, 2000);
        const asked = get(a, b, [sink]);
        await under.run(Promise.all([source.until(), asked.until()]));
        expect(sink.memory.bytes).toEqual(pattern(2000));
        expect(asked.types.toSorted()).toEqual(['reply', 'send']);
        expect(asked.of('reply')).toMatchObject([{ status: 0, mlength: 2000, rlength: 2000 }]);
        expect(asked.events.filter((event) => event.unlinked)).toEqual([asked.events.at(-1)]);
        expect(source.events).toMatchObject([
          { type: 'get', status: 0, rlength: 2000, mlength: 2000, unlinked: true, initiator: { nid: a.nid } },
        ]);
      });

      test('asking for more than there is needs TRUNCATE', async () => {
        const strict = attach(b, { segments: [segment(b, 10)], options: MdOption.OP_GET });
        const asked = get(a, b, [segment(a, 20)]);
        await under.run(asked.until(1));
        await under.settle();
        expect(strict.events).toEqual([]);
        expect(asked.types).toEqual(['send']);
        asked.handle.unlink();
        await under.run(asked.until());

        strict.handle.unlink();
        attach(b, {
          segments: [segment(b, pattern(10))],
          options: MdOption.OP_GET | MdOption.TRUNCATE,
        });
        const short = get(a, b, [segment(a, 20)]);
        await under.run(short.until());
        expect(short.of('reply')).toMatchObject([{ mlength: 10 }]);
      });

      test('takes the source offset with MANAGE_REMOTE', async () => {
        attach(b, {
          segments: [segment(b, pattern(100))],
          options: MdOption.OP_GET | MdOption.MANAGE_REMOTE,
        });
        const sink = segment(a, 20);
        await under.run(get(a, b, [sink], { offset: 50 }).until());
        expect(sink.memory.bytes).toEqual(pattern(100).subarray(50, 70));
      });

      test('a late reply to an unlinked descriptor is dropped and touches no memory', async () => {
        const sink = segment(a, 64);
        b.setLazyPortal(PORTAL);
        const asked = get(a, b, [sink]);
        await under.run(asked.until(1));
        asked.handle.unlink();
        asked.handle.unlink();
        await under.run(asked.until());
        attach(b, { segments: [segment(b, pattern(64))], options: MdOption.OP_GET });
        await under.settle();
        expect(sink.memory.bytes).toEqual(new Uint8Array(64));
        expect(asked.events.filter((event) => event.unlinked)).toEqual([asked.events.at(-1)]);
      });
    });

    describe('unlink and close', () => {
      test('an unlinked entry matches nothing more and says so once', async () => {
        const entry = attach(b, { segments: [segment(b, 10)] });
        entry.handle.unlink();
        entry.handle.unlink();
        await under.run(entry.until());
        await under.run(put(a, b, pattern(5)).until());
        await under.settle();
        expect(entry.events).toMatchObject([{ type: 'unlink', status: 0, unlinked: true }]);
      });

      test('close gives every descriptor its last event', async () => {
        const entry = attach(b, { segments: [segment(b, 10)] });
        const partlyUsed = attach(b, { segments: [segment(b, 100)], matchBits: 9n });
        put(a, b, pattern(5), { matchBits: 9n });
        await under.run(partlyUsed.until(1));
        await under.run(b.close());
        expect(entry.events).toMatchObject([{ type: 'unlink', status: -108, unlinked: true }]);
        expect(partlyUsed.events.map((event) => event.unlinked)).toEqual([false, true]);
        expect(() => b.attach({} as MatchEntry, () => {})).toThrow(
          expect.objectContaining({ code: 'ESHUTDOWN' }),
        );
      });

      test('an answer that a closed peer owes ends with a negative status, and the peer is reported down', async () => {
        const down: string[] = [];
        a.onPeerDown((nid) => down.push(nid));
        attach(b, {
          segments: [segment(b, 10)],
          options: MdOption.OP_PUT | MdOption.ACK_DISABLE,
        });
        const unacked = put(a, b, pattern(5), { ack: true });
        await under.run(unacked.until(1));
        await under.run(b.close());
        await under.run(unacked.until());
        const last = unacked.events.at(-1);
        expect([last?.type, last?.unlinked]).toEqual(['ack', true]);
        expect(last?.status).toBeLessThan(0);
        expect(down).toEqual([b.nid]);
        expect(a.lastError(b.nid)).toBeInstanceOf(Error);
      });

      test('sending to nobody fails with a negative status and a reason', async () => {
        const nobody = await under.run(open(2));
        await under.run(nobody.close());
        const sent = put(a, nobody, pattern(5), { ack: true });
        await under.run(sent.until());
        expect(sent.events).toMatchObject([{ type: 'send', unlinked: true }]);
        expect(sent.events[0]?.status).toBeLessThan(0);
        expect(a.lastError(nobody.nid)).toMatchObject({ code: 'ECONNREFUSED' });
      });

      test('a NID that is in use is refused', async () => {
        await expect(under.run(under.network.open(under.options(0)))).rejects.toMatchObject({
          code: 'EADDRINUSE',
        });
      });
    });

    describe('many', () => {
      test('small messages on one connection keep their order', async () => {
        const entry = attach(b, { segments: [segment(b, 400)], threshold: 100 });
        for (let i = 0; i < 100; i++) put(a, b, new Uint8Array([i]), { hdrData: BigInt(i) });
        await under.run(entry.until());
        expect(entry.events.map((event) => Number(event.hdrData))).toEqual(
          Array.from({ length: 100 }, (_, i) => i),
        );
      });

      test('both directions at once, small and large, lose nothing', async () => {
        const count = 40;
        const size = (i: number) => (i % 3 === 0 ? 50_000 : 100);
        const sinks = [a, b].map((endpoint) =>
          attach(endpoint, {
            segments: [segment(endpoint, 4 * MTU)],
            threshold: count,
            ignoreBits: ~0n & 0xffff_ffff_ffff_ffffn,
          }),
        );
        const sends: Watched[] = [];
        for (let i = 0; i < count; i++) {
          sends.push(put(a, b, pattern(size(i), i), { matchBits: BigInt(i), ack: i % 2 === 0 }));
          sends.push(put(b, a, pattern(size(i), i), { matchBits: BigInt(i), ack: i % 2 === 1 }));
        }
        await under.run(Promise.all([...sends, ...sinks].map((w) => w.until())));
        for (const sink of sinks) {
          expect(sink.events.map((event) => Number(event.matchBits)).toSorted((x, y) => x - y)).toEqual(
            Array.from({ length: count }, (_, i) => i),
          );
        }
        for (const sent of sends)
          expect(sent.events.filter((event) => event.unlinked)).toEqual([sent.events.at(-1)]);
      });

      test('an endpoint reaches itself', async () => {
        const entry = attach(a, { segments: [segment(a, 100)], threshold: 1 });
        const sent = put(a, a, pattern(20), { ack: true });
        await under.run(Promise.all([entry.until(), sent.until()]));
        expect(entry.events).toMatchObject([{ type: 'put', mlength: 20 }]);
      });
    });

    test('ping names the peer’s NIDs', async () => {
      const answer = await under.run(a.ping(b.nid, 5000));
      expect(answer.nids).toContain(b.nid);
      expect(answer.features & 0x2).toBe(0x2);
      expect(answer.roundTripMs).toBeGreaterThan(0);
    });

    test('ping of nobody says why', async () => {
      const nobody = await under.run(open(2));
      await under.run(nobody.close());
      await expect(under.run(a.ping(nobody.nid, 5000))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    test('checksums agree with the plain ones, whatever the pieces', () => {
      const bytes = pattern(10_000);
      const memory = a.pin(bytes);
      const pieces = [
        { memory, offset: 0, length: 1 },
        { memory, offset: 1, length: 4096 },
        { memory, offset: 4097, length: 5903 },
      ];
      for (const type of ['crc32', 'adler32', 'crc32c'] as const)
        expect(a.checksum(type, pieces)).toBe(checksumTs(type, [bytes]));
    });
  });
}
