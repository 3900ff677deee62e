/**
 * Servers are not trusted: what the kernel's servers answered our client in the replays of the captures arrives damaged here, one
 * kind of answer at a time, all others whole. Each call ends with its result or a named error; nothing crashes, hangs or is
 * left over.
 */
import { describe, expect, it } from 'vitest';
import { LNET_MTU } from '../../lib/sim/memory.ts';
import { SeededRandom } from '../../lib/sim/random.ts';
import { LockFlag } from '../../lib/wire/ldlm-constants.ts';
import { capture } from '../cli/captures.ts';
import { dissect } from '../replay/recorded-bytes.ts';
import { readRecording } from '../replay/recording.ts';
import { RecordingEnds, replay } from '../replay/replay.ts';
import { SCRIPTS } from '../replay/scripts/all.ts';
import { firstSeed, fuzzSeconds, fuzzTimeout } from './budget.ts';

/** A script has this part of a target's time: there are many. */
const SHARES = 4;
const ABSURD = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x100, 0xffff_fff8];
/** Kinds of answers in the captures that no script asks for, and why. */
const NOT_ASKED: ReadonlyMap<string, string> = new Map([
  ['MDS_BATCH', 'no script lists a directory with attributes'],
  ['MDS_GETATTR_NAME', 'it stands in for MDS_GETATTR, whose answers are the same'],
  ['MDS_GETXATTR', '05: ENODATA, whatever is in it; ours asks with a lock'],
  ['MDS_HSM_STATE_SET', '04: the kernel swaps and migrates'],
  ['MDS_SWAP_LAYOUTS', '04: the kernel swaps and migrates'],
  ['MDS_REINT migrate', '07: the kernel migrates the directory'],
  ['MDS_RMFID', '05: ours removes by name'],
  ['OST_SETATTR|replay', '08: nothing of its answer is used'],
]);

type Way = (bytes: Uint8Array, random: SeededRandom, others: readonly Uint8Array[]) => readonly Uint8Array[];

const changed = (bytes: Uint8Array, change: (view: DataView, out: Uint8Array) => void): Uint8Array[] => {
  const out = bytes.slice();
  change(new DataView(out.buffer), out);
  return [out];
};

/** What a hostile or broken server could do with an answer. */
const WAYS: readonly Way[] = [
  // A bit of it is another one.
  (bytes, random) =>
    changed(bytes, (_, out) => {
      const at = random.below(out.length);
      out[at] = out[at]! ^ (1 << random.below(8));
    }),
  // A count, a length or a status is absurd.
  (bytes, random) =>
    changed(bytes, (view, out) =>
      view.setUint32(random.below(out.length - 4) & ~3, ABSURD[random.below(ABSURD.length)]!, true),
    ),
  // The length of a buffer is: lm_buflens, behind the 32 bytes of the header (guide 04 §1).
  (bytes, random) =>
    changed(bytes, (view, out) => {
      const at = 32 + 4 * random.below(8);
      if (at + 4 <= out.length) view.setUint32(at, ABSURD[random.below(ABSURD.length)]!, true);
    }),
  // 64 bits are all ones: offsets, FIDs and sizes that overflow.
  (bytes, random) =>
    changed(bytes, (view, out) =>
      view.setBigUint64(
        Math.min(random.below(out.length) & ~7, out.length - 8),
        0xffff_ffff_ffff_ffffn,
        true,
      ),
    ),
  // It is short.
  (bytes, random) => [bytes.subarray(0, random.below(bytes.length) + 1)],
  // It is long.
  (bytes, random) => [Buffer.concat([bytes, bytes.subarray(0, 8 + random.below(256))])],
  // It is the answer to another request.
  (_, random, others) => [others[random.below(others.length)]!],
  // It comes twice.
  (bytes) => [bytes, bytes],
  // It does not come.
  () => [],
];

interface Damaged {
  readonly seed: number;
  readonly kind: string;
  readonly way: number;
  hurt: number;
}

const GRANT = 'callback LDLM_CP_CALLBACK';
const WAIT = LockFlag.LDLM_FL_BLOCK_GRANTED | LockFlag.LDLM_FL_BLOCK_WAIT;

/** It is the answer to an enqueue that is not granted yet. */
function saysWait(bytes: Uint8Array): boolean {
  try {
    const { dlm_rep } = dissect(bytes).values as { dlm_rep?: { lock_flags: number } };
    return ((dlm_rep?.lock_flags ?? 0) & WAIT) !== 0;
  } catch {
    return false;
  }
}

