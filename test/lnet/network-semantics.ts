/**
 * What every Network must do (guide 01 §5, §6), written once: test/sim runs it on the virtual network, test/lnet on the
 * native one. Nothing here depends on latency, on the order of messages on different connections, or on whether
 * `send` comes before or after `ack` and `reply`.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checksumTs } from '../../lib/lnet/checksum.ts';
import { type MatchEntry, MdOption } from '../../lib/lnet/network.ts';
import { bulkChecksumTs } from '../../lib/lnet/t10.ts';
import { matchingSemantics } from './matching-semantics.ts';
import { MTU, NetworkBench, type NetworkUnderTest, PORTAL, pattern, type Watched } from './network-bench.ts';

export type { NetworkUnderTest };

export function networkSemantics(name: string, makeNetwork: () => Promise<NetworkUnderTest>): void {
  describe(`LNet semantics on ${name}`, () => {
    const f = new NetworkBench(makeNetwork);
    beforeEach(() => f.begin());
    afterEach(() => f.end());

    matchingSemantics(f);

    describe('GET', () => {
      test('brings the bytes; both sides are told', async () => {
        const source = f.attach(f.b, {
          segments: [f.segment(f.b, pattern(2000))],
          options: MdOption.OP_GET,
          threshold: 1,
        });
        const sink = f.segment(f.a, 2000);
        const asked = f.get(f.a, f.b, [sink]);
        await f.run(Promise.all([source.until(), asked.until()]));
        expect(sink.memory.bytes).toEqual(pattern(2000));
        expect(asked.types.toSorted()).toEqual(['reply', 'send']);
        expect(asked.of('reply')).toMatchObject([{ status: 0, mlength: 2000, rlength: 2000 }]);
        expect(asked.events.filter((event) => event.unlinked)).toEqual([asked.events.at(-1)]);
        expect(source.events).toMatchObject([
          {
            type: 'get',
            status: 0,
            rlength: 2000,
            mlength: 2000,
            unlinked: true,
            initiator: { nid: f.a.nid },
          },
        ]);
      });

      test('asking for more than there is needs TRUNCATE', async () => {
        const strict = f.attach(f.b, { segments: [f.segment(f.b, 10)], options: MdOption.OP_GET });
        const asked = f.get(f.a, f.b, [f.segment(f.a, 20)]);
        await f.run(asked.until(1));
        await f.settle();
        expect(strict.events).toEqual([]);
        expect(asked.types).toEqual(['send']);
        asked.handle.unlink();
        await f.run(asked.until());

        strict.handle.unlink();
        f.attach(f.b, {
          segments: [f.segment(f.b, pattern(10))],
          options: MdOption.OP_GET | MdOption.TRUNCATE,
        });
        const short = f.get(f.a, f.b, [f.segment(f.a, 20)]);
        await f.run(short.until());
        expect(short.of('reply')).toMatchObject([{ mlength: 10 }]);
      });

      test('takes the source offset with MANAGE_REMOTE', async () => {
        f.attach(f.b, {
          segments: [f.segment(f.b, pattern(100))],
          options: MdOption.OP_GET | MdOption.MANAGE_REMOTE,
        });
        const sink = f.segment(f.a, 20);
        await f.run(f.get(f.a, f.b, [sink], { offset: 50 }).until());
        expect(sink.memory.bytes).toEqual(pattern(100).subarray(50, 70));
      });

      test('unlinked while its answer is under way, a GET ends once, and nothing lands later', async () => {
        f.attach(f.b, { segments: [f.segment(f.b, pattern(64))], options: MdOption.OP_GET });
        const sink = f.segment(f.a, 64);
        const asked = f.get(f.a, f.b, [sink]);
        await f.run(asked.until(1));
        asked.handle.unlink();
        asked.handle.unlink();
        await f.run(asked.until());
        const landed = asked.of('reply').some((event) => event.status === 0);
        const expected = landed ? pattern(64) : new Uint8Array(64);
        expect(sink.memory.bytes).toEqual(expected);
        await f.settle();
        expect(sink.memory.bytes).toEqual(expected);
        expect(asked.events.filter((event) => event.unlinked)).toEqual([asked.events.at(-1)]);
      });
    });

    describe('unlink and close', () => {
      test('an unlinked entry matches nothing more and says so once', async () => {
        const entry = f.attach(f.b, { segments: [f.segment(f.b, 10)] });
        entry.handle.unlink();
        entry.handle.unlink();
        await f.run(entry.until());
        await f.run(f.put(f.a, f.b, pattern(5)).until());
        await f.settle();
        expect(entry.events).toMatchObject([{ type: 'unlink', status: 0, unlinked: true }]);
      });

      test('close gives every descriptor its last event', async () => {
        const entry = f.attach(f.b, { segments: [f.segment(f.b, 10)] });
        const partlyUsed = f.attach(f.b, { segments: [f.segment(f.b, 100)], matchBits: 9n });
        f.put(f.a, f.b, pattern(5), { matchBits: 9n });
        await f.run(partlyUsed.until(1));
        await f.run(f.b.close());
        expect(entry.events).toMatchObject([{ type: 'unlink', status: -108, unlinked: true }]);
        expect(partlyUsed.events.map((event) => event.unlinked)).toEqual([false, true]);
        expect(() => f.b.attach({} as MatchEntry, () => {})).toThrow(
          expect.objectContaining({ code: 'ESHUTDOWN' }),
        );
      });

      test('an answer that a closed peer owes ends with a negative status, and the peer is reported down', async () => {
        const down: string[] = [];
        f.a.onPeerDown((nid) => down.push(nid));
        f.attach(f.b, {
          segments: [f.segment(f.b, 10)],
          options: MdOption.OP_PUT | MdOption.ACK_DISABLE,
        });
        const unacked = f.put(f.a, f.b, pattern(5), { ack: true });
        await f.run(unacked.until(1));
        await f.run(f.b.close());
        await f.run(unacked.until());
        const last = unacked.events.at(-1);
        expect([last?.type, last?.unlinked]).toEqual(['ack', true]);
        expect(last?.status).toBeLessThan(0);
        expect(down).toEqual([f.b.nid]);
        expect(f.a.lastError(f.b.nid)).toBeInstanceOf(Error);
      });

      test('sending to nobody fails with a negative status and a reason', async () => {
        const nobody = await f.run(f.open(2));
        await f.run(nobody.close());
        const sent = f.put(f.a, nobody, pattern(5), { ack: true });
        await f.run(sent.until());
        expect(sent.events).toMatchObject([{ type: 'send', unlinked: true }]);
        expect(sent.events[0]?.status).toBeLessThan(0);
        expect(f.a.lastError(nobody.nid)).toMatchObject({ code: 'ECONNREFUSED' });
      });

      test('a NID that is in use is refused', async () => {
        await expect(f.run(f.under.network.open(f.under.options(0)))).rejects.toMatchObject({
          code: 'EADDRINUSE',
        });
      });
    });

    describe('many', () => {
      test('small messages on one connection keep their order', async () => {
        const entry = f.attach(f.b, { segments: [f.segment(f.b, 400)], threshold: 100 });
        for (let i = 0; i < 100; i++) f.put(f.a, f.b, new Uint8Array([i]), { hdrData: BigInt(i) });
        await f.run(entry.until());
        expect(entry.events.map((event) => Number(event.hdrData))).toEqual(
          Array.from({ length: 100 }, (_, i) => i),
        );
      });

      test('both directions at once, small and large, lose nothing', async () => {
        const count = 40;
        const size = (i: number) => (i % 3 === 0 ? 50_000 : 100);
        const sinks = [f.a, f.b].map((endpoint) =>
          f.attach(endpoint, {
            segments: [f.segment(endpoint, 4 * MTU)],
            threshold: count,
            ignoreBits: ~0n & 0xffff_ffff_ffff_ffffn,
          }),
        );
        const sends: Watched[] = [];
        for (let i = 0; i < count; i++) {
          sends.push(f.put(f.a, f.b, pattern(size(i), i), { matchBits: BigInt(i), ack: i % 2 === 0 }));
          sends.push(f.put(f.b, f.a, pattern(size(i), i), { matchBits: BigInt(i), ack: i % 2 === 1 }));
        }
        await f.run(Promise.all([...sends, ...sinks].map((w) => w.until())));
        for (const sink of sinks) {
          expect(sink.events.map((event) => Number(event.matchBits)).toSorted((x, y) => x - y)).toEqual(
            Array.from({ length: count }, (_, i) => i),
          );
        }
        for (const sent of sends)
          expect(sent.events.filter((event) => event.unlinked)).toEqual([sent.events.at(-1)]);
      });

      test('an endpoint reaches itself', async () => {
        const entry = f.attach(f.a, { segments: [f.segment(f.a, 100)], threshold: 1 });
        const sent = f.put(f.a, f.a, pattern(20), { ack: true });
        await f.run(Promise.all([entry.until(), sent.until()]));
        expect(entry.events).toMatchObject([{ type: 'put', mlength: 20 }]);
      });
    });

    test('ping names the peer’s NIDs', async () => {
      const answer = await f.run(f.a.ping(f.b.nid, 5000));
      expect(answer.nids).toContain(f.b.nid);
      // Without MULTI_RAIL (8) kernel clients 2.17 complain of us; with DISCOVERY (16) they would take us at our word.
      expect(answer.features).toBe(0x0e);
      expect(answer.roundTripMs).toBeGreaterThan(0);
    });

    test('ping of nobody says why', async () => {
      const nobody = await f.run(f.open(2));
      await f.run(nobody.close());
      await expect(f.run(f.a.ping(nobody.nid, 5000))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    test('what comes is summed as it comes, where that is asked for', async () => {
      for (const checksum of ['crc32', 'adler32', 'crc32c'] as const) {
        const bytes = pattern(300_000);
        const sum = checksumTs(checksum, [bytes]);
        const cut = checksumTs(checksum, [bytes.subarray(0, 1000)]);
        const all = f.attach(f.b, {
          segments: [f.segment(f.b, 100_000), f.segment(f.b, 200_000)],
          checksum,
          threshold: 1,
        });
        await f.run(Promise.all([f.put(f.a, f.b, bytes, { ack: true }).until(), all.until()]));
        expect(all.of('put')).toMatchObject([{ mlength: 300_000, checksum: sum }]);

        const options = MdOption.OP_PUT | MdOption.TRUNCATE;
        const head = f.attach(f.b, { segments: [f.segment(f.b, 1000)], checksum, options, threshold: 1 });
        await f.run(Promise.all([f.put(f.a, f.b, bytes, { ack: true }).until(), head.until()]));
        expect(head.of('put')).toMatchObject([{ mlength: 1000, checksum: cut }]);

        const source = { segments: [f.segment(f.b, bytes)], options: MdOption.OP_GET, threshold: 1 };
        f.attach(f.b, source);
        const asked = f.get(f.a, f.b, [f.segment(f.a, 300_000)], { checksum });
        await f.run(asked.until());
        expect(asked.of('reply')).toMatchObject([{ mlength: 300_000, checksum: sum }]);
        f.attach(f.b, source);
        const own = f.get(f.b, f.b, [f.segment(f.b, 300_000)], { checksum });
        await f.run(own.until());
        expect(own.of('reply')).toMatchObject([{ checksum: sum }]);

        f.b.setLazyPortal(PORTAL);
        const sent = f.put(f.a, f.b, bytes, { ack: true });
        await f.run(sent.until(1));
        await f.settle();
        const late = f.attach(f.b, { segments: [f.segment(f.b, 300_000)], checksum, threshold: 1 });
        await f.run(Promise.all([sent.until(), late.until()]));
        expect(late.of('put')).toMatchObject([{ checksum: sum }]);
        const [whole] = source.segments;
        expect(await f.b.checksumLater(checksum, [whole!])).toBe(sum);
      }
    });

    test('checksums agree with the plain ones, whatever the pieces', () => {
      const bytes = pattern(10_000);
      const memory = f.a.pin(bytes);
      const pieces = [
        { memory, offset: 0, length: 1 },
        { memory, offset: 1, length: 4096 },
        { memory, offset: 4097, length: 5903 },
      ];
      for (const type of ['crc32', 'adler32', 'crc32c'] as const)
        expect(f.a.checksum(type, pieces)).toBe(checksumTs(type, [bytes]));
      for (const type of ['t10ip512', 't10ip4K', 't10crc512', 't10crc4K'] as const)
        expect(f.a.checksum(type, pieces, 3333)).toBe(bulkChecksumTs(type, [bytes], 3333));
    });
  });
}
