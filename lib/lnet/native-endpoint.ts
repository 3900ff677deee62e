/**
 * An Endpoint on the native module (guide 01 §5, §6): writes operations to the scratch area, drains the completion
 * ring a batch at a time, and finds handlers by a small number and its generation.
 */
import { errnoError, errnoName, LustreError } from '../runtime/errors.ts';
import type { Logger, Runtime } from '../runtime/runtime.ts';
import { type Bits64, highWord, lowWord } from '../wire/bits64.ts';
import { checksumTypeBits } from './checksum.ts';
import { KnownNids } from './known-nids.ts';
import { type BorrowedMemory, loanOf } from './lent-memory.ts';
import {
  ControlWord,
  checksumBits,
  EventType,
  EventWord,
  type LnetAddon,
  type NativeEndpoint,
  type NativeEndpointOptions,
  NO_FINAL_OFFSET,
  type Notice,
  NoticeKind,
  PID_ANY,
  ScratchBig,
  ScratchFlag,
  ScratchWord,
  SEGMENTS_MAX,
  SENT,
  THRESHOLD_INFINITE,
} from './native-addon.ts';
import { NativeEvent } from './native-event.ts';
import { NativeHandle } from './native-handle.ts';
import { PinnedMemory } from './native-memory.ts';
import { writeFileRange } from './native-scratch.ts';
import { checksumSegments } from './native-storage.ts';
import type {
  BulkChecksumName,
  Endpoint,
  EndpointCounters,
  GetOptions,
  LnetEventType,
  LnetHandler,
  MatchEntry,
  MdHandle,
  Memory,
  PingResult,
  ProcessId,
  PutOptions,
  Segment,
} from './network.ts';
import { LNET_PID_LUSTRE, NID_ANY, type Nid, nidFromBits, parseNid } from './nid.ts';
import { ping } from './ping.ts';

/** Events handled before the event loop has its turn again. */
const BATCH_MAX = 512;
/** Messages that wait for each other to be sent by one system call: few, so that the peer has work meanwhile. */
const SENDS_MAX = 8;
/** NIDs remembered in both forms; peers choose the ones that come in, so there is an end. */
const NID_CACHE_MAX = 4096;
const eventNames: readonly LnetEventType[] = ['put', 'get', 'send', 'ack', 'reply', 'unlink'];

export class NativeLnetEndpoint implements Endpoint {
  readonly nid: Nid;
  readonly movesFiles = true;
  readonly checksumLater = checksumSegments;
  /** The TCP port listened on; 0 when it does not listen. */
  readonly port: number;
  readonly #native: NativeEndpoint;
  readonly #runtime: Runtime;
  readonly #log: Logger;
  readonly #ring: Int32Array;
  readonly #mask: number;
  readonly #big: BigUint64Array;
  readonly #words: Uint32Array;
  readonly #handlers: (LnetHandler | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #freeSlots: number[] = [];
  /** By slot: a PUT or GET, which keeps the process alive. */
  readonly #sending: boolean[] = [];
  readonly #nids = new KnownNids(NID_CACHE_MAX);
  readonly #event: NativeEvent;
  /** A handler is at work. */
  #handling = false;
  readonly #lastErrors = new Map<Nid, Error>();
  readonly #peerDown: ((nid: Nid, reason: Error) => void)[] = [];
  /** Pinned memory that another thread has lent, by its number. */
  readonly #lent = new Map<number, BorrowedMemory>();
  /** PUTs and GETs under way: they keep the process alive. */
  #underWay = 0;
  #held = false;
  #planned = false;
  #microtasks = 0;
  /** Messages of this turn: what follows the first goes together. */
  #burst = 0;
  /** The turn before had several. */
  #many = false;
  /** Messages queued and not yet given to the sockets. */
  #unsent = 0;
  readonly #catchUp = (): void => this.#settle();
  readonly #unlink = (low: number, high: number): void => this.#unlinkObject(low, high);
  #closing: Promise<void> | undefined;
  #closed: (() => void) | undefined;
  #finished = false;
  /** What was counted until it was closed. */
  #lastCounters: EndpointCounters | undefined;

