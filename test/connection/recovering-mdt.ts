/**
 * An MDT that loses its memory and takes its client back (guide 06 §4, §5): what it has not committed is gone, and it says what was
 * wrong with what it gets back. What it changes are names: each is made by a REINT, and how often is counted.
 */

import type { Memory } from '../../lib/lnet/network.ts';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import type { IncomingRequest } from '../../lib/rpc/rpc.ts';
import type { Bits64 } from '../../lib/wire/bits64.ts';
import {
  RQF_CONNECT,
  RQF_LDLM_ENQUEUE,
  RQF_MDS_CLOSE,
  RQF_MDS_REINT_UNLINK,
  RQF_OBD_PING,
} from '../../lib/wire/formats.ts';
import { LockFlag } from '../../lib/wire/ldlm-constants.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { type Cluster, fullOffer, serverNid } from './cluster.ts';

export interface Done {
  readonly xid: Bits64;
  readonly transno: bigint;
  readonly name: string;
}

const REPLAYABLE = 4;
const RECOVERING = 1;
const RECONNECT = 2;

export class RecoveringMdt {
  /** What was wrong with what the client sent. */
  readonly faults: string[] = [];
  /** Names as they were replayed, or locks, in the order of arrival; of the last start. */
  replays: { readonly what: string; readonly flags: number; readonly transno: bigint }[] = [];
  done: Done[] = [];
  /** Handles of locks that it has granted, by the client's. */
  locks = new Map<bigint, bigint>();
  lastCommitted = 0n;
  recovering = false;
  connects = 0;
  /** Does not answer. */
  down = false;
  /** Bytes that came by bulk, first and last of each. */
  fetched: number[][] = [];
  /** What it says to a replay instead of what it should. */
  answer: ((request: IncomingRequest) => boolean) | undefined;
  #transno = 0x1_0000_0000n;
  #handle = 0x1000n;
  #nextLock = 0x500n;
  #known = false;
  readonly #cluster: Cluster;
  #memory: Memory | undefined;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async start(): Promise<void> {
    const endpoint = await this.#cluster.sim.network.open({ nid: serverNid });
    this.#memory = endpoint.allocate(4096);
    const ptlrpc = new PtlRpc(endpoint, this.#cluster.sim.runtime);
    ptlrpc.serve({ portals: [12, 23, 28], handler: (request) => this.#take(request) });
  }

  /** All that was done is on disk. */
  commit(): void {
    this.lastCommitted = this.done.at(-1)?.transno ?? this.lastCommitted;
  }

  /** It loses what it had not committed, and knows its client by name. */
  crash(): void {
    this.done = this.done.filter(({ transno }) => transno <= this.lastCommitted);
    this.locks.clear();
    this.replays = [];
    this.#handle += 0x1000n;
    this.recovering = true;
  }

  /** It forgets the client, too. */
  forget(): void {
    this.crash();
    this.recovering = false;
    this.#known = false;
  }

  #take(request: IncomingRequest): void {
    if (this.down) return request.drop('down');
    const { body, opcode } = request;
    if (opcode === Opcode.MDS_CONNECT) return this.#connect(request);
    if (body.pb_handle !== this.#handle) return request.replyError(107);
    const replay = (body.pb_flags & 0x4) !== 0;
    if (replay && !this.recovering) this.faults.push('a replay outside of recovery');
    if (replay && this.answer?.(request) === true) return;
    if (opcode === Opcode.MDS_REINT) return void this.#reint(request, replay);
    if (opcode === Opcode.LDLM_ENQUEUE) return this.#enqueue(request);
    if (opcode === Opcode.MDS_CLOSE) return request.reply(RQF_MDS_CLOSE, {}, this.#options());
    if (opcode !== Opcode.OBD_PING) return request.replyError(95);
    if ((body.pb_flags & 0xc0) === 0xc0) this.#finish();
    request.reply(RQF_OBD_PING, {}, this.#options());
  }

  #options(): { lastCommitted: bigint } {
    return { lastCommitted: this.lastCommitted };
  }

  #connect(request: IncomingRequest): void {
    const { pb_handle: old } = request.body;
    this.connects++;
    const first = !this.#known || old === 0n;
    this.#known = true;
    const again = !first && old === this.#handle ? RECONNECT : 0;
    request.reply(
      RQF_CONNECT,
      { connect_data: { ...fullOffer, ocd_connect_flags2: 0n } },
      {
        opFlags: REPLAYABLE | again | (this.recovering && !first ? RECOVERING : 0),
        handle: this.#handle,
        ...this.#options(),
      },
    );
  }

  #finish(): void {
    this.recovering = false;
    // Transactions after a restart are above all older ones (guide 06 §5.3).
    this.#transno = ((this.#transno >> 32n) + 1n) << 32n;
  }

  async #reint(request: IncomingRequest, replay: boolean): Promise<void> {
    const { name = '' } = request.decode(RQF_MDS_REINT_UNLINK);
    if (name === 'written') {
      await request.bulkGet(8, [{ memory: this.#memory!, offset: 0, length: 4096 }]);
      this.fetched.push([this.#memory!.bytes[0]!, this.#memory!.bytes[4095]!]);
    }
    const { body, xid } = request;
    const before = this.done.find((one) => one.xid === xid);
    if (this.recovering !== replay)
      this.faults.push(`${name}: ${replay ? 'replayed late' : 'sent in recovery'}`);
    if (before !== undefined) {
      if (replay && before.transno <= this.lastCommitted && name !== 'open')
        this.faults.push(`${name}: replayed, and was told to be on disk`);
      if ((body.pb_flags & 0x6) === 0) this.faults.push(`${name}: its XID was used before`);
      return request.reply(RQF_MDS_REINT_UNLINK, {}, { transno: before.transno, ...this.#options() });
    }
    if (replay) {
      const last = this.done.at(-1)?.transno ?? 0n;
      if (body.pb_transno <= last) this.faults.push(`${name}: transaction ${body.pb_transno} behind ${last}`);
      if (body.pb_last_xid !== BigInt(xid) - 1n) this.faults.push(`${name}: pb_last_xid ${body.pb_last_xid}`);
      if (body.pb_pre_versions[0] !== body.pb_transno - 1n) this.faults.push(`${name}: other versions`);
      this.replays.push({ what: name, flags: body.pb_flags, transno: body.pb_transno });
    }
    const transno = replay ? body.pb_transno : ++this.#transno;
    this.done.push({ xid, transno, name });
    const versions = [transno - 1n, 0n, 0n, 0n];
    request.reply(RQF_MDS_REINT_UNLINK, {}, { transno, versions, ...this.#options() });
  }

  #enqueue(request: IncomingRequest): void {
    const { dlm_req } = request.decode(RQF_LDLM_ENQUEUE);
    const [theirs = 0n] = dlm_req?.lock_handle ?? [];
    const flags = Number(dlm_req?.lock_flags ?? 0);
    const replay = (flags & LockFlag.LDLM_FL_REPLAY) !== 0;
    if (replay !== this.recovering) this.faults.push(`lock ${theirs}: replay is ${replay}`);
    if (replay) this.replays.push({ what: `lock ${theirs.toString(16)}`, flags, transno: 0n });
    const ours = this.locks.get(theirs) ?? this.#nextLock++;
    this.locks.set(theirs, ours);
    const lock_desc = dlm_req?.lock_desc;
    request.reply(
      RQF_LDLM_ENQUEUE,
      { dlm_rep: { ...(lock_desc && { lock_desc }), lock_handle: ours } },
      this.#options(),
    );
  }
}
