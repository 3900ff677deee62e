/**
 * The Network seam: LNet's own verbs, typed (guide 01 §5, §6). Two implementations stand behind it: the native
 * module (real sockets) and sim/ (a virtual network in virtual time). Nothing above can tell which it has.
 * Matching happens below the seam, so that payload goes straight to the memory it belongs in.
 */
import type { Bits64 } from '../wire/bits64.ts';
import type { Nid } from './nid.ts';

export const MdOption = {
  /** Accepts PUT. */
  OP_PUT: 0x1,
  /** Accepts GET. */
  OP_GET: 0x2,
  /** The sender's offset counts, not the running local one. */
  MANAGE_REMOTE: 0x4,
  /** Shorten what does not fit instead of dropping it. */
  TRUNCATE: 0x10,
  /** Never acknowledge. */
  ACK_DISABLE: 0x20,
  /** Request-buffer mode: stop matching when less than `maxSize` is left. */
  MAX_SIZE: 0x80,
} as const;

/** Checksums of runs of bytes: a run's follows from those of its parts, so they are taken as bytes come and go. */
export type ChecksumName = 'crc32' | 'adler32' | 'crc32c';
/** Checksums of T10 guard tags: of the sectors of a page, so of a whole bulk with its place in one (lib/lnet/t10.ts). */
export type T10ChecksumName = 't10ip512' | 't10ip4K' | 't10crc512' | 't10crc4K';
export type BulkChecksumName = ChecksumName | T10ChecksumName;

/** Bytes that the network may read or write: pinned until `release`, which waits for nothing (the
 * implementation keeps the memory until the last operation on it has completed). */
export interface Memory {
  readonly bytes: Uint8Array;
  release(): void;
}

/** A piece of a Memory. Lists of them are the scatter/gather form of every payload; 1..256 pieces, ≤ 1 MiB in all
 * for one PUT or GET (LNET_MTU). */
export interface Segment {
  readonly memory: Memory;
  readonly offset: number;
  readonly length: number;
}

export interface ProcessId {
  /** A NID, or NID_ANY. */
  readonly nid: Nid;
  /** Default LNET_PID_LUSTRE. */
  readonly pid?: number;
}

/** A file that is open in this process. */
export interface LocalFile {
  readonly fd: number;
  /** For errors. */
  readonly path: string;
}

/** A piece of one. */
export interface FileSegment {
  readonly file: LocalFile;
  readonly offset: number;
  readonly length: number;
}

/** What bulk moves: bytes of memory, or of local files. */
export type BulkSegment = Segment | FileSegment;

export interface MatchEntry {
  readonly portal: number;
  readonly matchBits: Bits64;
  /** Bits set here are not compared. */
  readonly ignoreBits?: bigint;
  readonly peer: ProcessId;
  readonly segments: readonly Segment[];
  /** Where what is put goes, or what a GET takes, instead of segments, where the endpoint `movesFiles`: at most LNET_MTU. A GET
   * takes it once: the threshold is 1. */
  readonly file?: FileRange | undefined;
  /** Operations accepted before the entry is exhausted; Infinity for no limit. */
  readonly threshold: number;
  /** MdOption bits. */
  readonly options: number;
  /** With MAX_SIZE: the largest message accepted, bytes. */
  readonly maxSize?: number;
  /** With MANAGE_REMOTE: a message to this offset or beyond exhausts the entry, whatever its threshold. */
  readonly finalOffset?: number;
  /** Unlink by itself when exhausted (LNET_UNLINK). */
  readonly autoUnlink: boolean;
  /** Taken over what each PUT brings, as it comes. */
  readonly checksum?: ChecksumName | undefined;
  /** Where in the portal's list: `after` (default) appends. */
  readonly position?: 'before' | 'after';
}

export type LnetEventType = 'put' | 'get' | 'send' | 'ack' | 'reply' | 'unlink';

/** A completion, its handler's until that returns: the same object may be the next one. Exactly one event of a descriptor has
 * `unlinked: true`, and it is its last, except that `send` may follow `ack`/`reply` (guide 01 §5.2). */
export interface LnetEvent {
  readonly type: LnetEventType;
  /** 0, or a negative Linux errno (-ETIMEDOUT, -EHOSTUNREACH, -ECONNRESET ...). */
  readonly status: number;
  /** Who sent the PUT or GET; for send/ack/reply the peer. */
  readonly initiator: ProcessId;
  /** The local NID it was addressed to. */
  readonly target: Nid;
  readonly matchBits: Bits64;
  readonly hdrData: bigint;
  /** Where in the segments (as one concatenation) the bytes begin. */
  readonly offset: number;
  /** Bytes the peer had or wanted. */
  readonly rlength: number;
  /** Bytes moved. */
  readonly mlength: number;
  /** The checksum that was asked for: with `send` of a PUT and `get` out of a file, with `put` and `reply` of what came. */
  readonly checksum?: number | undefined;
  /** Of what came for a file: the errno of a write that failed (negative), and then not all of it is there; of what a GET took out
   * of a file: of a read, and then zeros went for it (-ENODATA: the file had ended); else 0. */
  readonly fileError?: number | undefined;
  readonly unlinked: boolean;
}

export type LnetHandler = (event: LnetEvent) => void;

/** A descriptor attached to a portal or bound to a PUT/GET under way. */
export interface MdHandle {
  /** Ends it: the handler gets an `unlink` event (or its pending last event with `unlinked: true`); a transfer into or
   * out of the memory that is in progress completes first, but into a file nothing is written any more when this returns. Calling it
   * again does nothing. */
  unlink(): void;
}

/** Bytes of a file that lie together. */
export interface FileExtent {
  readonly position: bigint;
  readonly length: number;
}

