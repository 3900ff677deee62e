/** An event of the native module, out of its ring: what hardly any handler asks for is put together when it is asked for. */
import { type Bits64, bits64 } from '../wire/bits64.ts';
import type { KnownNids } from './known-nids.ts';
import { EVENT_UNLINKED, EventWord } from './native-addon.ts';
import type { LnetEvent, LnetEventType, ProcessId } from './network.ts';
import type { Nid } from './nid.ts';

/** One for all events of an endpoint, for each is over when its handler returns. */
export class NativeEvent implements LnetEvent {
  type: LnetEventType = 'unlink';
  status = 0;
  readonly target: Nid;
  offset = 0;
  rlength = 0;
  mlength = 0;
  checksum = 0;
  fileError = 0;
  unlinked = false;
  readonly #nids: KnownNids;
  #initiatorLow = 0;
  #initiatorHigh = 0;
  #initiatorPid = 0;
  #bitsLow = 0;
  #bitsHigh = 0;
  #dataLow = 0;
  #dataHigh = 0;

  constructor(target: Nid, nids: KnownNids) {
    this.target = target;
    this.#nids = nids;
  }

  /** The words that begin at `at` may be overwritten as soon as it returns. */
  read(ring: Int32Array, at: number, type: LnetEventType): void {
    this.type = type;
    this.status = ring[at + EventWord.STATUS]!;
    this.offset = ring[at + EventWord.OFFSET]! >>> 0;
    this.rlength = ring[at + EventWord.RLENGTH]! >>> 0;
    this.mlength = ring[at + EventWord.MLENGTH]! >>> 0;
    this.checksum = ring[at + EventWord.CHECKSUM]! >>> 0;
    this.fileError = ring[at + EventWord.FILE_ERROR]!;
    this.unlinked = (ring[at + EventWord.TYPE]! & EVENT_UNLINKED) !== 0;
    this.#initiatorLow = ring[at + EventWord.INITIATOR_LOW]!;
    this.#initiatorHigh = ring[at + EventWord.INITIATOR_HIGH]!;
    this.#initiatorPid = ring[at + EventWord.INITIATOR_PID]!;
    this.#bitsLow = ring[at + EventWord.MATCH_BITS_LOW]!;
    this.#bitsHigh = ring[at + EventWord.MATCH_BITS_HIGH]!;
    this.#dataLow = ring[at + EventWord.HDR_DATA_LOW]!;
    this.#dataHigh = ring[at + EventWord.HDR_DATA_HIGH]!;
  }

  get initiator(): ProcessId {
    return this.#nids.processOf(this.#initiatorLow, this.#initiatorHigh, this.#initiatorPid);
  }

  get matchBits(): Bits64 {
    return bits64(this.#bitsLow, this.#bitsHigh);
  }

  get hdrData(): bigint {
    return BigInt(bits64(this.#dataLow, this.#dataHigh));
  }
}