  /** Throws an Error with `errno` when it cannot listen. Use `openNativeEndpoint`. */
  constructor(runtime: Runtime, addon: LnetAddon, nid: Nid, options: NativeEndpointOptions) {
    this.nid = nid;
    this.#event = new NativeEvent(nid, this.#nids);
    this.#runtime = runtime;
    this.#log = runtime.log.child({ nid });
    this.#native = new addon.NativeEndpoint(options, () => this.#drain());
    this.#ring = new Int32Array(this.#native.ring);
    this.#mask = options.ringEntries - 1;
    this.#big = new BigUint64Array(this.#native.scratch, 0, 5);
    this.#words = new Uint32Array(this.#native.scratch);
    Atomics.store(this.#ring, ControlWord.SLEEPING, 1);
    this.port = this.#native.open();
  }

  attach(entry: MatchEntry, handler: LnetHandler, again?: MdHandle): MdHandle {
    this.#checkOpen('attach');
    const words = this.#words;
    this.#writePeer(entry.peer, PID_ANY);
    this.#writeMatchBits(entry.matchBits);
    this.#big[ScratchBig.IGNORE_BITS] = entry.ignoreBits ?? 0n;
    words[ScratchWord.PORTAL] = entry.portal;
    words[ScratchWord.THRESHOLD] = Math.min(entry.threshold, THRESHOLD_INFINITE);
    words[ScratchWord.OPTIONS] = entry.options;
    words[ScratchWord.MAX_SIZE] = entry.maxSize ?? 0;
    words[ScratchWord.FINAL_OFFSET] = entry.finalOffset ?? NO_FINAL_OFFSET;
    words[ScratchWord.FLAGS] =
      (entry.autoUnlink ? ScratchFlag.AUTO_UNLINK : 0) |
      (entry.position === 'before' ? ScratchFlag.BEFORE : 0) |
      (entry.file === undefined ? 0 : ScratchFlag.FILE) |
      checksumBits(entry.checksum);
    if (entry.file === undefined) this.#writeSegments(entry.segments);
    else writeFileRange(words, entry.file);
    const slot = this.#claim(handler, false);
    return this.#started(slot, this.#native.attach(), 'attach', entry.peer.nid, again);
  }

  put(options: PutOptions, handler: LnetHandler): MdHandle {
    const slot = this.#describePut(options, handler, 0);
    return this.#sent(slot, this.#native.put(), 'put', options.peer.nid);
  }

  send(options: PutOptions, handler: LnetHandler, again?: MdHandle): MdHandle | undefined {
    const slot = this.#describePut(options, handler, ScratchFlag.QUIET);
    const status = this.#native.put();
    if (status !== SENT) return this.#sent(slot, status, 'put', options.peer.nid, again);
    this.#free(slot);
    this.#burst++;
    this.#plan();
    return undefined;
  }

  #describePut(options: PutOptions, handler: LnetHandler, quiet: number): number {
    this.#checkOpen('put');
    this.#writePeer(options.peer, LNET_PID_LUSTRE);
    this.#writeMatchBits(options.matchBits);
    this.#big[ScratchBig.HDR_DATA] = options.hdrData ?? 0n;
    this.#words[ScratchWord.PORTAL] = options.portal;
    this.#words[ScratchWord.OFFSET] = options.offset ?? 0;
    this.#words[ScratchWord.OPTIONS] = 0;
    const flags = quiet | (options.ack === true ? ScratchFlag.ACK : 0);
    if (options.file === undefined) this.#writeSegments(options.segments);
    else writeFileRange(this.#words, options.file);
    this.#words[ScratchWord.FLAGS] = flags | (options.file === undefined ? this.#when() : ScratchFlag.FILE);
    return this.#claim(handler, true);
  }

  get(options: GetOptions, handler: LnetHandler): MdHandle {
    this.#checkOpen('get');
    this.#writePeer(options.peer, LNET_PID_LUSTRE);
    this.#writeMatchBits(options.matchBits);
    this.#words[ScratchWord.PORTAL] = options.portal;
    this.#words[ScratchWord.OFFSET] = options.offset ?? 0;
    this.#words[ScratchWord.OPTIONS] = 0;
    const flags = this.#when() | checksumBits(options.checksum);
    if (options.file === undefined) this.#writeSegments(options.segments);
    else writeFileRange(this.#words, options.file);
    this.#words[ScratchWord.FLAGS] = options.file === undefined ? flags : flags | ScratchFlag.FILE;
    const slot = this.#claim(handler, true);
    return this.#sent(slot, this.#native.get(), 'get', options.peer.nid);
  }

  setLazyPortal(portal: number): void {
    const status = this.#native.setLazyPortal(portal);
    if (status !== 0) throw errnoError(status, { syscall: `setLazyPortal ${portal}`, nid: this.nid });
  }

  allocate(bytes: number): Memory {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new LustreError('EINVAL', `cannot allocate ${bytes} bytes`, { nid: this.nid });
    }
    if (this.#finished) throw this.#shutDown('allocate');
    return this.pin(new Uint8Array(this.#native.allocate(bytes), 0, bytes));
  }

  pin(bytes: Uint8Array): Memory {
    const buffer = bytes.buffer;
    if (
      !(buffer instanceof ArrayBuffer) ||
      (buffer as ArrayBuffer & { resizable?: boolean }).resizable === true
    ) {
      throw new LustreError('EINVAL', 'cannot pin a buffer that is shared or resizable', { nid: this.nid });
    }
    if (this.#finished) throw this.#shutDown('pin');
    const number = this.#native.pin(bytes);
    if (number < 0) throw this.#shutDown('pin');
    const loan = loanOf(buffer);
    if (loan !== undefined) {
      loan.use();
      this.#lent.set(number, loan);
    }
    return new PinnedMemory(this, bytes, number, (memory) => this.#release(memory));
  }

  checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset = 0): number {
    this.#writeSegments(segments);
    const sum = this.#native.checksum(checksumTypeBits[type], pageOffset);
    if (sum < 0) throw errnoError(-14, { syscall: 'checksum', nid: this.nid });
    return sum;
  }

  async ping(nid: Nid, timeoutMs: number): Promise<PingResult> {
    return ping(this, this.#runtime, parseNid(nid), timeoutMs);
  }

  lastError(nid: Nid): Error | undefined {
    return this.#lastErrors.get(nid);
  }

  onPeerDown(listener: (nid: Nid, reason: Error) => void): void {
    this.#peerDown.push(listener);
  }

  counters(): EndpointCounters {
    return this.#lastCounters ?? this.#native.counters();
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#closed = resolve;
      this.#native.hold();
      this.#send();
      this.#native.beginClose();
    });
    return this.#closing;
  }

  // ---- operations

  #writePeer(peer: ProcessId, defaultPid: number): void {
    this.#big[ScratchBig.PEER] = this.#nids.bitsOf(peer.nid);
    this.#words[ScratchWord.PEER_PID] = peer.pid ?? defaultPid;
  }

  #writeMatchBits(bits: Bits64): void {
    if (typeof bits === 'bigint') {
      this.#big[ScratchBig.MATCH_BITS] = bits;
      return;
    }
    this.#words[2 * ScratchBig.MATCH_BITS] = lowWord(bits);
    this.#words[2 * ScratchBig.MATCH_BITS + 1] = highWord(bits);
  }

  #writeSegments(segments: readonly Segment[]): void {
    if (segments.length > SEGMENTS_MAX) {
      throw new LustreError('EINVAL', `${segments.length} segments are more than ${SEGMENTS_MAX}`, {
        nid: this.nid,
      });
    }
    const words = this.#words;
    words[ScratchWord.SEGMENT_COUNT] = segments.length;
    let at: number = ScratchWord.SEGMENTS;
    for (const { memory, offset, length } of segments) {
      if (
        !(memory instanceof PinnedMemory && memory.endpoint === this) ||
        !(offset >= 0 && length >= 0 && offset + length <= memory.bytes.byteLength)
      ) {
        throw new LustreError('EINVAL', `segment ${offset}+${length} is not inside memory of this endpoint`, {
          nid: this.nid,
        });
      }
      words[at] = memory.number;
      words[at + 1] = offset;
      words[at + 2] = length;
      at += 3;
    }
  }

  #claim(handler: LnetHandler, sending: boolean): number {
    const slot = this.#freeSlots.pop() ?? this.#handlers.length;
    this.#handlers[slot] = handler;
    this.#sending[slot] = sending;
    const generation = ((this.#generations[slot] ?? 0) + 1) >>> 0;
    this.#generations[slot] = generation;
    this.#words[ScratchWord.HANDLER] = slot;
    this.#words[ScratchWord.GENERATION] = generation;
    return slot;
  }

  #free(slot: number): void {
    this.#handlers[slot] = undefined;
    this.#freeSlots.push(slot);
  }

  #started(slot: number, status: number, what: string, nid: Nid, again?: MdHandle): MdHandle {
    if (status !== 0) {
      this.#free(slot);
      if (errnoName(status) === 'ESHUTDOWN') throw this.#shutDown(what);
      throw errnoError(status, { syscall: what, nid });
    }
    const handle = again instanceof NativeHandle ? again : new NativeHandle(this.#unlink);
    handle.becomes(this.#words[ScratchWord.OBJECT_LOW]! | 0, this.#words[ScratchWord.OBJECT_HIGH]! | 0);
    this.#plan();
    return handle;
  }

  #unlinkObject(low: number, high: number): void {
    if (this.#finished) return;
    this.#words[ScratchWord.OBJECT_LOW] = low;
    this.#words[ScratchWord.OBJECT_HIGH] = high;
    this.#native.unlink();
    this.#plan();
  }

  #sent(slot: number, status: number, what: string, nid: Nid, again?: MdHandle): MdHandle {
    if (status === 0) {
      if (this.#when() !== 0 && ++this.#unsent >= SENDS_MAX) this.#send();
      this.#burst++;
      if (this.#underWay++ === 0 && !this.#held) {
        this.#held = true;
        this.#native.hold();
      }
    }
    return this.#started(slot, status, what, nid, again);
  }

  #release(memory: number): void {
    if (this.#finished) return;
    this.#native.release(memory);
    if (this.#ring[ControlWord.ATTENTION] !== 0) this.#attend();
  }

  /** Lets go of memory that the network has let go of. */
  #attend(): void {
    for (const number of this.#native.attend()) this.#unlend(number);
  }

  #unlend(number: number): void {
    const loan = this.#lent.get(number);
    if (loan === undefined) return;
    this.#lent.delete(number);
    loan.unuse();
  }

  #checkOpen(what: string): void {
    if (this.#closing !== undefined) throw this.#shutDown(what);
  }

  #shutDown(what: string): LustreError {
    return new LustreError('ESHUTDOWN', `cannot ${what}: the endpoint is closed`, { nid: this.nid }, -108);
  }

  // ---- completions

  /** The first message of a turn goes at once, unless the turn before it had several. */
  #when(): number {
    return this.#burst > 0 || this.#many ? ScratchFlag.LATER : 0;
  }

