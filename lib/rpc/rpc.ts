/**
 * The shapes of an RPC, for both ends (guide 04): a request PUT, bulk where the operation has it, a reply PUT. Written
 * apart from what implements them so that imports, services, targets and locks can be read against one page.
 */
import type {
  BulkSegment,
  ChecksumName,
  Endpoint,
  FileRange,
  LnetEvent,
  Memory,
  Segment,
} from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import type { Bits64 } from '../wire/bits64.ts';
import type {
  Format,
  PtlrpcBody,
  ReplyInputs,
  ReplyValues,
  RequestInputs,
  RequestValues,
} from '../wire/format.ts';
import type { Message } from '../wire/message.ts';

export type { Endpoint, LnetEvent, Memory, Segment };

/** Bulk memory offered with a request. `sink`: the server PUTs into it (reads). `source`: the server GETs from it (writes).
 * Split into 1 MiB descriptors below; at most 16 MiB (guide 04 §3.3, §7). Where the endpoint moves files it may be bytes of those
 * instead, in the order in which they lie there. */
export interface Bulk<S extends BulkSegment = Segment> {
  readonly direction: 'sink' | 'source';
  readonly portal: number;
  readonly segments: readonly S[];
  /** For BRW: offset & 4095 of the first byte in its object. Kernels cut bulk at 256 pages, so an unaligned start makes the
   * first descriptor shorter, and both ends must cut at the same places. Default 0. */
  readonly pageOffset?: number;
  /** Of a sink, and of a source out of files: taken over what the server moves, as it comes and goes. */
  readonly checksum?: ChecksumName | undefined;
}

/** What a server has moved by bulk. */
export interface BulkMoved {
  readonly bytes: number;
  /** Over them, if it was asked for, else 0. */
  readonly checksum: number;
  /** Into a file: the errno of a write that failed (negative), else 0. */
  readonly fileError: number;
}

/** What a request makes at its server and the server has lost after a restart: an open file (guide 06 §2.2). */
export interface MadeState {
  /** The reply said that it is there. */
  readonly made: boolean;
  /** The server has made it again, and answered this. */
  remade(reply: object): void;
}

/** Bytes that stay as they were when the server got them, in the same memory or another. */
export interface KeptBulk {
  readonly segments: readonly Segment[];
  /** The server has them on disk. */
  release(): void;
}

export interface CallOptions {
  readonly bulk?: Bulk<BulkSegment>;
  readonly requestPortal?: number;
  readonly replyPortal?: number;
  /** For formats that several opcodes share; default the format's first. */
  readonly opcode?: number;
  /** Expected size of the reply's variable buffers, bytes; a longer reply costs a resend (guide 04 §4.3). */
  readonly replyRoom?: number;
  /** Occupies a modify slot and carries its tag (guide 04 §9). */
  readonly modifies?: boolean;
  /** Errnos (positive) that resolve instead of rejecting: `status` is then negative and `values` what came with it. */
  readonly accept?: readonly number[];
  /** Fail instead of resending when the connection is lost (pings, statfs, glimpse). */
  readonly noResend?: boolean;
  /** Fail with EAGAIN instead of waiting for the import to be FULL. */
  readonly noDelay?: boolean;
  /** Names for errors: what the caller was doing and on what. */
  readonly context?: { syscall?: string; path?: string; fid?: string };
  /** Ends the waiting; a request that was sent may still be carried out. */
  readonly signal?: AbortSignal;
  /** Buffers that are asked for anew whenever the request is sent or replayed: an open handle is another one once its server
   * was restarted. */
  readonly current?: () => object;
  /** The request as it is to be replayed, now that its reply is known (guide 06 §4.1), with bytes that nobody else uses; default
   * a copy. */
  readonly replayAs?: (request: object, reply: object) => object;
  /** The request is replayed until this is ended, however long its transaction is committed. */
  readonly makes?: MadeState;
  /** The request ends what another one made. */
  readonly ends?: MadeState;
  /** Never replayed: what it makes does not outlive a restart of its server. */
  readonly noReplay?: boolean;
  /** Holds what a bulk source has now, for a replay; undefined when it cannot. Without it the memory is the caller's again once
   * the call has resolved, and a server that loses what was in it does not get it back. */
  readonly keep?: () => KeptBulk | undefined;
  /** Called when the server has lost what it answered, and does not get it back. Without it all that the client has of that
   * server is void then. */
  readonly lost?: () => void;
}

/** A reply with status >= 0. Its buffers are the caller's own copy. */
export interface Reply<F extends Format> {
  readonly values: ReplyValues<F>;
  /** pb_status, >= 0: 301 etc. for locks, a byte count for OST_READ. */
  readonly status: number;
  readonly xid: number;
  readonly transno: bigint;
  /** Bytes that the server moved by bulk. */
  readonly bulkBytes: number;
  /** Over them, if the bulk asked for it, else 0. */
  readonly bulkChecksum?: number;
  /** As in LnetEvent: 0, or what a local file failed with. */
  readonly bulkFileError?: number;
}

