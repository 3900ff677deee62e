import { describe, expect, test } from 'vitest';
import type { Endpoint, LnetEvent } from '../../lib/lnet/network.ts';
import { MdOption } from '../../lib/lnet/network.ts';
import { NID_ANY } from '../../lib/lnet/nid.ts';
import { SeededRandom } from '../../lib/sim/random.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';
import { forSeeds, simulate } from './seeds.ts';

const A = '10.0.0.1@tcp';
const B = '10.0.0.2@tcp';

/** A pair that sends numbered messages from A to B. */
async function pair(sim: Simulation) {
  const a = await sim.network.open({ nid: A });
  const b = await sim.network.open({ nid: B });
  return { a, b, ...stream(a, b) };
}

function stream(a: Endpoint, b: Endpoint) {
  const received: number[] = [];
  const outcome = new Map<number, LnetEvent>();
  const memory = b.allocate(1 << 24);
  b.attach(
    {
      portal: 9,
      matchBits: 0n,
      peer: { nid: NID_ANY },
      segments: [{ memory, offset: 0, length: memory.bytes.length }],
      threshold: Number.POSITIVE_INFINITY,
      options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
      autoUnlink: false,
    },
    (event) => event.type === 'put' && received.push(Number(event.hdrData)),
  );
  const send = (n: number, bytes = 10): Promise<LnetEvent> =>
    new Promise((resolve) => {
      const source = a.allocate(bytes);
      a.put(
        {
          peer: { nid: b.nid },
          portal: 9,
          matchBits: 0n,
          hdrData: BigInt(n),
          segments: [{ memory: source, offset: 0, length: bytes }],
          ack: true,
        },
        (event) => {
          if (event.type === 'ack' || event.status < 0) outcome.set(n, event);
          if (event.unlinked) resolve(outcome.get(n) ?? event);
        },
      );
    });
  return { received, send };
}

describe('virtual time', () => {
  test('timers fire in order at their times, and an hour takes no time', async () => {
    const sim = createSimulation({ seed: 1 });
    const fired: [string, number][] = [];
    sim.runtime.after(3600_000, () => fired.push(['late', sim.runtime.now()]));
    sim.runtime.after(5, () => fired.push(['early', sim.runtime.now()]));
    const cancelled = sim.runtime.after(1, () => fired.push(['never', 0]));
    cancelled.cancel();
    const wall = sim.runtime.wallTime();
    await sim.run(sim.sleep(3600_001));
    expect(fired).toEqual([
      ['early', 5],
      ['late', 3600_000],
    ]);
    expect(sim.runtime.wallTime() - wall).toBe(3600_001);
  });

  test('many timers fire in the order of their times', async () => {
    const sim = createSimulation({ seed: 4 });
    const times: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const timer = sim.runtime.after(sim.random.between(0, 1000), () => times.push(sim.now));
      if (sim.random.chance(0.3)) timer.cancel();
    }
    await sim.advance(1000);
    expect(times).toEqual(times.toSorted((x, y) => x - y));
    expect(times.length).toBeGreaterThan(1000);
  });

  test('a deadlock is an error that names the seed', async () => {
    const sim = createSimulation({ seed: 42 });
    await expect(sim.run(new Promise(() => {}))).rejects.toThrow(/deadlock.*seed 42.*SIM_SEED=42/);
  });

  test('a promise that never settles among periodic timers is an error too', async () => {
    const sim = createSimulation({ seed: 42 });
    const tick = (): void => {
      sim.runtime.after(1000, tick);
    };
    tick();
    await expect(sim.run(new Promise(() => {}), { limitMs: 60_000 })).rejects.toThrow(
      /did not settle.*seed 42/,
    );
  });

  test('what a timer or handler throws ends the run, with the seed', async () => {
    const sim = createSimulation({ seed: 8 });
    sim.runtime.after(1, () => {
      throw new Error('boom');
    });
    await expect(sim.run(sim.sleep(5))).rejects.toThrow(/boom.*seed 8/);
  });

  test('a failing assertion in a body names the seed', async () => {
    await expect(simulate({ seed: 77 }, async () => expect(1).toBe(2))).rejects.toThrow(/SIM_SEED=77/);
  });

  test('the log is captured with virtual times', async () => {
    const sim = createSimulation({ seed: 1 });
    await sim.run(sim.sleep(1500));
    sim.runtime.log.child({ peer: B }).warn({ opcode: 101 }, 'refused');
    expect(sim.log).toMatchObject([{ level: 40, msg: 'refused', peer: B, opcode: 101 }]);
    expect(sim.log[0]?.time).toBe(sim.runtime.wallTime());
  });
});

describe('replay', () => {
  const history = async (seed: number): Promise<string> => {
    const sim = createSimulation({ seed });
    const { received, send } = await pair(sim);
    sim.faults.drop(A, B, 0.02);
    await sim.run(Promise.all(Array.from({ length: 200 }, (_, i) => send(i, i % 2 === 0 ? 10 : 5000))));
    return JSON.stringify([received, sim.now, Buffer.from(sim.runtime.random(8)).toString('hex')]);
  };

  test('one seed gives one history, to the byte', async () => {
    expect(await history(5)).toBe(await history(5));
    expect(await history(5)).not.toBe(await history(6));
  });

  test('the generator is spread evenly and its streams differ', () => {
    const random = new SeededRandom(1);
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) buckets[random.below(10)]!++;
    for (const count of buckets) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    expect(new SeededRandom(1, 1).next()).not.toBe(new SeededRandom(1, 2).next());
  });
});