  /** Messages that were queued, and events that an operation completed on this very thread (they wake nobody), are seen to
   * when what runs now and what follows from it at once has said all that it has to say. */
  #plan(): void {
    if (this.#planned || this.#finished) return;
    if (this.#burst === 0 && this.#ring[ControlWord.WRITE] === this.#ring[ControlWord.READ]) return;
    this.#planned = true;
    // Not queueMicrotask, which makes an AsyncResource each time.
    if (++this.#microtasks % BATCH_MAX === 0) setImmediate(this.#catchUp);
    else void resolved.then(this.#catchUp);
  }

  #settle(): void {
    this.#planned = false;
    this.#many = this.#burst > 1;
    this.#burst = 0;
    if (this.#finished) return;
    this.#send();
    if (this.#ring[ControlWord.WRITE] !== this.#ring[ControlWord.READ]) this.#drain();
  }

  #send(): void {
    if (this.#unsent === 0) return;
    this.#unsent = 0;
    this.#native.sendLater();
  }

  #drain(): void {
    if (this.#finished) return;
    const ring = this.#ring;
    Atomics.store(ring, ControlWord.SLEEPING, 0);
    let read = ring[ControlWord.READ]!;
    for (let handled = 0; ; handled++) {
      if (read === Atomics.load(ring, ControlWord.WRITE)) {
        if (ring[ControlWord.ATTENTION] !== 0) this.#attend();
        Atomics.store(ring, ControlWord.SLEEPING, 1);
        // Between the last look and falling asleep something may have come, and nobody would wake us for it.
        if (read === Atomics.load(ring, ControlWord.WRITE) && ring[ControlWord.ATTENTION] === 0) break;
        Atomics.store(ring, ControlWord.SLEEPING, 0);
      }
      if (handled >= BATCH_MAX) {
        if (ring[ControlWord.ATTENTION] !== 0) this.#attend();
        setImmediate(() => this.#drain());
        break;
      }
      const at = ControlWord.FIRST_EVENT + (read & this.#mask) * EventWord.COUNT;
      read = (read + 1) | 0;
      this.#dispatch(at, read);
      if (this.#finished) return;
      // A handler that drained meanwhile would have moved it.
      read = ring[ControlWord.READ]!;
    }
    if (this.#held && this.#underWay === 0 && this.#closing === undefined) {
      this.#held = false;
      this.#native.letGo();
    }
  }

  #dispatch(at: number, next: number): void {
    const ring = this.#ring;
    const type = ring[at + EventWord.TYPE]! & 0xff;
    if (type >= EventType.NOTICE) {
      Atomics.store(ring, ControlWord.READ, next);
      if (type === EventType.NOTICE) for (const notice of this.#native.takeNotices()) this.#onNotice(notice);
      else this.#onClosed();
      return;
    }
    const slot = ring[at + EventWord.HANDLER]!;
    const handler = this.#handlers[slot];
    const current = this.#generations[slot] === ring[at + EventWord.GENERATION]! >>> 0;
    // A handler may begin what takes events out itself; they must not change the one that it holds.
    const event = this.#handling ? new NativeEvent(this.nid, this.#nids) : this.#event;
    event.read(ring, at, eventNames[type]!);
    Atomics.store(ring, ControlWord.READ, next);
    if (handler === undefined || !current) return;
    if (event.unlinked) {
      if (this.#sending[slot] === true) this.#underWay--;
      this.#free(slot);
    }
    const outer = this.#handling;
    this.#handling = true;
    try {
      handler(event);
    } catch (error) {
      this.#log.error({ err: error, event: event.type }, 'an event handler threw');
    }
    this.#handling = outer;
  }

  #onNotice(notice: Notice): void {
    const nid = nidFromBits(notice.nid);
    const peer = nid === NID_ANY ? {} : { peer: nid };
    const fields = notice.errno === 0 ? peer : { ...peer, code: errnoName(notice.errno) };
    if (notice.level >= 40) this.#log.warn(fields, notice.text);
    else if (notice.level >= 30) this.#log.info(fields, notice.text);
    else this.#log.debug(fields, notice.text);
    if (notice.kind === NoticeKind.LOG) return;
    const what = notice.kind === NoticeKind.PEER_DOWN ? 'lost the connection' : 'cannot connect';
    const code = errnoName(notice.errno);
    const reason = new LustreError(
      code,
      `${what}: ${notice.text}`,
      { syscall: 'connect', nid },
      -notice.errno,
    );
    if (this.#lastErrors.size >= NID_CACHE_MAX) this.#lastErrors.clear();
    this.#lastErrors.set(nid, reason);
    if (notice.kind !== NoticeKind.PEER_DOWN) return;
    for (const listener of this.#peerDown) {
      try {
        listener(nid, reason);
      } catch (error) {
        this.#log.error({ err: error, peer: nid }, 'a peer-down listener threw');
      }
    }
  }

  #onClosed(): void {
    this.#finished = true;
    this.#lastCounters = this.#native.counters();
    this.#native.finish();
    for (const number of [...this.#lent.keys()]) this.#unlend(number);
    this.#closed?.();
  }
}

const resolved = Promise.resolve();
