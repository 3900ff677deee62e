/**
 * FIDs for new objects, allocated by the client (guide 07 §4.1): one allocator for each MDT, because a sequence must
 * lie on the MDT that will hold the object.
 */

import type { Caller } from '../rpc/rpc.ts';
import { LustreError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { FidOid, RangeType, SeqOp } from '../wire/fid-constants.ts';
import type { LuSeqRange } from '../wire/fid-structs.ts';
import { required } from '../wire/format.ts';
import { RQF_SEQ_QUERY } from '../wire/formats.ts';
import { type Fid, isNormalSeq, makeFid } from './fid.ts';

/** FIDs in a metadata sequence (LUSTRE_METADATA_SEQ_MAX_WIDTH). */
export const META_SEQUENCE_WIDTH = 0x20000;
const SEQ_METADATA_PORTAL = 30;
const RETRY_MS = 2000;
const RETRIES = 30;

export class SequenceClient {
  readonly #caller: Caller;
  readonly #runtime: Runtime;
  readonly #width: number;
  /** Sequences granted and not begun: a server may give more than one at once. */
  #range: { next: bigint; end: bigint } = { next: 0n, end: 0n };
  #current: { seq: bigint; oid: number } | undefined;
  #refill: Promise<void> | undefined;
  #generation = 0;

  constructor(caller: Caller, runtime: Runtime, width = META_SEQUENCE_WIDTH) {
    this.#caller = caller;
    this.#runtime = runtime;
    this.#width = width;
  }

  /** A FID never given out before. Rejects with the error of SEQ_QUERY. */
  async allocate(): Promise<Fid> {
    for (;;) {
      const current = this.#current;
      if (current !== undefined && current.oid < this.#width) {
        current.oid++;
        return makeFid(current.seq, current.oid);
      }
      if (this.#range.next < this.#range.end) {
        this.#current = { seq: this.#range.next++, oid: FidOid.LUSTRE_FID_INIT_OID - 1 };
        continue;
      }
      this.#refill ??= this.#query().finally(() => {
        this.#refill = undefined;
      });
      await this.#refill;
    }
  }

  /** Forgets what is left of the sequence. Must follow a disconnect or an eviction: a replayed create may have used it. */
  drop(): void {
    this.#current = undefined;
    this.#range = { next: 0n, end: 0n };
    this.#generation++;
  }

  async #query(): Promise<void> {
    const generation = this.#generation;
    const range = await this.#ask();
    if (
      range.lsr_start >= range.lsr_end ||
      !isNormalSeq(range.lsr_start) ||
      !isNormalSeq(range.lsr_end - 1n)
    ) {
      throw new LustreError(
        'EINVAL',
        `SEQ_QUERY answered the range [0x${range.lsr_start.toString(16)}, 0x${range.lsr_end.toString(16)})`,
        { opcode: 'SEQ_QUERY' },
        -22,
      );
    }
    if (generation === this.#generation) this.#range = { next: range.lsr_start, end: range.lsr_end };
  }

  /** EINPROGRESS and EAGAIN: the server waits for sequences itself (guide 07 §4). */
  async #ask(): Promise<LuSeqRange> {
    for (let tries = 0; ; tries++) {
      try {
        const reply = await this.#caller.call(
          RQF_SEQ_QUERY,
          { seq_opc: SeqOp.SEQ_ALLOC_META, seq_range: { lsr_flags: RangeType.LU_SEQ_RANGE_MDT } },
          { requestPortal: SEQ_METADATA_PORTAL, context: { syscall: 'allocate FID' } },
        );
        return required(reply.values, 'seq_range');
      } catch (error) {
        const { code } = error as LustreError;
        if ((code !== 'EINPROGRESS' && code !== 'EAGAIN') || tries === RETRIES) throw error;
      }
      await new Promise<void>((resolve) => this.#runtime.after(RETRY_MS, resolve));
    }
  }
}
