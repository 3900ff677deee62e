/**
 * The lock conversations of kernel clients with kernel OSTs and MGS, played to our server: what it answers and whom it
 * calls back must be what the kernel answered, flag by flag and extent by extent.
 */
import { describe, expect, test } from 'vitest';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import type { Call, Export } from '../../lib/connection/target.ts';
import type { ResourceId } from '../../lib/ldlm/lock.ts';
import { ServerNamespace } from '../../lib/ldlm/server-namespace.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';
import type { Format, LdlmRequestValue } from '../../lib/wire/format.ts';
import { LockType } from '../../lib/wire/ldlm-constants.ts';
import { LdlmLockDesc, LdlmReply, OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import type { StructValue } from '../../lib/wire/struct.ts';
import { capture, captureFrames } from '../cli/captures.ts';

type Desc = StructValue<typeof LdlmLockDesc>;
type Rep = StructValue<typeof LdlmReply>;
interface LockValues {
  readonly dlm_req?: LdlmRequestValue;
  readonly dlm_rep?: Rep;
  readonly dlm_lvb?: Uint8Array;
}

const { LDLM_ENQUEUE, LDLM_CANCEL, LDLM_BL_CALLBACK, LDLM_CP_CALLBACK, LDLM_GL_CALLBACK } = Opcode;
const AST_NAMES = new Map<number, string>([
  [LDLM_BL_CALLBACK, 'BL'],
  [LDLM_CP_CALLBACK, 'CP'],
  [LDLM_GL_CALLBACK, 'GL'],
]);
const PORTALS = [12, 26, 28];

const hex = (n: bigint | number): string => n.toString(16);

/** A description as text: resource, modes, policy. */
function text(desc: Desc): string {
  const name = desc.l_resource.lr_name.name.map(hex).join('/');
  const { start, end, gid } = desc.l_policy_data.l_extent;
  const pid = desc.l_policy_data.l_flock.lfw_pid;
  return `${desc.l_resource.lr_type} ${name} ${desc.l_req_mode}/${desc.l_granted_mode} [${hex(start)},${hex(end)}] ${hex(gid)} ${pid}`;
}

const reencode = (desc: object): Desc => LdlmLockDesc.decode(LdlmLockDesc.encode(desc));

async function lockUnits(path: string): Promise<Unit[]> {
  const units: Unit[] = [];
  const opcodes: number[] = [LDLM_ENQUEUE, LDLM_CANCEL, ...AST_NAMES.keys(), Opcode.OST_DISCONNECT];
  await decodeCapture(captureFrames(path), (unit) => {
    if (unit.rpc !== undefined && opcodes.includes(unit.rpc.body.pb_opc)) units.push(unit);
  });
  return units;
}

/** Plays the clients of a capture to a namespace of ours and compares what it says. */
class Replay {
  readonly differences: string[] = [];
  readonly counts = { enqueues: 0, cancels: 0, asts: 0, local: 0 };
  readonly #sim: Simulation;
  readonly #units: readonly Unit[];
  readonly #namespace: ServerNamespace;
  readonly #clients = new Map<bigint, Export>();
  /** The kernel's handle -> the client's. */
  readonly #clientHandle = new Map<bigint, bigint>();
  readonly #owner = new Map<bigint, Export>();
  readonly #replies = new Map<bigint, Unit>();
  readonly #expectedAsts: string[] = [];
  readonly #sentAsts: string[] = [];
  readonly #glimpseLvbs = new Map<bigint, Uint8Array[]>();
  readonly #blockedLate = new Set<bigint>();
  #diskLvb: Uint8Array = new Uint8Array(OstLvb.size);

  constructor(sim: Simulation, units: readonly Unit[]) {
    this.#sim = sim;
    this.#units = units;
    this.#namespace = new ServerNamespace({
      name: 'kernel',
      runtime: sim.runtime,
      lvb: (resource) => this.#lvb(resource),
    });
    this.#study();
  }

  async run(): Promise<void> {
    for (const unit of this.#units) {
      if (unit.kind !== 'request') continue;
      const { pb_opc: opcode, pb_handle } = unit.rpc!.body;
      if (opcode === LDLM_ENQUEUE) this.#enqueue(unit, this.#client(pb_handle));
      if (opcode === LDLM_CANCEL) this.#cancel(unit, this.#client(pb_handle));
      if (opcode === Opcode.OST_DISCONNECT) this.#namespace.dropExport(this.#client(pb_handle));
      await this.#sim.sleep(1);
    }
    await this.#sim.sleep(1000);
    const ours = this.#sentAsts.toSorted();
    const theirs = this.#expectedAsts.toSorted();
    for (const ast of ours) {
      const at = theirs.indexOf(ast);
      if (at === -1) this.differences.push(`only we send ${ast}`);
      else theirs.splice(at, 1);
    }
    // Blocking ASTs for locks that the server takes for itself (destroy, truncate, getattr) have no request here.
    for (const ast of theirs) {
      if (ast.startsWith('BL')) this.counts.local++;
      else this.differences.push(`only the kernel sends ${ast}`);
    }
    this.counts.asts = ours.length;
  }

  /** What the kernel's server said, and the answers its clients gave. */
  #study(): void {
    for (const unit of this.#units) {
      const { body } = unit.rpc!;
      const values = unit.rpc!.values as LockValues;
      const name = AST_NAMES.get(body.pb_opc);
      if (unit.kind === 'request') {
        const handles = values.dlm_req?.lock_handle ?? [];
        if (name !== undefined && handles[1] !== undefined && handles[1] !== 0n)
          this.#clientHandle.set(handles[1], handles[0]!);
        if (name !== undefined && this.#isOurs(values.dlm_req!.lock_desc))
          this.#expectedAsts.push(
            `${name} ${hex(handles[0]!)} ${hex(values.dlm_req!.lock_flags)} ${text(values.dlm_req!.lock_desc)}`,
          );
        continue;
      }
      const request = unit.request;
      if (request === undefined) continue;
      this.#replies.set(unit.header!.matchBits, unit);
      if (body.pb_opc === LDLM_ENQUEUE && values.dlm_rep !== undefined && values.dlm_rep.lock_handle !== 0n) {
        const asked = this.#requestOf(unit.header!.matchBits);
        if (asked !== undefined) this.#clientHandle.set(values.dlm_rep.lock_handle, asked.lock_handle[0]!);
      }
      if (body.pb_opc === LDLM_GL_CALLBACK && values.dlm_lvb !== undefined) {
        const asked = this.#requestOf(unit.header!.matchBits);
        const handle = asked?.lock_handle[0] ?? 0n;
        this.#glimpseLvbs.set(handle, [...(this.#glimpseLvbs.get(handle) ?? []), values.dlm_lvb]);
      }
      if (body.pb_opc === LDLM_BL_CALLBACK && body.pb_status !== 0) {
        const asked = this.#requestOf(unit.header!.matchBits);
        if (asked !== undefined) this.#blockedLate.add(asked.lock_handle[0]!);
      }
    }
  }

  #requestOf(matchBits: bigint): LdlmRequestValue | undefined {
    const unit = this.#units.find((u) => u.kind === 'request' && u.header!.matchBits === matchBits);
    return (unit?.rpc?.values as LockValues | undefined)?.dlm_req;
  }

  #isOurs(desc: Desc): boolean {
    const type = desc.l_resource.lr_type;
    return type !== LockType.LDLM_IBITS;
  }

  #lvb(_resource: ResourceId): Uint8Array {
    return this.#diskLvb;
  }

  #client(handle: bigint): Export {
    let client = this.#clients.get(handle);
    if (client === undefined) {
      client = this.#makeExport(handle);
      this.#clients.set(handle, client);
    }
    return client;
  }

  #makeExport(handle: bigint): Export {
    const callback = (format: Format, request: object): Promise<never> => {
      const { dlm_req } = request as {
        dlm_req: { lock_flags?: number; lock_desc: object; lock_handle: bigint[] };
      };
      const opcode = format.opcodes[0]!;
      const c = dlm_req.lock_handle[0]!;
      this.#sentAsts.push(
        `${AST_NAMES.get(opcode)} ${hex(c)} ${hex(dlm_req.lock_flags ?? 0)} ${text(reencode(dlm_req.lock_desc))}`,
      );
      if (opcode === LDLM_BL_CALLBACK && this.#blockedLate.has(c)) return Promise.reject(errnoError(22));
      const lvb = this.#glimpseLvbs.get(c)?.shift();
      return Promise.resolve({ values: { dlm_lvb: lvb } } as never);
    };
    return {
      clientUuid: hex(handle),
      handle,
      callbackHandle: handle,
      peer: '10.0.2.16@tcp',
      connected: true,
      connectData: {} as Export['connectData'],
      state: new Map(),
      callback: callback as Export['callback'],
      evict: (reason) => this.differences.push(`evicted a client: ${reason}`),
    };
  }

  #ourHandles(client: Export, kernel: readonly bigint[]): bigint[] {
    return kernel.map((s) => {
      const c = this.#clientHandle.get(s);
      if (c === undefined) return 1n;
      return this.#namespace.locks.byClientHandle(this.#owner.get(c) ?? client, c)?.handle ?? 1n;
    });
  }

  #enqueue(unit: Unit, client: Export): void {
    const { dlm_req } = unit.rpc!.values as LockValues;
    if (dlm_req === undefined || !this.#isOurs(dlm_req.lock_desc) || !PORTALS.includes(unit.header!.portal))
      return;
    const reply = this.#replies.get(unit.header!.matchBits);
    if (reply === undefined) return;
    this.counts.enqueues++;
    const [c, ...cancels] = dlm_req.lock_handle;
    this.#owner.set(c!, client);
    const values = { dlm_req: { ...dlm_req, lock_handle: [c!, ...this.#ourHandles(client, cancels)] } };
    const expected = reply.rpc!.values as LockValues;
    if (expected.dlm_lvb?.length === OstLvb.size) this.#diskLvb = expected.dlm_lvb;
    this.#perform(LDLM_ENQUEUE, unit, client, values, (status, rep) => {
      const wanted =
        expected.dlm_rep === undefined
          ? ''
          : `${hex(expected.dlm_rep.lock_flags)} ${text(expected.dlm_rep.lock_desc)}`;
      const got = rep === undefined ? '' : `${hex(rep.lock_flags)} ${text(rep.lock_desc)}`;
      // A kernel may compose a blocked reply after the grant has come: the completion AST says the same again.
      const raced =
        (expected.dlm_rep?.lock_flags ?? 0) & 2 && expected.dlm_rep?.lock_desc.l_granted_mode !== 0;
      if (
        status !== reply.rpc!.body.pb_status ||
        (wanted !== got && !(raced && rep?.lock_flags === expected.dlm_rep?.lock_flags))
      )
        this.differences.push(
          `frame ${unit.frame}: kernel ${reply.rpc!.body.pb_status} ${wanted}, we ${status} ${got}`,
        );
    });
  }

  #cancel(unit: Unit, client: Export): void {
    const { dlm_req } = unit.rpc!.values as LockValues;
    if (dlm_req === undefined) return;
    this.counts.cancels++;
    const lock_handle = this.#ourHandles(client, dlm_req.lock_handle);
    this.#perform(LDLM_CANCEL, unit, client, { dlm_req: { ...dlm_req, lock_handle } }, () => {});
  }

  #perform(
    opcode: number,
    unit: Unit,
    client: Export,
    values: object,
    answered: (status: number, rep: Rep | undefined) => void,
  ): void {
    const answer = (status: number, reply: { dlm_rep?: object } = {}): void =>
      answered(status, reply.dlm_rep && LdlmReply.decode(LdlmReply.encode(reply.dlm_rep)));
    const call = {
      request: { message: unit.rpc!.message, body: unit.rpc!.body, peer: '10.0.2.16@tcp', opcode },
      values,
      export: client,
      reply: (reply: object, options: { status?: number } = {}) => answer(options.status ?? 0, reply),
      fail: (errno: number, reply?: object) => answer(-errno, reply),
    };
    void this.#namespace
      .operations()
      .get(opcode)!
      .handle(call as never as Call<Format>);
  }
}

/** Beside each capture: how many blocking ASTs are for locks that the server takes for itself (to destroy, truncate or read
 * attributes of an object, or to change a configuration log), which no captured request asks for. */
describe.each([
  ['02', 4],
  ['03-', 4],
  ['03b', 15],
  ['04', 4],
  ['05', 6],
  ['06', 0],
] as const)('capture %s', (name, local) => {
  const path = capture(name);
  test.skipIf(path === '')('the kernel’s lock conversation', async () => {
    const units = await lockUnits(path);
    const sim = createSimulation({ seed: 1 });
    const replay = new Replay(sim, units);
    await sim.run(replay.run());
    expect(replay.differences).toEqual([]);
    expect(replay.counts).toMatchObject({ local });
    expect(replay.counts.enqueues).toBeGreaterThan(30);
  });
});