describe('connections', () => {
  test('small messages keep their order among themselves; large ones overtake and are overtaken', async () => {
    let overtaken = 0;
    await forSeeds(20, async (sim) => {
      const { received, send } = await pair(sim);
      await Promise.all(Array.from({ length: 40 }, (_, i) => send(i, i % 2 === 0 ? 10 : 4000)));
      const order = (parity: number) => received.filter((n) => n % 2 === parity);
      expect(order(0)).toEqual(order(0).toSorted((x, y) => x - y));
      expect(order(1)).toEqual(order(1).toSorted((x, y) => x - y));
      if (received.some((n, i) => n !== i)) overtaken++;
    });
    expect(overtaken).toBeGreaterThan(0);
  });

  test('a reset loses what is in flight, tells both sides, and the next message connects anew', async () => {
    const sim = createSimulation({ seed: 3, latencyMs: 10 });
    const { a, b, received, send } = await pair(sim);
    const down: string[] = [];
    a.onPeerDown((nid, reason) => down.push(`${nid} ${reason.message.split(':')[0]}`));
    b.onPeerDown((nid) => down.push(nid));
    await sim.run(send(1));
    const lost = send(2);
    await sim.advance(5);
    sim.faults.reset(A, B);
    expect(await sim.run(lost)).toMatchObject({ type: 'ack', status: -104, unlinked: true });
    await sim.advance(100);
    expect(down.toSorted()).toEqual([A, `${B} ECONNRESET`]);
    expect(received).toEqual([1]);
    expect(await sim.run(send(3))).toMatchObject({ type: 'ack', status: 0 });
    expect(received).toEqual([1, 3]);
  });

  test('a short partition delays, a long one ends the connection', async () => {
    const sim = createSimulation({ seed: 3 });
    const { received, send } = await pair(sim);
    await sim.run(send(1));
    sim.faults.partition(A, B);
    const late = send(2);
    await sim.advance(20_000);
    expect(received).toEqual([1]);
    sim.faults.heal(A, B);
    expect(await sim.run(late)).toMatchObject({ status: 0 });

    sim.faults.partition(A, B);
    const begun = sim.now;
    expect((await sim.run(send(3))).status).toBe(-110);
    expect(sim.now - begun).toBeGreaterThan(49_000);
    expect((await sim.run(send(4))).status).toBe(-110);
    sim.faults.heal(A, B);
    expect(await sim.run(send(5))).toMatchObject({ type: 'ack', status: 0 });
  });

  test('delay slows one link', async () => {
    const sim = createSimulation({ seed: 3 });
    const { send } = await pair(sim);
    await sim.run(send(1));
    sim.faults.delay(A, B, 1000);
    const begun = sim.now;
    await sim.run(send(2));
    expect(sim.now - begun).toBeGreaterThan(1999);
  });

  test('without accept nobody can connect, but one’s own connection serves both ways', async () => {
    const sim = createSimulation({ seed: 3 });
    const client = await sim.network.open({ nid: A, accept: false });
    const server = await sim.network.open({ nid: B });
    const back = stream(server, client);
    expect((await sim.run(back.send(1))).status).toBe(-111);
    const there = stream(client, server);
    expect((await sim.run(there.send(1))).status).toBe(0);
    expect((await sim.run(back.send(2))).status).toBe(0);
    expect(client.counters().connectionsOpen).toBe(3);
  });

  test('a NID map leads elsewhere; a listener with another NID is refused', async () => {
    const sim = createSimulation({ seed: 3 });
    await sim.network.open({ nid: B, listen: '127.0.0.1:7000' });
    const mapped = await sim.network.open({ nid: A, nidMap: { [B]: '127.0.0.1:7000' } });
    expect((await sim.run(mapped.ping(B, 1000))).nids).toContain(B);
    const wrong = await sim.network.open({
      nid: '10.0.0.3@tcp',
      nidMap: { '10.0.0.9@tcp': '127.0.0.1:7000' },
    });
    await expect(sim.run(wrong.ping('10.0.0.9@tcp', 1000))).rejects.toMatchObject({ code: 'EPROTO' });
  });
});

describe('processes', () => {
  test('a killed process goes silent, its peers see resets, and its address can be opened again', async () => {
    const sim = createSimulation({ seed: 9 });
    const client = await sim.network.open({ nid: A });
    const first = sim.process('server');
    const server = await first.network.open({ nid: B });
    let ticks = 0;
    const tick = (): void => {
      ticks++;
      first.runtime.after(10, tick);
    };
    tick();
    const { send, received } = stream(client, server);
    await sim.run(send(1));
    const lost = send(2);
    first.kill();
    expect((await sim.run(lost)).status).toBeLessThan(0);
    const before = ticks;
    await sim.advance(1000);
    expect(ticks).toBe(before);
    expect(received).toEqual([1]);
    expect((await sim.run(send(3))).status).toBe(-111);
    const second = sim.process('server');
    const again = stream(client, await second.network.open({ nid: B }));
    expect((await sim.run(again.send(4))).status).toBe(0);
    expect(again.received).toEqual([4]);
    await expect(first.network.open({ nid: '10.0.0.7@tcp' })).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  });
});

test('with resets at random every send ends, and what was acknowledged was received once', async () => {
  await forSeeds(50, async (sim) => {
    const { received, send } = await pair(sim);
    sim.faults.drop(A, B, 0.05);
    const ends = await Promise.all(Array.from({ length: 60 }, (_, i) => send(i, sim.random.below(3000))));
    ends.forEach((end, i) => {
      if (end.type === 'ack' && end.status === 0) expect(received.filter((n) => n === i)).toEqual([i]);
    });
    expect(new Set(received).size).toBe(received.length);
  });
});