/** An error; both, where the close of what an error left failed too (`await using`). */
function errorsOf(error: unknown): NodeJS.ErrnoException[] {
  const { name, error: last, suppressed } = error as { name: string; error?: unknown; suppressed?: unknown };
  return name === 'SuppressedError'
    ? [...errorsOf(last), ...errorsOf(suppressed)]
    : [error as NodeJS.ErrnoException];
}

/** How a replay with damage ended, where that is nothing that may be. */
async function outcome(
  [name, script, options]: (typeof SCRIPTS)[number],
  damaged: Damaged,
): Promise<string | undefined> {
  const random = new SeededRandom(damaged.seed, 0);
  const { exchanges } = await readRecording(capture(name));
  const others = exchanges.flatMap(({ reply }) => (reply === undefined ? [] : [reply.payload]));
  const hits = (): boolean => random.below(3) === 0;
  let waits = false;
  try {
    await replay(capture(name), script, {
      ...options,
      replyFirst: (kind) => kind === damaged.kind && hits(),
      damage: (bytes, kind) => {
        const hurts = kind === damaged.kind && bytes.length >= 8 && hits();
        if (hurts) damaged.hurt++;
        const sent = hurts ? WAYS[damaged.way]!(bytes, random, others) : [bytes];
        waits ||= damaged.hurt > 0 && sent.some(saysWait);
        // The grant of a lock that waits: a kernel's server evicts whoever refuses it, a recording does not.
        waits ||= hurts && kind === GRANT;
        // LNet carries no more in one message.
        return sent.map((each) => each.subarray(0, LNET_MTU));
      },
    });
  } catch (error) {
    for (const each of errorsOf(error)) {
      const { code, stack, name: type } = each;
      // The simulation's own errors say that something hangs: a lock for which the server says to wait may do so for ever, when
      // what was damaged has led to another one than the recording goes on with.
      const hangs = code === 'ERR_LUSTRE_SIMULATION' && !waits;
      const named = typeof code === 'string' && code !== '' && !hangs;
      // What a script expects and does not get is a wrong result of a damaged value, not of ours.
      if (!named && !(each instanceof RecordingEnds) && type !== 'AssertionError')
        return `${name} ${JSON.stringify(damaged)}: ${stack}`;
    }
  }
  return undefined;
}

/** What a script is answered, by kind. */
async function kindsOf([name, script, options]: (typeof SCRIPTS)[number]): Promise<string[]> {
  const kinds = new Set<string>();
  const damage = (bytes: Uint8Array, kind: string): Uint8Array[] => {
    kinds.add(kind);
    return [bytes];
  };
  await replay(capture(name), script, { ...options, damage });
  return [...kinds].sort();
}

describe('damaged answers', () => {
  const asked = new Set<string>();
  // The types of checksums have the same kinds of answers.
  const scripts = SCRIPTS.filter(([, , options]) => (options?.checksums ?? 'crc32c') === 'crc32c');
  for (const [i, entry] of scripts.entries()) {
    const [name, script] = entry;
    const title = `${name} (${script.name}) end in a result or a named error`;
    it.skipIf(capture(name) === '')(title, { timeout: fuzzTimeout }, async () => {
      const kinds = await kindsOf(entry);
      for (const kind of kinds) asked.add(kind);
      const until = performance.now() + (fuzzSeconds * 1000) / SHARES;
      const odd: string[] = [];
      // Each kind in each way, beginning somewhere else in each script.
      for (let seed = firstSeed(i * 31); performance.now() < until && odd.length < 5; seed++) {
        const kind = kinds[seed % kinds.length]!;
        const way = Math.floor(seed / kinds.length + seed) % WAYS.length;
        const found = await outcome(entry, { seed, kind, way, hurt: 0 });
        if (found !== undefined) odd.push(found);
      }
      expect(odd).toEqual([]);
    });
  }

  it('are of each kind that the captures have', async (context) => {
    if (asked.size === 0) context.skip();
    const missing = new Set<string>();
    for (const name of new Set(SCRIPTS.map(([each]) => each))) {
      for (const { purpose, reply } of (await readRecording(capture(name))).exchanges) {
        const kind = purpose.operation.replace(/ sequence .*$/, '');
        if (reply !== undefined && ![...asked].some((each) => each.startsWith(kind))) missing.add(kind);
      }
    }
    expect([...missing].filter((kind) => !NOT_ASKED.has(kind)).sort()).toEqual([]);
  });
});
