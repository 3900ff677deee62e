/**
 * The lock conversations of kernel clients with kernel servers, held again by our client and our server: the same requests,
 * callbacks and replies with the same flags, modes, ranges and locks, in the same order.
 */
import { describe, expect, test } from 'vitest';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import { ClientFlocks } from '../../lib/ldlm/client-flocks.ts';
import type { EnqueueResult } from '../../lib/ldlm/client-namespace.ts';
import type { PutOptions } from '../../lib/lnet/network.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { decodeBuffers, decodePtlrpcBody, type LdlmRequestValue } from '../../lib/wire/format.ts';
import { RQF_LDLM_ENQUEUE } from '../../lib/wire/formats.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { type LdlmLockDesc, type LdlmReply, OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { MsgType } from '../../lib/wire/ptlrpc-constants.ts';
import type { StructValue } from '../../lib/wire/struct.ts';
import { capture, captureFrames } from '../cli/captures.ts';
import { EOF, extent, inSimulation, type LockClient, lockClient, lockServer } from './lock-cluster.ts';
import { overhear } from './overhear.ts';

const { LCK_PR, LCK_PW, LCK_NL } = LockMode;

interface Said {
  readonly opcode: number;
  readonly isReply: boolean;
  readonly status: number;
  /** Of a request and of its reply: who asked, and match bits. */
  readonly keys: readonly string[];
  readonly dlm_req?: LdlmRequestValue | undefined;
  readonly dlm_rep?: StructValue<typeof LdlmReply> | undefined;
}

const names = new Map<number, string>([
  [Opcode.LDLM_ENQUEUE, 'enqueue'],
  [Opcode.LDLM_CANCEL, 'cancel'],
  [Opcode.LDLM_BL_CALLBACK, 'blocking'],
  [Opcode.LDLM_CP_CALLBACK, 'completion'],
  [Opcode.LDLM_GL_CALLBACK, 'glimpse'],
]);

/** A conversation as text: locks and owners by the order in which they come up, one type of locks, no resource names. */
class Transcript {
  readonly lines: string[] = [];
  readonly #type: number;
  readonly #locks = new Map<bigint, string>();
  readonly #owners = new Map<bigint, string>();
  /** Requests that are of this conversation: the lock of each. */
  readonly #asked = new Map<string, string>();

  constructor(type: number) {
    this.#type = type;
  }

  add(said: Said): void {
    const name = names.get(said.opcode);
    if (name === undefined) return;
    if (said.isReply) this.#reply(name, said);
    else this.#request(name, said);
  }

