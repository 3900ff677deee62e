/**
 * What OST_READ and OST_WRITE have in common (guide 12 §5): the request's obdo, object and range, how a run is cut into
 * RPCs, and how often one is tried.
 */

import { fidToOstId } from '../../fid/ost-id.ts';
import { checksumFlag } from '../../lnet/checksum-types.ts';
import { checksumFile } from '../../lnet/native-storage.ts';
import type { BulkChecksumName, BulkSegment, FileSegment, Segment } from '../../lnet/network.ts';
import { ofParts } from '../../lnet/t10.ts';
import { partOf } from '../../rpc/bulk-pieces.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { RequestInputs } from '../../wire/format.ts';
import type { RQF_OST_BRW_READ } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../wire/ost-constants.ts';
import { stripeObdo } from './obdo.ts';
import type { Slots } from './slots.ts';
import type { StripeObject } from './stripe-object.ts';
import type { ObjectTarget } from './target.ts';

const PAGE = 4096;
const MIB = 1 << 20;
/** Most bytes in one RPC whatever was negotiated. */
export const RPC_MAX: number = 16 * MIB;
/** Most bytes that travel inside the messages: the kernel's default. */
const SHORT_IO_MAX = 16384;
/** ioo_max_brw of short I/O: (0 - 1) << 16 (guide 12 §5.1). */
const SHORT_IO_MAX_BRW = 0xffff_0000;
const TRIES = 10;
/** Below it a checksum costs less than to hand it over, bytes. */
const ASIDE_MIN = 256 << 10;
/** Above it nothing else should wait for one, bytes. */
const LONE_MAX = 1 << 20;

/** One RPC's part of a run. */
export interface Part<S extends BulkSegment = Segment> {
  readonly offset: number;
  readonly length: number;
  readonly segments: readonly S[];
}

export interface BrwArguments {
  readonly object: StripeObject;
  readonly part: Part<BulkSegment>;
  /** Server handle of the lock that covers the range; undefined: the server takes one of its own. */
  readonly lockHandle: bigint | undefined;
  /** obdo bits of the operation itself, times for one. */
  readonly valid: bigint;
  readonly niobufFlags: number;
  readonly checksum: BulkChecksumName | undefined;
  readonly shortIo: boolean;
  readonly resend: boolean;
}

/** What waits for a lock of the server's may wait for bytes of ours to be written: it takes none of their slots. */
export function slotsOf(ost: ObjectTarget, { lockHandle }: Pick<BrwArguments, 'lockHandle'>): Slots {
  return lockHandle === undefined ? ost.locklessSlots : ost.slots;
}

/** Bytes of one RPC to this target. */
export function rpcSize(granted: ObjectTarget['granted']): number {
  const size =
    (granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_BRW_SIZE) === 0n ? MIB : granted.ocd_brw_size;
  return Math.max(PAGE, Math.min(size, RPC_MAX));
}

export function isShortIo(granted: ObjectTarget['granted'], length: number): boolean {
  return (granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_SHORTIO) !== 0n && length <= SHORT_IO_MAX;
}

/**
 * Cuts a run into RPCs. One that does not begin on a page ends at the next MiB, so that it fits one descriptor: with a
 * partial first page both sides would have to cut later ones at odd places (guide 12 §5.3).
 */
export function cutRun<S extends BulkSegment>(
  offset: number,
  segments: readonly S[],
  size: number,
): Part<S>[] {
  const total = segments.reduce((sum, segment) => sum + segment.length, 0);
  const parts: Part<S>[] = [];
  const source = new SegmentCursor(segments);
  for (let at = offset; at < offset + total; ) {
    const room = at % PAGE === 0 ? size : Math.min(size, MIB - (at % MIB));
    const length = Math.min(room, offset + total - at);
    parts.push({ offset: at, length, segments: source.take(length) });
    at += length;
  }
  return parts;
}

/** Walks a list of segments. */
class SegmentCursor<S extends BulkSegment> {
  readonly #segments: readonly S[];
  #index = 0;
  #used = 0;

  constructor(segments: readonly S[]) {
    this.#segments = segments;
  }