/** Bytes of an open file, moved as one run: an extent, and those that follow it. The descriptor may be closed as soon as the
 * call that takes it has returned. */
export interface FileRange extends FileExtent {
  readonly fd: number;
  /** Not empty, each behind the one before it in the file; at most FILE_EXTENTS_MAX with the first for one PUT or GET. */
  readonly rest?: readonly FileExtent[];
  /** Taken over the bytes as they are sent, or as they come. */
  readonly checksum?: ChecksumName;
}

/** As many as LNET_MTU has pages. */
export const FILE_EXTENTS_MAX = 256;

export interface PutOptions {
  readonly peer: ProcessId;
  readonly portal: number;
  readonly matchBits: Bits64;
  readonly segments: readonly Segment[];
  /** Sent instead of segments, where the endpoint `movesFiles`: at most LNET_MTU. Zeros follow where the file has ended. */
  readonly file?: FileRange;
  /** Remote offset; default 0. */
  readonly offset?: number;
  readonly hdrData?: bigint;
  /** Ask for an ACK: events `send` then `ack`; without it only `send`. */
  readonly ack?: boolean;
}

export interface GetOptions {
  readonly peer: ProcessId;
  readonly portal: number;
  readonly matchBits: Bits64;
  /** Where the REPLY's bytes go. Events: `send`, then `reply`. */
  readonly segments: readonly Segment[];
  /** Where they go instead, where the endpoint `movesFiles`: at most LNET_MTU, written as they come. */
  readonly file?: FileRange;
  readonly offset?: number;
  /** Taken over the REPLY's bytes, as they come. */
  readonly checksum?: ChecksumName | undefined;
}

/** Counters since the endpoint was opened. */
export interface EndpointCounters {
  readonly sendMessages: number;
  readonly sendBytes: number;
  readonly receiveMessages: number;
  readonly receiveBytes: number;
  /** Messages that matched nothing or were malformed. */
  readonly dropped: number;
  readonly connectionsOpen: number;
  readonly systemCalls: number;
  readonly wakeups: number;
}

export interface PingResult {
  readonly nids: readonly Nid[];
  readonly features: number;
  readonly roundTripMs: number;
}

export interface Endpoint {
  readonly nid: Nid;
  /** PUTs can be out of files, and GETs into files. */
  readonly movesFiles: boolean;
  /** `again`: the handle of a descriptor that has had its last event, which nobody else holds: it may become this one's. */
  attach(entry: MatchEntry, handler: LnetHandler, again?: MdHandle): MdHandle;
  put(options: PutOptions, handler: LnetHandler): MdHandle;
  /** A PUT without ACK of which only the end matters: undefined when its bytes are with the network already and the memory
   * may be used again, and then no event comes. `again`: as for `attach`. */
  send(options: PutOptions, handler: LnetHandler, again?: MdHandle): MdHandle | undefined;
  get(options: GetOptions, handler: LnetHandler): MdHandle;
  /** A lazy portal parks PUTs that find no match until a buffer is attached (guide 01 §5.1); bounded, and what exceeds
   * the bound is dropped. */
  setLazyPortal(portal: number): void;
  /** Page-aligned memory that the network made itself. */
  allocate(bytes: number): Memory;
  /** A caller's own buffer: pinned by reference until `release`. */
  pin(bytes: Uint8Array): Memory;
  /** Checksum over segments as one run of bytes, in the wire's conventions (guide 12: crc32 = crc32_le seed ~0 without
   * final inversion as the kernel's bulk checksum has it, adler32 seed 1, crc32c seed ~0). `pageOffset` is that of the first
   * byte in its page: T10 types need it. */
  checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset?: number): number;
  /** The same on another thread. The memory must stay pinned until it has settled. */
  checksumLater(type: BulkChecksumName, segments: readonly Segment[], pageOffset?: number): Promise<number>;
  /** LNet ping. Rejects with ETIMEDOUT / ECONNREFUSED / EHOSTUNREACH, the NID named. */
  ping(nid: Nid, timeoutMs: number): Promise<PingResult>;
  /** Why the last connection attempt to or the last connection with `nid` failed, or undefined. */
  lastError(nid: Nid): Error | undefined;
  /** Called when all connections to a peer are gone; the reason is already in `lastError`. */
  onPeerDown(listener: (nid: Nid, reason: Error) => void): void;
  counters(): EndpointCounters;
  /** Closes connections and listeners; every descriptor gets its last event (status -ESHUTDOWN) first. */
  close(): Promise<void>;
}

export interface EndpointOptions {
  readonly nid: Nid;
  /** TCP port peers listen on and we connect to; default 988. */
  readonly port?: number;
  /** Listen for incoming connections on `port` at the NID's address (or `listen`); default true. */
  readonly accept?: boolean;
  /** Where to listen instead: `host:port`. Port 0 picks a free one (see `Endpoint` implementations). */
  readonly listen?: string;
  /** NID -> `host:port`, for NAT, tunnels, containers and tests. */
  readonly nidMap?: Readonly<Record<Nid, string>>;
  /** Connections of each bulk type that we open to a peer, 1 to 16; default by the speed of the link (conns-per-peer.ts). */
  readonly connsPerPeer?: number;
  /**
   * How long the caller's event loop looks for messages before it sleeps, microseconds, while they come in quick succession and
   * nobody else wants its core; 0 for never. Default 100. For the loop's statistics that is time at work.
   */
  readonly busyPollUs?: number;
  /** Seconds before a stalled connection is closed; default 50 (SOCKNAL_TIMEOUT_DEFAULT). */
  readonly socketTimeout?: number;
  /** Accept peers from unprivileged ports; default true (a user-space peer may have no others). */
  readonly acceptUnprivileged?: boolean;
}

export interface Network {
  open(options: EndpointOptions): Promise<Endpoint>;
}
