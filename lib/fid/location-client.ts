/** Which MDT holds a FID: look-ups in the FID location database, with a cache of ranges (guide 07 §5). */

import type { Caller } from '../rpc/rpc.ts';
import { LustreError } from '../runtime/errors.ts';
import { FidSeq, RangeType, SeqOp } from '../wire/fid-constants.ts';
import { required } from '../wire/format.ts';
import { RQF_FLD_QUERY } from '../wire/formats.ts';
import { type Fid, formatFid, isNormalSeq, isSeqInFldb } from './fid.ts';

const FLD_REQUEST_PORTAL = 29;
const CACHED_RANGES_MAX = 1024;
/** Of an MDT that is away or out of use: another one knows, too. */
const CANNOT_ANSWER: ReadonlySet<string | undefined> = new Set(['ESHUTDOWN', 'ENOTCONN', 'ETIMEDOUT', 'EIO']);

interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly index: number;
}

export class LocationClient {
  /** MDTs by index. */
  readonly #targets: ReadonlyMap<number, Caller>;
  #ranges: Range[] = [];
  readonly #asking = new Map<bigint, Promise<number>>();

  constructor(targets: ReadonlyMap<number, Caller>) {
    this.#targets = targets;
  }

  /** The index of the MDT that holds `fid`. Rejects with EINVAL for FIDs that are on no MDT, ENOENT when nobody knows. */
  async locate(fid: Fid): Promise<number> {
    const seq = fid.f_seq;
    if (!isSeqInFldb(seq)) {
      throw new LustreError('EINVAL', `${formatFid(fid)} is not on a metadata target`, {}, -22);
    }
    // With one MDT there is nothing to ask; kernels send no FLD_QUERY then either.
    const only = this.#targets.size === 1 ? [...this.#targets.keys()][0] : undefined;
    if (only !== undefined) return only;
    const known = this.#ranges.find((r) => seq >= r.start && seq < r.end);
    if (known !== undefined) return known.index;
    let asking = this.#asking.get(seq);
    if (asking === undefined) {
      asking = this.#query(fid).finally(() => this.#asking.delete(seq));
      this.#asking.set(seq, asking);
    }
    return asking;
  }

  async #query(fid: Fid): Promise<number> {
    const seq = fid.f_seq;
    const indices = [...this.#targets.keys()].sort((a, b) => a - b);
    const first = isNormalSeq(seq) ? Number(seq % BigInt(indices.length)) : 0;
    let failure: unknown;
    for (const position of new Set([first, 0, ...indices.keys()])) {
      try {
        return this.#learn(fid, await this.#ask(this.#targets.get(indices[position]!)!, seq));
      } catch (error) {
        const { code } = error as LustreError;
        if (!CANNOT_ANSWER.has(code)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #ask(target: Caller, seq: bigint): Promise<Range> {
    const reply = await target.call(
      RQF_FLD_QUERY,
      { fld_opc: SeqOp.FLD_LOOKUP, fld_mdfld: { lsr_start: seq, lsr_flags: RangeType.LU_SEQ_RANGE_MDT } },
      { requestPortal: FLD_REQUEST_PORTAL, context: { syscall: 'locate FID' } },
    );
    const range = required(reply.values, 'fld_mdfld');
    return { start: range.lsr_start, end: range.lsr_end, index: range.lsr_index };
  }

  #learn(fid: Fid, range: Range): number {
    if (!this.#targets.has(range.index)) {
      throw new LustreError(
        'EINVAL',
        `${formatFid(fid)} is said to be on the unknown MDT ${range.index}`,
        {},
        -22,
      );
    }
    if (fid.f_seq >= range.start && fid.f_seq < range.end && range.start < FidSeq.FID_SEQ_LOV_DEFAULT) {
      if (this.#ranges.length >= CACHED_RANGES_MAX) this.#ranges.shift();
      this.#ranges.push(range);
    }
    return range.index;
  }
}
