/**
 * One direction of a socklnd connection (guide 02): acceptor request, HELLO, then messages with a 24-byte header. A
 * stream whose beginning is missing, or that lost bytes, is entered again at the next believable message.
 */
import { Lnet, Socklnd } from '../../wire/lnet-constants.ts';
import { ByteQueue } from './byte-queue.ts';
import type { StreamSink } from './tcp-streams.ts';

/** A framed piece of the stream. `nid16`: its LNet header has 20-byte NIDs. */
export interface SocklndUnit {
  readonly kind: 'acceptor' | 'hello' | 'noop' | 'message' | 'undecoded';
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  readonly nid16: boolean;
  readonly time: bigint;
  readonly frame: number;
  readonly problem?: string;
}

const NID4_HEADER = 72;
const NID16_HEADER = 96;
const FRAME_HEADER = 24;
const ADDRESSES_MAX = Lnet.LNET_INTERFACES_NUM;
/** Undecodable bytes are handed on in pieces of at most this size. */
const LOST_PIECE = 64 << 10;

/** `foreign`: a connection that is no LNet. */
type State = 'start' | 'hello' | 'messages' | 'lost' | 'foreign';

export class SocklndStream implements StreamSink {
  private readonly queue = new ByteQueue();
  private readonly emit: (unit: SocklndUnit) => void;
  private state: State = 'start';
  private nid16 = false;
  private time = 0n;
  private frame = 0;

  private readonly known: boolean;
  /** Bytes taken, and those of them that are no LNet. */
  taken = 0;
  foreign = 0;
  missing = 0;

  /** `known`: the port says that this is LNet, whatever the bytes look like. */
  constructor(known: boolean, emit: (unit: SocklndUnit) => void) {
    this.known = known;
    this.emit = emit;
  }

  start(_fresh: boolean): void {}

  bytes(data: Uint8Array, time: bigint, frame: number): void {
    this.time = time;
    this.frame = frame;
    this.taken += data.length;
    if (this.state === 'foreign') {
      this.foreign += data.length;
      return;
    }
    this.queue.push(data);
    while (this.step()) {}
    this.queue.own();
  }

  gap(length: number): void {
    this.missing += length;
    if (this.state === 'foreign') return;
    const problem = `${length} bytes are not in the capture`;
    if (this.queue.length > 0) this.lose(this.queue.length, problem);
    else this.emit({ ...this.about('undecoded', new Uint8Array(0), true), problem });
    this.state = 'lost';
  }

  end(): void {
    if (this.queue.length > 0) this.lose(this.queue.length, 'the stream ends inside a message');
  }

  /** Takes one unit off the queue; false when more bytes are needed. */
  private step(): boolean {
    switch (this.state) {
      case 'start':
        return this.stepStart();
      case 'hello':
        return this.stepHello();
      case 'messages':
        return this.stepMessage();
      case 'foreign':
        return false;
      default:
        return this.stepLost();
    }
  }

  private stepStart(): boolean {
    if (this.queue.length < 8) return false;
    const view = this.head(8);
    const magic = view.getUint32(0, true);
    const swapped = view.getUint32(0, false);
    if (magic === Lnet.LNET_PROTO_ACCEPTOR_MAGIC || swapped === Lnet.LNET_PROTO_ACCEPTOR_MAGIC) {
      const little = magic === Lnet.LNET_PROTO_ACCEPTOR_MAGIC;
      const version = view.getUint32(4, little);
      const size = version === Lnet.LNET_PROTO_ACCEPTOR_VERSION_16 ? 28 : 16;
      if (!this.give('acceptor', size, little)) return false;
      this.state = 'hello';
      return true;
    }
    if (magic === Lnet.LNET_PROTO_MAGIC || swapped === Lnet.LNET_PROTO_MAGIC) {
      this.state = 'hello';
      return true;
    }
    if (messageType(magic) || messageType(swapped)) this.state = 'messages';
    else if (this.known) this.state = 'lost';
    else {
      this.state = 'foreign';
      this.foreign += this.queue.length;
      this.queue.drop(this.queue.length);
    }
    return this.state !== 'foreign';
  }