  #request(name: string, { opcode, dlm_req, keys }: Said): void {
    if (dlm_req === undefined) return;
    const { lock_desc: desc, lock_handle: handles, lock_flags: flags, lock_count: count } = dlm_req;
    const first = handles[0] ?? 0n;
    let what = '';
    if (opcode === Opcode.LDLM_CANCEL) {
      if (!this.#locks.has(first)) return;
    } else {
      if (desc.l_resource.lr_type !== this.#type) return;
      if (opcode === Opcode.LDLM_ENQUEUE) this.#locks.set(first, `lock ${this.#locks.size}`);
      what = ` ${this.#text(desc)} flags ${flags.toString(16)} count ${count}`;
    }
    const lock = this.#locks.get(first) ?? 'an unknown lock';
    for (const key of keys) this.#asked.set(key, lock);
    this.lines.push(`${name} ${lock}${what}`);
  }

  #reply(name: string, { opcode, status, keys, dlm_rep }: Said): void {
    const lock = keys.map((key) => this.#asked.get(key)).find((found) => found !== undefined);
    if (lock === undefined) return;
    let what = '';
    if (opcode === Opcode.LDLM_ENQUEUE && dlm_rep !== undefined) {
      if (dlm_rep.lock_handle !== 0n) this.#locks.set(dlm_rep.lock_handle, lock);
      what = ` ${this.#text(dlm_rep.lock_desc)} flags ${dlm_rep.lock_flags.toString(16)}`;
    }
    this.lines.push(`  ${name} ${lock} answered ${status}${what}`);
  }

  #text({ l_req_mode, l_granted_mode, l_policy_data }: StructValue<typeof LdlmLockDesc>): string {
    const modes = `${l_req_mode}/${l_granted_mode}`;
    if (this.#type !== LockType.LDLM_FLOCK) {
      const { start, end } = l_policy_data.l_extent;
      return `${modes} [${start.toString(16)}, ${end.toString(16)}]`;
    }
    const { lfw_start, lfw_end, lfw_owner, lfw_pid } = l_policy_data.l_flock;
    if (lfw_owner !== 0n && !this.#owners.has(lfw_owner))
      this.#owners.set(lfw_owner, `owner ${this.#owners.size}`);
    const owner = this.#owners.get(lfw_owner) ?? 'nobody';
    return `${modes} [${lfw_start.toString(16)}, ${lfw_end.toString(16)}] ${owner} pid ${lfw_pid}`;
  }
}

async function ofKernel(name: string, type: number, from: number, to: number): Promise<string[]> {
  const transcript = new Transcript(type);
  await decodeCapture(captureFrames(capture(name)), (unit: Unit) => {
    const { rpc, header, frame } = unit;
    if (rpc === undefined || header === undefined || frame < from || frame > to) return;
    const values = rpc.values as Pick<Said, 'dlm_req' | 'dlm_rep'>;
    transcript.add({
      opcode: rpc.body.pb_opc,
      isReply: unit.kind === 'reply',
      status: unit.kind === 'reply' ? rpc.body.pb_status : 0,
      // Both clients are on one node, with one row of XIDs.
      keys: [`${header.matchBits}`],
      ...values,
    });
  });
  return transcript.lines;
}

function decode(bytes: Uint8Array, from: string, { peer, matchBits }: PutOptions): Said | undefined {
  const message = decodeMessage(bytes);
  const body = decodePtlrpcBody(message.buffers[0]!, message.littleEndian);
  if (!names.has(body.pb_opc)) return undefined;
  const isReply = body.pb_type !== MsgType.PTL_RPC_MSG_REQUEST;
  const fields = isReply ? RQF_LDLM_ENQUEUE.reply : RQF_LDLM_ENQUEUE.request;
  // Of the replies only an enqueue's has a lock in it.
  const plain = message.buffers.length < 2 || (isReply && body.pb_opc !== Opcode.LDLM_ENQUEUE);
  const values = plain ? {} : (decodeBuffers(fields, message) as object);
  return {
    opcode: body.pb_opc,
    isReply,
    status: isReply ? body.pb_status : 0,
    keys: isReply ? [`${peer.nid} ${matchBits}`] : [`${from} ${matchBits}`, `${from} ${body.pb_mbits}`],
    ...values,
  };
}

const heard = (sim: Simulation, transcript: Transcript): Simulation =>
  overhear(sim, (bytes, from, options) => {
    const said = decode(bytes, from, options);
    if (said !== undefined) transcript.add(said);
  });

/** Requests and callbacks in order, and what each was answered: an answer may cross what is asked next. */
function inOrder(lines: readonly string[]): { asked: string[]; answered: string[] } {
  const isAnswer = (line: string): boolean => line.startsWith(' ');
  return { asked: lines.filter((line) => !isAnswer(line)), answered: lines.filter(isAnswer).sort() };
}

const held = (result: EnqueueResult) => result.lock!;

describe('as in a captured conversation', () => {
  test.skipIf(capture('06') === '')(
    'two clients write, glimpse, read and cut the same object',
    inSimulation(async (sim) => {
      const transcript = new Transcript(LockType.LDLM_EXTENT);
      const world = heard(sim, transcript);
      // What the writer has in its cache is on no disk yet: it is asked.
      const lvb = OstLvb.encode({ lvb_size: 0n });
      await lockServer(world, { lvb: () => lvb });
      const hooks = { onGlimpse: () => OstLvb.encode({ lvb_size: 13n }) };
      const [a, b] = [await lockClient(world, hooks), await lockClient(world, hooks)];
      const take = (client: LockClient, mode: number, end: bigint, flags = 0) =>
        client.locks.enqueue({
          resource: [0x280000401n, 0x20n, 0n, 0n],
          type: LockType.LDLM_EXTENT,
          mode,
          policy: extent(0, end),
          flags,
        });
      const cut = LockFlag.LDLM_FL_AST_DISCARD_DATA;
      const glimpse = LockFlag.LDLM_FL_HAS_INTENT;
      const chunk = 0x3f_ffffn;
      transcript.lines.length = 0;
      a.locks.release(held(await take(a, LCK_PW, EOF, cut)));
      for (const [reader, writer] of [
        [b, b],
        [a, undefined],
      ] as const) {
        expect((await take(reader, LCK_PR, EOF, glimpse)).status).toBe(301);
        reader.locks.release(held(await take(reader, LCK_PR, chunk)));
        await sim.sleep(100);
        if (writer !== undefined) writer.locks.release(held(await take(writer, LCK_PW, EOF, cut)));
        await sim.sleep(100);
      }
      const theirs = await ofKernel('06', LockType.LDLM_EXTENT, 182, 282);
      expect(theirs.length).toBeGreaterThan(25);
      expect(inOrder(transcript.lines)).toEqual(inOrder(theirs));
    }),
  );

  test.skipIf(capture('05') === '')(
    'processes lock ranges of a file, wait, ask, unlock, and flock it',
    inSimulation(async (sim) => {
      const transcript = new Transcript(LockType.LDLM_FLOCK);
      const world = heard(sim, transcript);
      await lockServer(world);
      const flocks = new ClientFlocks((await lockClient(world, {}, 'mdt')).locks, sim.runtime);
      const resource = [0x200000406n, 7n, 0n, 12n] as const;
      const END = 0x7fff_ffff_ffff_ffffn;
      const as = (owner: bigint, pid: number, mode: number, start: bigint, end: bigint, wait = false) => ({
        resource,
        mode,
        range: { start, end, owner, pid },
        wait,
      });
      const [PARENT, CHILD, FILE_A, FILE_C] = [1n, 2n, 3n, 4n];
      const refused = expect.objectContaining({ code: 'EAGAIN' });
      await flocks.set(as(PARENT, 4375, LCK_PW, 0n, 99n));
      await expect(flocks.set(as(CHILD, 4378, LCK_PR, 50n, 59n))).rejects.toEqual(refused);
      expect(await flocks.test(as(CHILD, 4378, LCK_PR, 50n, 59n))).toMatchObject({ end: 99n, pid: 4375 });
      await flocks.set(as(CHILD, 4378, LCK_PR, 200n, 209n));
      const waiting = flocks.set(as(CHILD, 4378, LCK_PR, 50n, 59n, true));
      await sim.sleep(3000);
      await flocks.set(as(PARENT, 4375, LCK_NL, 0n, 99n));
      await waiting;
      await flocks.set(as(CHILD, 4378, LCK_NL, 0n, END));
      await flocks.set(as(FILE_A, 4375, LCK_PW, 0n, END, true));
      await expect(flocks.set(as(FILE_C, 4375, LCK_PR, 0n, END))).rejects.toEqual(refused);
      await flocks.set(as(FILE_A, 4375, LCK_NL, 0n, END, true));
      await flocks.set(as(FILE_C, 4375, LCK_PR, 0n, END));
      await flocks.set(as(FILE_C, 4375, LCK_NL, 0n, END, true));
      const theirs = await ofKernel('05', LockType.LDLM_FLOCK, 396, 436);
      expect(theirs.length).toBeGreaterThan(22);
      expect(inOrder(transcript.lines)).toEqual(inOrder(theirs));
    }),
  );
});
