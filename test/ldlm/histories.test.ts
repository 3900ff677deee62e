/**
 * Random histories of several clients on few resources, over the simulated network: no two granted locks conflict at any
 * moment, and every request ends, granted or refused with a reason, in bounded virtual time. A failure names its seed.
 */
import { expect, test } from 'vitest';
import type { LockTypeNumber, Policy } from '../../lib/ldlm/lock.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { LockFlag, LockType } from '../../lib/wire/ldlm-constants.ts';
import { OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { forSeeds } from '../sim/seeds.ts';
import { EOF, type LockClient, type LockServer, lockClient, lockServer, resource } from './lock-cluster.ts';

const LVB = new Uint8Array(OstLvb.size);
const EX = 1;
const PW = 2;
const PR = 4;
const CW = 8;
const CR = 16;
const NL = 32;
const GROUP = 64;

/** Pairs that may be held together, written out from guide 08 §1.1 apart from the library's own table. */
const together = new Set(
  [
    [PW, CR],
    [PR, PR],
    [PR, CR],
    [CW, CW],
    [CW, CR],
    [CR, CR],
    [GROUP, GROUP],
    ...[EX, PW, PR, CW, CR, NL, GROUP].map((mode) => [NL, mode]),
  ].flatMap(([a, b]) => [`${a} ${b}`, `${b} ${a}`]),
);

interface Held {
  readonly mode: number;
  readonly policy: Policy;
}

function conflict(a: Held, b: Held): boolean {
  if (together.has(`${a.mode} ${b.mode}`)) {
    const groups = a.mode === GROUP && b.mode === GROUP;
    if (!groups || a.policy.extent?.gid === b.policy.extent?.gid) return false;
  }
  if (a.policy.inodeBits !== undefined && b.policy.inodeBits !== undefined)
    return (a.policy.inodeBits & b.policy.inodeBits) !== 0n;
  if (a.policy.extent !== undefined && b.policy.extent !== undefined)
    return a.policy.extent.start <= b.policy.extent.end && b.policy.extent.start <= a.policy.extent.end;
  return true;
}

/** The server's view: no two granted locks of a resource conflict. */
function checkServer({ namespace }: LockServer): void {
  const granted = [...namespace.locks.all()].filter((lock) => lock.isGranted);
  granted.forEach((a, i) => {
    for (const b of granted.slice(i + 1)) {
      if (a.resourceEntry === b.resourceEntry && conflict(a, b))
        throw new Error(`granted together: ${a.describe()} and ${b.describe()}`);
    }
  });
}

interface Wish {
  readonly number: number;
  readonly type: LockTypeNumber;
  readonly mode: number;
  readonly policy: Policy;
  readonly flags: number;
}

function randomWish(sim: Simulation): Wish {
  const { random } = sim;
  const pick = <T>(...options: T[]): T => options[random.below(options.length)]!;
  const number = 1 + random.below(4);
  if (number === 4)
    return { number, type: LockType.LDLM_PLAIN, mode: pick(EX, PR, CR), policy: {}, flags: 0 };
  if (number === 3) {
    const inodeBits = BigInt(1 + random.below(63));
    const tryBits = random.chance(0.3) ? BigInt(random.below(64)) : 0n;
    const policy = tryBits === 0n ? { inodeBits } : { inodeBits, tryBits };
    return { number, type: LockType.LDLM_IBITS, mode: pick(EX, PW, PR, CW, CR), policy, flags: 0 };
  }
  if (random.chance(0.15)) {
    const policy = { extent: { start: 0n, end: EOF } };
    const flags = LockFlag.LDLM_FL_HAS_INTENT | (random.chance(0.3) ? LockFlag.LDLM_FL_BLOCK_NOWAIT : 0);
    return { number, type: LockType.LDLM_EXTENT, mode: PR, policy, flags };
  }
  const start = BigInt(random.below(64)) * 4096n;
  const end = random.chance(0.2) ? EOF : start + BigInt(1 + random.below(32)) * 4096n - 1n;
  const mode = pick(PW, PW, PR, PR, PR, CW, EX, GROUP);
  const extent = mode === GROUP ? { start: 0n, end: EOF, gid: BigInt(1 + random.below(2)) } : { start, end };
  const flags = pick(0, 0, 0, LockFlag.LDLM_FL_NO_EXPANSION, LockFlag.LDLM_FL_SPECULATIVE);
  return { number, type: LockType.LDLM_EXTENT, mode, policy: { extent }, flags };
}

interface Outcome {
  granted: number;
  refused: number;
}

/** What users hold right now, by resource. */
type InUse = Map<number, Set<Held>>;

async function live(sim: Simulation, client: LockClient, inUse: InUse, steps: number): Promise<Outcome> {
  const outcome = { granted: 0, refused: 0 };
  for (let step = 0; step < steps; step++) {
    await sim.sleep(sim.random.between(0, 5));
    const wish = randomWish(sim);
    try {
      const { lock, status } = await client.locks.enqueue({ ...wish, resource: resource(wish.number) });
      if (lock === undefined) {
        expect(status).toBe(301);
        outcome.refused++;
        continue;
      }
      const held: Held = { mode: lock.mode, policy: lock.policy };
      const others = inUse.get(wish.number) ?? new Set();
      inUse.set(wish.number, others);
      // Users of one lock share it; what is lost in an eviction is no longer held.
      for (const other of others) {
        if (conflict(held, other))
          throw new Error(`in use together on ${wish.number}: ${show(held)}, ${show(other)}`);
      }
      others.add(held);
      await sim.sleep(sim.random.between(0, 20));
      others.delete(held);
      client.locks.release(lock);
      if (lock.mode === GROUP || sim.random.chance(0.1)) await client.locks.cancel(lock);
      outcome.granted++;
    } catch (error) {
      if (!(error instanceof Error) || !('errno' in error)) throw error;
      outcome.refused++;
    }
  }
  return outcome;
}

const show = (held: Held): string =>
  JSON.stringify(held, (_, value) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));

