/**
 * The addon's LNet part, typed. The only file that sees it; `native-network.ts` builds the Network on it.
 * Layouts here are those of native/event_ring.h and native/scratch.h.
 */
import { LustreError } from '../runtime/errors.ts';
import { checksumTypeBits } from './checksum.ts';
import { loadNative } from './native-loader.ts';
import type { ChecksumName } from './network.ts';

export interface NativeEndpointOptions {
  readonly nid: bigint;
  readonly port: number;
  readonly accept: boolean;
  /** Empty: the NID's address. */
  readonly listenHost: string;
  /** -1: `port`; 0: a free one. */
  readonly listenPort: number;
  readonly connsPerPeer: number;
  readonly busyPollUs: number;
  readonly socketTimeoutMs: number;
  /** How long a GET waits for its REPLY, a PUT for its ACK (lnet_transaction_timeout). */
  readonly responseTimeoutMs: number;
  readonly acceptUnprivileged: boolean;
  readonly nidMap: readonly { readonly nid: bigint; readonly host: string; readonly port: number }[];
  /** Capacity of the completion ring: a power of two. */
  readonly ringEntries: number;
}

/** A line for the log, or news about a peer. */
export interface Notice {
  /** NoticeKind. */
  readonly kind: number;
  /** pino's level number: 20 debug, 30 info, 40 warn. */
  readonly level: number;
  /** A nid4; all ones when no peer is concerned. */
  readonly nid: bigint;
  /** Positive errno or 0. */
  readonly errno: number;
  readonly text: string;
}

export const NoticeKind = { LOG: 0, CONNECT_FAILED: 1, PEER_DOWN: 2 } as const;

/**
 * One endpoint: its I/O thread, its sockets, its rings. Arguments of attach, put, get, unlink and checksum are written
 * to `scratch` before the call; their results are 0 or a negative errno.
 */
export interface NativeEndpoint {
  /** Control words and events, shared with the I/O thread. */
  readonly ring: ArrayBuffer;
  readonly scratch: ArrayBuffer;
  /** Listens and starts the thread. The port listened on, 0 for none. Throws an Error with `errno`. */
  open(): number;
  attach(): number;
  put(): number;
  get(): number;
  unlink(): void;
  /** Sends what was queued by operations with ScratchFlag.LATER. */
  sendLater(): void;
  setLazyPortal(portal: number): number;
  /** Keeps the buffer alive until `release` and the last operation on it. The memory's number, or -1. */
  pin(bytes: Uint8Array): number;
  release(memory: number): void;
  /** Page-aligned and zeroed. Throws an Error with `errno`. */
  allocate(bytes: number): ArrayBuffer;
  /** `type` as in obd_cksum_types. -1 for segments that are not in live memory. */
  checksum(type: number, pageOffset: number): number;
  /** To be called after a drain that found ControlWord.ATTENTION set. The numbers of released memory that is free now. */
  attend(): number[];
  takeNotices(): Notice[];
  counters(): Record<
    | 'sendMessages'
    | 'sendBytes'
    | 'receiveMessages'
    | 'receiveBytes'
    | 'dropped'
    | 'connectionsOpen'
    | 'systemCalls'
    | 'wakeups',
    number
  >;
  /** From here to `letGo` the endpoint keeps the event loop alive. */
  hold(): void;
  letGo(): void;
  /** Every descriptor gets its last event, then comes EventType.CLOSED. */
  beginClose(): void;
  /** After CLOSED: joins the thread and frees everything. */
  finish(): void;
}

export interface LnetAddon {
  /** `wake` runs on this thread when events came while ControlWord.SLEEPING was set. Throws an Error with `errno`. */
  readonly NativeEndpoint: new (
    options: NativeEndpointOptions,
    wake: () => void,
  ) => NativeEndpoint;
}

/** 32-bit words at the head of `ring`. */
export const ControlWord = { WRITE: 0, READ: 16, SLEEPING: 32, ATTENTION: 48, FIRST_EVENT: 64 } as const;

/** 32-bit words of an event. */
export const EventWord = {
  TYPE: 0,
  STATUS: 1,
  HANDLER: 2,
  GENERATION: 3,
  INITIATOR_LOW: 4,
  INITIATOR_HIGH: 5,
  INITIATOR_PID: 6,
  OFFSET: 7,
  MATCH_BITS_LOW: 8,
  MATCH_BITS_HIGH: 9,
  HDR_DATA_LOW: 10,
  HDR_DATA_HIGH: 11,
  RLENGTH: 12,
  MLENGTH: 13,
  CHECKSUM: 14,
  FILE_ERROR: 15,
  COUNT: 16,
} as const;

export const EVENT_UNLINKED = 0x100;
export const EventType = {
  PUT: 0,
  GET: 1,
  SEND: 2,
  ACK: 3,
  REPLY: 4,
  UNLINK: 5,
  NOTICE: 6,
  CLOSED: 7,
} as const;

/** 64-bit words at the head of `scratch`. */
export const ScratchBig = { PEER: 0, MATCH_BITS: 1, IGNORE_BITS: 2, HDR_DATA: 3, OBJECT: 4 } as const;

/** 32-bit words of `scratch`; a segment is three: memory, offset, length. With ScratchFlag.FILE instead of them: descriptor,
 * checksum type, number of extents, and of each: position low, position high, length. */
export const ScratchWord = {
  OBJECT_LOW: 8,
  OBJECT_HIGH: 9,
  PEER_PID: 10,
  PORTAL: 11,
  THRESHOLD: 12,
  OPTIONS: 13,
  MAX_SIZE: 14,
  OFFSET: 15,
  HANDLER: 16,
  GENERATION: 17,
  FLAGS: 18,
  SEGMENT_COUNT: 19,
  FINAL_OFFSET: 20,
  SEGMENTS: 21,
} as const;

export const ScratchFlag = { AUTO_UNLINK: 1, BEFORE: 2, ACK: 4, LATER: 8, FILE: 16, QUIET: 32 } as const;
/** The upper bits of the flags: the type of checksum over what is received, as in obd_cksum_types. */
export const checksumBits = (name: ChecksumName | undefined): number =>
  name === undefined ? 0 : checksumTypeBits[name] << 8;
export const THRESHOLD_INFINITE = 0xffff_ffff;
export const NO_FINAL_OFFSET = 0xffff_ffff;
/** What `put` with ScratchFlag.QUIET gives when all is in the socket: there is no descriptor and no event. */
export const SENT = 1;
export const PID_ANY = 0xffff_ffff;
export const SEGMENTS_MAX = 256;

/** Loads the addon. Throws ERR_LUSTRE_NATIVE when it was not built or does not fit this machine. */
export function loadLnetAddon(): LnetAddon {
  const addon = loadNative();
  if (!isLnetAddon(addon)) {
    throw new LustreError('ERR_LUSTRE_NATIVE', 'the native module has no NativeEndpoint', {
      hint: 'It is of another version: build it again with npm run build:native',
    });
  }
  return addon;
}

function isLnetAddon(addon: object): addon is LnetAddon {
  return 'NativeEndpoint' in addon && typeof addon.NativeEndpoint === 'function';
}
