/**
 * `SIDE ROUNDS COUNT KEPT`: a lock manager by itself, without a network to the other. Enqueues and cancels per second on one
 * resource and among `KEPT` that are locked already, and the memory of a lock that is kept, as a line of JSON. Started by
 * locks.ts in a process of its own, with --expose-gc and the heap that it needs.
 */
import type { Call, Export } from '../lib/connection/target.ts';
import { ClientNamespace, type LockImport } from '../lib/ldlm/client-namespace.ts';
import type { ResourceId } from '../lib/ldlm/lock.ts';
import { ServerNamespace } from '../lib/ldlm/server-namespace.ts';
import type { Reply } from '../lib/rpc/rpc.ts';
import { nodeRuntime } from '../lib/runtime/runtime.ts';
import type { Format, LdlmRequestValue } from '../lib/wire/format.ts';
import { LockMode, LockType } from '../lib/wire/ldlm-constants.ts';
import { LdlmReply, LdlmRequest, OstLvb } from '../lib/wire/ldlm-structs.ts';
import { Opcode } from '../lib/wire/opcodes.ts';
import { median } from './measure.ts';

const runtime = nodeRuntime();
const LVB = new Uint8Array(OstLvb.size);
const EOF = 0xffff_ffff_ffff_ffffn;
const name = (n: number): ResourceId => [0x280000401n, BigInt(n), 0n, 0n];

function memory(): number {
  (gc as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

interface Side {
  /** A lock that is kept. */
  keep(n: number): Promise<void>;
  /** Enqueues and cancels one. */
  pass(n: number): Promise<void>;
}

function serverSide(): Side {
  const namespace = new ServerNamespace({ name: 'bench', runtime, lvb: () => LVB, locksMax: 8_000_000 });
  const operations = namespace.operations();
  const client = {
    clientUuid: 'bench',
    peer: '127.0.0.1@tcp',
    connectData: { ocd_connect_flags: 0n },
  } as Export;
  let handle = 0n;
  let given = 0n;
  const perform = async (opcode: number, dlm_req: Partial<LdlmRequestValue>): Promise<void> => {
    const call = {
      request: { message: { buffers: [] }, body: { pb_flags: 0 } },
      values: { dlm_req },
      export: client,
      reply: ({ dlm_rep }: { dlm_rep?: { lock_handle: bigint } }) => {
        given = dlm_rep?.lock_handle ?? 0n;
      },
      fail: (errno: number) => {
        throw new Error(`refused with ${errno}`);
      },
    };
    await operations.get(opcode)!.handle(call as never as Call<Format>);
  };
  const enqueue = (n: number): Promise<void> =>
    perform(Opcode.LDLM_ENQUEUE, {
      ...LdlmRequest.decode(
        LdlmRequest.encode({
          lock_count: 1,
          lock_desc: {
            l_resource: { lr_type: LockType.LDLM_EXTENT, lr_name: { name: name(n) } },
            l_req_mode: LockMode.LCK_PW,
            l_policy_data: { l_extent: { start: 0n, end: 4095n, gid: 0n } },
          },
        }),
      ),
      lock_handle: [++handle, 0n],
    });
  return {
    keep: enqueue,
    async pass(n) {
      await enqueue(n);
      await perform(Opcode.LDLM_CANCEL, { lock_count: 1, lock_handle: [given] });
    },
  };
}

function clientSide(): Side {
  let handle = 0n;
  /** Grants whatever is asked. */
  const answering: LockImport = {
    callbackHandle: 1n,
    onEvicted: () => undefined,
    call: (_format, request) => {
      const asked = (request as { dlm_req?: { lock_desc?: object } }).dlm_req?.lock_desc;
      const dlm_rep =
        asked && LdlmReply.decode(LdlmReply.encode({ lock_desc: asked, lock_handle: ++handle }));
      return Promise.resolve({ values: { dlm_rep, dlm_lvb: LVB }, status: 0 } as never as Reply<never>);
    },
  };
  const locks = new ClientNamespace({
    name: 'bench',
    runtime,
    import: answering,
    lru: { maxCount: 8_000_000 },
  });
  const policy = { extent: { start: 0n, end: EOF } };
  const what = { type: LockType.LDLM_EXTENT, mode: LockMode.LCK_PW, policy };
  const take = async (n: number) => {
    const { lock } = await locks.enqueue({ ...what, resource: name(n) });
    if (lock === undefined) throw new Error('no lock');
    locks.release(lock);
    return lock;
  };
  return {
    keep: async (n) => void (await take(n)),
    async pass(n) {
      const lock = await take(n);
      // As a user would find it.
      const found = locks.match(name(n), what.type, what.mode, policy);
      if (found !== undefined) locks.release(found);
      await locks.cancel(lock);
    },
  };
}

async function rate(side: Side, count: number, resource: (i: number) => number): Promise<number> {
  const at = performance.now();
  for (let i = 0; i < count; i++) await side.pass(resource(i));
  return count / ((performance.now() - at) / 1000);
}

export interface LockRates {
  /** Enqueues and cancels per second. */
  readonly alone: number;
  readonly among: number;
  readonly bytesPerLock: number;
}

async function measure(make: () => Side, rounds: number, count: number, kept: number): Promise<LockRates> {
  const alone: number[] = [];
  const among: number[] = [];
  const empty = make();
  await rate(empty, count, () => 1);
  const before = memory();
  const full = make();
  for (let n = 0; n < kept; n++) await full.keep(n);
  const bytesPerLock = (memory() - before) / kept;
  for (let i = 0; i < rounds; i++) {
    alone.push(await rate(empty, count, () => 1));
    // Each time another resource, as far from the last as can be.
    among.push(await rate(full, count, (n) => kept + ((n * 7919) % kept)));
  }
  return { alone: median(alone), among: median(among), bytesPerLock };
}

const [side, rounds, count, kept] = process.argv.slice(2);
const make = side === 'server' ? serverSide : clientSide;
const rates = await measure(make, Number(rounds), Number(count), Number(kept));
process.stdout.write(`${JSON.stringify(rates)}\n`);
process.exit();