  private stepHello(): boolean {
    if (this.queue.length < 8) return false;
    const view = this.head(8);
    const little = view.getUint32(0, true) === Lnet.LNET_PROTO_MAGIC;
    if (!little && view.getUint32(0, false) !== Lnet.LNET_PROTO_MAGIC) {
      this.state = 'lost';
      return true;
    }
    const version = view.getUint32(4, little);
    this.nid16 = version === Socklnd.KSOCK_PROTO_V4;
    const fixed = this.nid16 ? 80 : 56;
    if (this.queue.length < fixed) return false;
    const addresses = this.head(fixed).getUint32(fixed - 4, little);
    if (version < 2 || version > 4 || addresses > ADDRESSES_MAX) {
      this.state = 'lost';
      return true;
    }
    if (!this.give('hello', fixed + 4 * addresses, little)) return false;
    this.state = 'messages';
    return true;
  }

  private stepMessage(): boolean {
    if (this.queue.length < FRAME_HEADER) return false;
    const view = this.head(FRAME_HEADER);
    const little = messageType(view.getUint32(0, true));
    if (!little && !messageType(view.getUint32(0, false))) {
      this.state = 'lost';
      return true;
    }
    if (view.getUint32(0, little) === Socklnd.KSOCK_MSG_NOOP) return this.give('noop', FRAME_HEADER, little);
    const least = FRAME_HEADER + (this.nid16 ? NID16_HEADER : NID4_HEADER);
    if (this.queue.length < least) return false;
    const head = this.queue.peek(least);
    const length = payloadLength(head, this.nid16);
    if (length === undefined) {
      this.state = 'lost';
      return true;
    }
    return this.give('message', least + length, little);
  }

  /** Looks for the header of a message: a believable one is taken as the place to go on. */
  private stepLost(): boolean {
    const least = FRAME_HEADER + NID16_HEADER;
    if (this.queue.length < least) return false;
    const size = Math.min(this.queue.length, LOST_PIECE);
    const bytes = this.queue.peek(size);
    for (let at = 0; at + least <= size; at++) {
      if (bytes[at] !== (Socklnd.KSOCK_MSG_LNET & 0xff) && bytes[at + 3] !== (Socklnd.KSOCK_MSG_LNET & 0xff))
        continue;
      const nid16 = believable(bytes.subarray(at, at + least));
      if (nid16 === undefined) continue;
      this.lose(at, 'no message starts here');
      this.nid16 = nid16;
      this.state = 'messages';
      return true;
    }
    this.lose(size - least + 1, 'no message starts here');
    return this.queue.length >= least;
  }

  private lose(size: number, problem: string): void {
    for (let left = size; left > 0; left -= LOST_PIECE) {
      const bytes = this.queue.take(Math.min(left, LOST_PIECE));
      this.emit({ ...this.about('undecoded', bytes, true), problem });
    }
  }

  private give(kind: SocklndUnit['kind'], size: number, littleEndian: boolean): boolean {
    if (this.queue.length < size) return false;
    this.emit(this.about(kind, this.queue.take(size), littleEndian));
    return true;
  }

  private about(kind: SocklndUnit['kind'], bytes: Uint8Array, littleEndian: boolean): SocklndUnit {
    return { kind, bytes, littleEndian, nid16: this.nid16, time: this.time, frame: this.frame };
  }

  private head(size: number): DataView {
    const bytes = this.queue.peek(size);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

function messageType(type: number): boolean {
  return type === Socklnd.KSOCK_MSG_LNET || type === Socklnd.KSOCK_MSG_NOOP;
}

/** payload_length of the LNet header behind a frame header; undefined when no LNet message can have it (guide 01 §4). */
function payloadLength(bytes: Uint8Array, nid16: boolean): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = FRAME_HEADER + (nid16 ? 48 : 24);
  const type = view.getUint32(at, true);
  const length = view.getUint32(at + 4, true);
  return type > 3 || length > Lnet.LNET_MTU ? undefined : length;
}

/** Whether a frame and an LNet header stand here; the answer is the header's form. */
function believable(bytes: Uint8Array): boolean | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (
    view.getUint32(0, true) !== Socklnd.KSOCK_MSG_LNET &&
    view.getUint32(0, false) !== Socklnd.KSOCK_MSG_LNET
  )
    return undefined;
  for (const nid16 of [false, true]) {
    const pid = FRAME_HEADER + (nid16 ? 40 : 16);
    if (
      view.getUint32(pid, true) !== Lnet.LNET_PID_LUSTRE ||
      view.getUint32(pid + 4, true) !== Lnet.LNET_PID_LUSTRE
    )
      continue;
    if (payloadLength(bytes, nid16) !== undefined) return nid16;
  }
  return undefined;
}