async function history(sim: Simulation, breakProbability: number): Promise<{ evicted: number } & Outcome> {
  const server = await lockServer(sim, { timeoutMs: 20_000, lvb: () => LVB });
  const clients = [await lockClient(sim), await lockClient(sim), await lockClient(sim)];
  for (const { nid } of clients) sim.faults.drop(nid, '10.0.0.1@tcp', breakProbability);
  const inUse: InUse = new Map();
  let running = true;
  const watch = async (): Promise<void> => {
    while (running) {
      checkServer(server);
      await sim.sleep(1);
    }
  };
  const living = Promise.all(clients.map((client) => live(sim, client, inUse, 12))).finally(() => {
    running = false;
  });
  const [outcomes] = await Promise.all([living, watch()]);
  for (const { nid } of clients) sim.faults.drop(nid, '10.0.0.1@tcp', 0);
  await Promise.all(clients.map((client) => client.locks.cancelAll()));
  await sim.sleep(60_000);
  const left = [...server.namespace.locks.all()].map((lock) => lock.describe());
  expect(left).toEqual([]);
  expect(server.namespace.counts).toEqual({ resources: 0, locks: 0 });
  return {
    granted: outcomes.reduce((sum, o) => sum + o.granted, 0),
    refused: outcomes.reduce((sum, o) => sum + o.refused, 0),
    evicted: server.evicted.length,
  };
}

test('200 histories on a sound network', { timeout: 120_000 }, async () => {
  let granted = 0;
  await forSeeds(200, async (sim) => {
    const begun = sim.now;
    const result = await history(sim, 0);
    expect(result.evicted).toBe(0);
    expect(result.granted + result.refused).toBe(36);
    // 36 requests that hold a lock for at most 20 ms each, one after the other at worst, and the sleep at the end.
    expect(sim.now - begun).toBeLessThan(62_000);
    granted += result.granted;
  });
  console.log(`histories: ${granted} locks granted`);
});

test('50 histories on connections that break', { timeout: 120_000 }, async () => {
  await forSeeds(50, async (sim) => {
    const begun = sim.now;
    const result = await history(sim, 0.01);
    expect(result.granted + result.refused).toBe(36);
    expect(sim.now - begun).toBeLessThan(1_800_000);
  });
});