/** Sends requests over one import (connection/) and retries, resends and reconnects as that import's rules say. */
export interface Caller {
  /** Rejects with a LustreError that names opcode, target and NID when the reply's status is negative. */
  call<F extends Format>(format: F, request: RequestInputs<F>, options?: CallOptions): Promise<Reply<F>>;
}

/** A request as a service sees it, unpacked and checked up to its ptlrpc_body: this one until it has been answered or dropped and
 * its handler's promise has settled, and then another. */
export interface IncomingRequest {
  /** Another number for each that the object is. */
  readonly turn: number;
  readonly peer: Nid;
  /** The local NID it was sent to. */
  readonly self: Nid;
  readonly portal: number;
  /** From the match bits (guide 04 §3.1). */
  readonly xid: Bits64;
  readonly opcode: number;
  readonly body: PtlrpcBody;
  /** Buffers are views that stay valid until the request has been answered. */
  readonly message: Message;
  readonly arrivedAt: number;
  /** When the client stops waiting (Runtime.now milliseconds); early replies move it. */
  readonly deadline: number;
  /** Match bits of the reply PUT and of the last bulk descriptor are pb_mbits instead of the XID where both ends agreed on
   * REP_MBITS and BULK_MBITS (guide 04 §3.2, §3.3). Called by who knows the export. */
  useMbits(reply: boolean, bulk: boolean): void;
  /** True once answered or dropped. */
  readonly answered: boolean;
  /** Decodes the buffers. Throws WireError. */
  decode<F extends Format>(format: F): RequestValues<F>;
  /** Answers; a second answer throws. */
  reply<F extends Format>(format: F, values: ReplyInputs<F>, options?: ReplyOptions): void;
  /** Answers with a negative status and only the body, as type ERR (guide 04 §4.4). Either sign of `errno`. */
  replyError(errno: number): void;
  /** Answers with the bytes of an earlier reply (reconstruction, guide 06 §7.3). */
  replyAgain(bytes: Uint8Array): void;
  /** Gives no answer: the client times out and resends. */
  drop(reason: string): void;
  /** Pulls the client's bulk source into memory (GET); resolves with the bytes moved when all is there. `brwSize` (bytes,
   * default 1 MiB) is the largest bulk the request could have announced: (ioo_max_brw + 1) MiB for BRW, 1 MiB else.
   * `pageOffset` as in Bulk; `checksum` is taken over the bytes as they come. Rejects with a BulkError, after which the
   * request is dropped without reply (guide 04 §7). */
  bulkGet(
    portal: number,
    segments: readonly Segment[],
    brwSize?: number,
    pageOffset?: number,
    checksum?: ChecksumName,
  ): Promise<BulkMoved>;
  /** The same into a file, written and summed as the bytes come. Rejects with the file's own error where it cannot be written;
   * the client's source is used up then. The descriptor must stay open meanwhile. */
  bulkGetFile(portal: number, file: FileRange, brwSize?: number, pageOffset?: number): Promise<number>;
  /** Ends the bulk under way, and what would follow it: it rejects. Nothing is written into a file any more when this returns. */
  abortBulk(reason: Error): void;
  /** Pushes memory into the client's bulk sink (PUT with ACK), all descriptors even where there is nothing to send; resolves
   * when all is acknowledged. `segments` may be empty. */
  bulkPut(portal: number, segments: readonly Segment[], brwSize?: number, pageOffset?: number): Promise<void>;
  /** Whether `bulkPutFile` and `bulkGetFile` can be used. */
  readonly movesFiles: boolean;
  /** `bulkPut` out of a file, which is read as it is sent. Resolves with the checksum that the range asks for, else 0. The
   * descriptor must stay open meanwhile. */
  bulkPutFile(portal: number, file: FileRange, brwSize?: number, pageOffset?: number): Promise<number>;
}

export interface ReplyKeeper {
  keep(tag: number, xid: Bits64, bytes: Uint8Array): void;
}

export interface ReplyOptions {
  /** Keeps the reply's bytes as sent, to answer a resend; they are valid only during its call. */
  readonly keptBy?: ReplyKeeper | undefined;
  /** pb_status; default 0. Negative errno or a positive LDLM code. */
  readonly status?: number | undefined;
  readonly transno?: bigint | undefined;
  readonly lastCommitted?: bigint | undefined;
  /** Export cookie in a connect reply. */
  readonly handle?: bigint | undefined;
  readonly opFlags?: number | undefined;
  readonly flags?: number | undefined;
  readonly versions?: readonly bigint[] | undefined;
  readonly slv?: bigint | undefined;
  readonly limit?: number | undefined;
}