  take(length: number): S[] {
    const taken: S[] = [];
    while (length > 0) {
      const segment = this.#segments[this.#index]!;
      const part = Math.min(length, segment.length - this.#used);
      if (part > 0) taken.push(partOf(segment, segment.offset + this.#used, part));
      length -= part;
      this.#used += part;
      if (this.#used === segment.length) {
        this.#index++;
        this.#used = 0;
      }
    }
    return taken;
  }
}

/** Shortens a list of segments to its first `length` bytes. */
export function headOf<S extends BulkSegment>(segments: readonly S[], length: number): S[] {
  return new SegmentCursor(segments).take(length);
}

/** A part that is in memory, or undefined for one of a local file. */
export function inMemory(part: Part<BulkSegment>): Part | undefined {
  return isInMemory(part) ? part : undefined;
}

const isInMemory = (part: Part<BulkSegment>): part is Part => part.segments.every(isMemory);

const isMemory = (segment: BulkSegment): segment is Segment => 'memory' in segment;
const isFile = (segment: BulkSegment): segment is FileSegment => 'file' in segment;

/** The checksum of a part's first `length` bytes: on another thread where other RPCs are under way meanwhile. A lone one would
 * only wait longer. Of a local file: read for it a piece at a time. */
export function sumOf(
  ost: ObjectTarget,
  type: BulkChecksumName,
  { part: wanted, lockHandle }: Pick<BrwArguments, 'part' | 'lockHandle'>,
  length: number = wanted.length,
): number | Promise<number> {
  const part = inMemory(wanted);
  if (part === undefined) return sumOfFile(type, headOf(wanted.segments.filter(isFile), length), length);
  const segments = length === part.length ? part.segments : headOf(part.segments, length);
  const pageOffset = part.offset % PAGE;
  const aside = length >= ASIDE_MIN && (slotsOf(ost, { lockHandle }).inUse > 1 || length > LONE_MAX);
  return aside
    ? ost.endpoint.checksumLater(type, segments, pageOffset)
    : ost.endpoint.checksum(type, segments, pageOffset);
}

async function sumOfFile(
  type: BulkChecksumName,
  segments: readonly FileSegment[],
  length: number,
): Promise<number> {
  const taken = ofParts(type);
  if (taken === undefined) throw new NotStraight(`${type} is not taken of local files`);
  const { bytes, checksum } = await checksumFile(taken, segments);
  if (bytes < length) throw localFailed('read', segments, -Errno.ENODATA);
  return checksum;
}

type BrwRequest = Pick<RequestInputs<typeof RQF_OST_BRW_READ>, 'ost_body' | 'obd_ioobj' | 'niobuf_remote'>;

/** Buffers 1 to 3 of either request. `extra` are the fields of obdo that only one of them has. */
export function brwRequest(
  granted: ObjectTarget['granted'],
  announced: { o_blocks: bigint; o_grant: bigint; o_mode: number },
  a: BrwArguments,
  extra: Record<string, number | bigint>,
): BrwRequest {
  const { OBD_MD_FLFLAGS, OBD_MD_FLHANDLE, OBD_MD_FLCKSUM, OBD_MD_FLGRANT, OBD_MD_FLBLOCKS } = MdValid;
  const flags =
    (a.checksum === undefined ? 0 : checksumFlag(a.checksum)) |
    (a.shortIo ? ObdoFlag.OBD_FL_SHORT_IO : 0) |
    (a.resend ? ObdoFlag.OBD_FL_RECOV_RESEND : 0);
  const valid =
    a.valid |
    OBD_MD_FLFLAGS |
    (a.lockHandle === undefined ? 0n : OBD_MD_FLHANDLE) |
    OBD_MD_FLBLOCKS |
    OBD_MD_FLGRANT |
    MdValid.OBD_MD_FLTYPE |
    MdValid.OBD_MD_FLUID |
    MdValid.OBD_MD_FLGID |
    (a.checksum === undefined ? 0n : OBD_MD_FLCKSUM);
  const serverLock = a.lockHandle === undefined ? BrwFlag.OBD_BRW_SRVLOCK : 0;
  const pieces = Math.max(1, Math.floor(rpcSize(granted) / MIB));
  return {
    ost_body: {
      oa: {
        ...stripeObdo(a.object, valid),
        ...announced,
        ...extra,
        o_flags: flags,
        o_handle: a.lockHandle ?? 0n,
      },
    },
    obd_ioobj: [
      {
        ioo_oid: fidToOstId(a.object.fid),
        ioo_max_brw: a.shortIo ? SHORT_IO_MAX_BRW : (pieces - 1) << 16,
        ioo_bufcnt: 1,
      },
    ],
    niobuf_remote: [
      { rnb_offset: BigInt(a.part.offset), rnb_len: a.part.length, rnb_flags: a.niobufFlags | serverLock },
    ],
  };
}

/** Bytes cannot go straight between a server and a local file, or what became of them is not known: through memory then. */
export class NotStraight extends Error {}

/** What a local file failed with, a negative errno. */
export function localFailed(
  syscall: 'read' | 'write',
  segments: readonly BulkSegment[],
  errno: number,
): LustreError {
  const path = segments.find(isFile)?.file.path;
  if (errno !== -Errno.ENODATA) return errnoError(errno, { syscall, path });
  return new LustreError(
    'EIO',
    'the local file became shorter while it was copied',
    { syscall, path, hint: 'The copy may have zeroes there: copy it again when nobody changes it' },
    -Errno.EIO,
  );
}

/** The bytes on the other side were not those that were sent. */
export class ChecksumMismatch extends Error {}

/** Tries a data RPC until it is done: what the server could not do now, and bytes that arrived damaged, go again with
 * growing pauses; all else is the caller's. */
export async function tryBrw<T>(
  ost: ObjectTarget,
  attempt: (resend: boolean) => Promise<T>,
  once = false,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(tries > 1);
    } catch (error) {
      const mismatch = error instanceof ChecksumMismatch;
      const code = (error as LustreError).code;
      if (mismatch) ost.counters.checksumErrors++;
      const later = code === 'EINPROGRESS';
      if (once && !mismatch) throw error;
      if (!later && !mismatch && code !== 'EAGAIN' && code !== 'ENOMEM') throw error;
      if (!later && tries >= TRIES) {
        if (!mismatch) throw error;
        throw new LustreError(
          'EIO',
          `bytes to or from ${ost.name} arrived damaged ${TRIES} times: ${(error as Error).message}`,
          { target: ost.name, nid: ost.nid },
          -Errno.EIO,
        );
      }
      ost.counters.resends++;
      ost.runtime.log.warn({ target: ost.name, nid: ost.nid, tries, error }, 'data RPC goes again');
    }
    await new Promise<void>((resolve) => ost.runtime.after(Math.min(tries - 1, 10) * 1000, resolve));
  }
}
