/** How PUTs find their memory (guide 01 §5.1, §6): a part of network-semantics.ts. */
import { describe, expect, test } from 'vitest';
import { MdOption, type Segment } from '../../lib/lnet/network.ts';
import { MTU, type NetworkBench, PORTAL, pattern } from './network-bench.ts';

export function matchingSemantics(f: NetworkBench): void {
  describe('PUT', () => {
    test('lands in the matching entry and both sides are told', async () => {
      const sink = f.segment(f.b, 100);
      const entry = f.attach(f.b, { segments: [sink], threshold: 1, peer: { nid: f.a.nid } });
      const sent = f.put(f.a, f.b, pattern(60), { hdrData: 0x1234n });
      await f.run(Promise.all([entry.until(), sent.until()]));
      expect(entry.events).toMatchObject([
        {
          type: 'put',
          status: 0,
          initiator: { nid: f.a.nid, pid: 12345 },
          target: f.b.nid,
          matchBits: 7,
          hdrData: 0x1234n,
          offset: 0,
          rlength: 60,
          mlength: 60,
          checksum: 0,
          unlinked: true,
        },
      ]);
      expect(sink.memory.bytes.subarray(0, 60)).toEqual(pattern(60));
      expect(sent.events).toMatchObject([{ type: 'send', status: 0, unlinked: true }]);
    });

    test('of zero bytes and of 1 MiB in 256 pieces', async () => {
      const sinks = Array.from({ length: 256 }, () => f.segment(f.b, 4096));
      const entry = f.attach(f.b, { segments: sinks, threshold: 2 });
      const empty = f.put(f.a, f.b, []);
      await f.run(Promise.all([entry.until(1), empty.until()]));
      const source = pattern(MTU);
      const memory = f.a.pin(source);
      const pieces = Array.from({ length: 256 }, (_, i) => ({ memory, offset: i * 4096, length: 4096 }));
      const big = f.put(f.a, f.b, pieces, { ack: true });
      await f.run(Promise.all([entry.until(), big.until()]));
      expect(entry.events.map((event) => event.mlength)).toEqual([0, MTU]);
      expect(Buffer.concat(sinks.map((s) => s.memory.bytes)).equals(source)).toBe(true);
      expect(big.of('ack')).toMatchObject([{ status: 0, mlength: MTU }]);
    });

    test('over 1 MiB, of more than 256 pieces or outside its memory is refused', () => {
      const piece = f.segment(f.a, 16);
      const refuse = (segments: Segment[]) =>
        expect(() => f.put(f.a, f.b, segments)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
      refuse([f.segment(f.a, MTU + 1)]);
      refuse(Array.from({ length: 257 }, () => ({ ...piece, length: 1 })));
      refuse([{ ...piece, offset: 8 }]);
      refuse([{ ...piece, offset: -1, length: 4 }]);
    });

    test('with ack tells how much was stored, and exactly one event is the last', async () => {
      const entry = f.attach(f.b, {
        segments: [f.segment(f.b, 50)],
        options: MdOption.OP_PUT | MdOption.TRUNCATE,
      });
      const sent = f.put(f.a, f.b, pattern(80), { ack: true });
      await f.run(Promise.all([entry.until(1), sent.until()]));
      expect(sent.types.toSorted()).toEqual(['ack', 'send']);
      expect(sent.of('ack')).toMatchObject([{ status: 0, mlength: 50, matchBits: 7 }]);
      expect(sent.events.map((event) => event.unlinked)).toEqual([false, true]);
      expect(entry.events).toMatchObject([{ rlength: 80, mlength: 50, unlinked: false }]);
    });

    test('is never acknowledged by an entry with ACK_DISABLE', async () => {
      const entry = f.attach(f.b, {
        segments: [f.segment(f.b, 50)],
        options: MdOption.OP_PUT | MdOption.ACK_DISABLE,
      });
      const sent = f.put(f.a, f.b, pattern(10), { ack: true });
      await f.run(Promise.all([entry.until(1), sent.until(1)]));
      await f.settle();
      expect(sent.types).toEqual(['send']);
      sent.handle.unlink();
      await f.run(sent.until());
      expect(sent.events.map((event) => [event.type, event.unlinked])).toEqual([
        ['send', false],
        ['unlink', true],
      ]);
    });

    test('too long for the entry is dropped whole, without searching on', async () => {
      const short = f.attach(f.b, { segments: [f.segment(f.b, 10)] });
      const long = f.attach(f.b, { segments: [f.segment(f.b, 100)] });
      const before = f.b.counters().dropped;
      const sent = f.put(f.a, f.b, pattern(20));
      await f.run(sent.until());
      await f.settle();
      expect(short.events).toEqual([]);
      expect(long.events).toEqual([]);
      expect(f.b.counters().dropped).toBe(before + 1);
    });

    test('that matches nothing is dropped: portal, bits, peer and operation all count', async () => {
      const sinks = [
        f.attach(f.b, { segments: [f.segment(f.b, 10)], portal: PORTAL + 1 }),
        f.attach(f.b, { segments: [f.segment(f.b, 10)], matchBits: 8n }),
        f.attach(f.b, { segments: [f.segment(f.b, 10)], peer: { nid: f.b.nid } }),
        f.attach(f.b, { segments: [f.segment(f.b, 10)], options: MdOption.OP_GET }),
      ];
      const before = f.b.counters().dropped;
      await f.run(f.put(f.a, f.b, pattern(5)).until());
      await f.settle();
      for (const sink of sinks) expect(sink.events).toEqual([]);
      expect(f.b.counters().dropped).toBe(before + 1);
    });

    test('is read when it is sent, not later: memory may be reused after the send event', async () => {
      const sink = f.segment(f.b, 64);
      const entry = f.attach(f.b, { segments: [sink] });
      const source = f.segment(f.a, pattern(64));
      const sent = f.put(f.a, f.b, [source]);
      await f.run(sent.until());
      source.memory.bytes.fill(0);
      source.memory.release();
      await f.run(entry.until(1));
      expect(sink.memory.bytes).toEqual(pattern(64));
    });
  });

  describe('send', () => {
    test('tells of its end by what it gives or by an event, never by both', async () => {
      const sink = f.attach(f.b, { segments: [f.segment(f.b, 64)] });
      const events: string[] = [];
      const first = f.segment(f.a, pattern(10));
      let ended = 0;
      for (let i = 0; i < 5; i++) {
        const peer = { nid: f.b.nid };
        const handle = f.a.send({ peer, portal: PORTAL, matchBits: 7n, segments: [first] }, (event) => {
          events.push(event.type);
          if (event.unlinked) ended++;
        });
        if (handle === undefined) ended++;
        await f.run(sink.until(i + 1));
      }
      await f.settle();
      expect(ended).toBe(5);
      expect(events.length).toBeLessThanOrEqual(5);
      expect(events.every((type) => type === 'send')).toBe(true);
    });
  });

  describe('matching', () => {
    test('goes by list order, before and after', async () => {
      const entry = (position: 'before' | 'after') =>
        f.attach(f.b, { segments: [f.segment(f.b, 8)], threshold: 1, position });
      const second = entry('after');
      const third = entry('after');
      const first = entry('before');
      for (const [i, expected] of [first, second, third].entries()) {
        f.put(f.a, f.b, new Uint8Array([i]));
        await f.run(expected.until());
      }
      expect([first, second, third].map((entry) => entry.events.length)).toEqual([1, 1, 1]);
    });

    test('does not compare ignored bits', async () => {
      const entry = f.attach(f.b, {
        segments: [f.segment(f.b, 64)],
        matchBits: 0xab00n,
        ignoreBits: 0xffn,
        threshold: 2,
      });
      f.put(f.a, f.b, pattern(1), { matchBits: 0xab17n });
      await f.run(entry.until(1));
      f.put(f.a, f.b, pattern(1), { matchBits: 0xac17n });
      f.put(f.a, f.b, pattern(1), { matchBits: 0xab42n });
      await f.run(entry.until());
      expect(entry.events.map((event) => event.matchBits)).toEqual([0xab17, 0xab42]);
    });

    test('the local offset runs on; MANAGE_REMOTE takes the sender’s', async () => {
      const local = f.segment(f.b, 30);
      const running = f.attach(f.b, { segments: [local], threshold: 3 });
      for (const [i, length] of [5, 10, 15].entries()) {
        f.put(f.a, f.b, pattern(length), { offset: 999 });
        await f.run(running.until(i + 1));
      }
      expect(running.events.map((event) => event.offset)).toEqual([0, 5, 15]);
      expect(running.events.at(-1)?.unlinked).toBe(true);

      const remote = f.attach(f.b, {
        segments: [f.segment(f.b, 100)],
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
      });
      f.put(f.a, f.b, pattern(10), { offset: 40 });
      await f.run(remote.until(1));
      f.put(f.a, f.b, pattern(10), { offset: 0 });
      await f.run(remote.until(2));
      expect(remote.events.map((event) => event.offset)).toEqual([40, 0]);
    });

    test('a message to the final offset is the last', async () => {
      const entry = f.attach(f.b, {
        segments: [f.segment(f.b, 100)],
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
        finalOffset: 20,
      });
      for (const [i, offset] of [0, 19, 0, 20].entries()) {
        f.put(f.a, f.b, pattern(5), { offset });
        await f.run(entry.until(i + 1));
      }
      expect(entry.events.map((event) => event.unlinked)).toEqual([false, false, false, true]);
    });

    test('a remote offset past the end is dropped', async () => {
      const remote = f.attach(f.b, {
        segments: [f.segment(f.b, 100)],
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE | MdOption.TRUNCATE,
      });
      const before = f.b.counters().dropped;
      await f.run(f.put(f.a, f.b, pattern(10), { offset: 0xffff_ff00 }).until());
      await f.settle();
      expect(remote.events).toEqual([]);
      expect(f.b.counters().dropped).toBe(before + 1);
    });

    test('a threshold exhausts an entry; without auto-unlink it stays, matching nothing', async () => {
      const once = f.attach(f.b, { segments: [f.segment(f.b, 100)], threshold: 1, autoUnlink: false });
      const next = f.attach(f.b, { segments: [f.segment(f.b, 100)], threshold: 1 });
      f.put(f.a, f.b, pattern(3));
      await f.run(once.until(1));
      f.put(f.a, f.b, pattern(4));
      await f.run(next.until());
      expect(once.events).toMatchObject([{ type: 'put', unlinked: false }]);
      once.handle.unlink();
      await f.run(once.until());
      expect(once.types).toEqual(['put', 'unlink']);
    });

    test('MAX_SIZE rotates request buffers: the message that leaves too little room is the last', async () => {
      const buffer = () =>
        f.attach(f.b, {
          segments: [f.segment(f.b, 100)],
          options: MdOption.OP_PUT | MdOption.MAX_SIZE,
          maxSize: 40,
        });
      const first = buffer();
      const second = buffer();
      for (let i = 1; i <= 3; i++) {
        f.put(f.a, f.b, pattern(25));
        await f.run(first.until(i));
      }
      f.put(f.a, f.b, pattern(25));
      await f.run(second.until(1));
      expect(first.events.map((event) => [event.offset, event.unlinked])).toEqual([
        [0, false],
        [25, false],
        [50, true],
      ]);
      expect(second.events).toMatchObject([{ offset: 0, unlinked: false }]);
    });

    test('a message over maxSize is dropped', async () => {
      const buffer = f.attach(f.b, {
        segments: [f.segment(f.b, 100)],
        options: MdOption.OP_PUT | MdOption.MAX_SIZE,
        maxSize: 40,
      });
      await f.run(f.put(f.a, f.b, pattern(41)).until());
      await f.settle();
      expect(buffer.events).toEqual([]);
    });

    test('a lazy portal parks what finds no buffer; others drop it', async () => {
      f.b.setLazyPortal(PORTAL);
      const early = f.put(f.a, f.b, pattern(20), { ack: true });
      f.put(f.a, f.b, pattern(20), { portal: PORTAL + 1 });
      await f.run(early.until(1));
      await f.settle();
      const lazy = f.attach(f.b, { segments: [f.segment(f.b, 100)] });
      const strict = f.attach(f.b, { segments: [f.segment(f.b, 100)], portal: PORTAL + 1 });
      await f.run(Promise.all([lazy.until(1), early.until()]));
      await f.settle();
      expect(lazy.events).toMatchObject([{ type: 'put', mlength: 20 }]);
      expect(early.of('ack')).toMatchObject([{ status: 0, mlength: 20 }]);
      expect(strict.events).toEqual([]);
    });
  });
}
