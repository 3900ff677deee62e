/** OST_WRITE (guide 12 §5): one RPC's worth of bytes under a PW lock, by bulk or inside the message. */
import type { BulkSegment } from '../../lnet/network.ts';
import { ofParts } from '../../lnet/t10.ts';
import type { KeptBulk } from '../../rpc/rpc.ts';
import { errnoError, ProtocolError } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_BRW_WRITE } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { BrwFlag } from '../../wire/ost-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import {
  brwRequest,
  ChecksumMismatch,
  inMemory,
  isShortIo,
  localFailed,
  NotStraight,
  type Part,
  slotsOf,
  sumOf,
  tryBrw,
} from './brw.ts';
import { layoutVersion, ownerFields } from './obdo.ts';
import type { Owner, StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_BULK_PORTAL } from './target.ts';

export interface Write {
  readonly object: StripeObject;
  readonly part: Part<BulkSegment>;
  /** Undefined: the server takes a lock of its own. */
  readonly lockHandle: bigint | undefined;
  readonly owner: Owner;
  /** Seconds: the new mtime and ctime. */
  readonly time: bigint;
  /** The server answers when it has them on disk, and refuses what a quota does not allow. */
  readonly synchronous?: boolean;
  /** Grant that was set aside for these bytes; the first RPC that goes takes it over. */
  readonly reserved?: { bytes: number };
  /** Holds the bytes as they are until the server has them on disk; where it cannot, they are the caller's once written. */
  readonly keep?: () => KeptBulk | undefined;
  /** Called when the server answered, and has lost the bytes before they were on disk. */
  readonly lost: () => void;
}

export interface WriteRequestArguments extends Omit<Write, 'keep' | 'lost'> {
  readonly granted: ObjectTarget['granted'];
  readonly announced: { o_blocks: bigint; o_grant: bigint; o_mode: number };
  /** Grant that this RPC spends; 0 when it takes free space. */
  readonly grantUsed: number;
  readonly checksum?: { readonly type: NonNullable<ObjectTarget['checksum']>; readonly value: number };
  readonly shortIo: boolean;
  readonly resend: boolean;
}

export function writeRequest(w: WriteRequestArguments): RequestInputs<typeof RQF_OST_BRW_WRITE> {
  // ASYNC: the server may answer before it has committed; sync() is what makes data durable.
  const niobufFlags =
    (w.synchronous === true ? BrwFlag.OBD_BRW_SYNC : BrwFlag.OBD_BRW_ASYNC) |
    (w.grantUsed > 0 ? BrwFlag.OBD_BRW_FROM_GRANT : 0) |
    (w.owner.privileged ? BrwFlag.OBD_BRW_SYS_RESOURCE : 0);
  const version = layoutVersion(w.object);
  const common = brwRequest(
    w.granted,
    w.announced,
    {
      object: w.object,
      part: w.part,
      lockHandle: w.lockHandle,
      valid: MdValid.OBD_MD_FLMTIME | MdValid.OBD_MD_FLCTIME | MdValid.OBD_MD_FLPROJID | version.valid,
      niobufFlags,
      checksum: w.checksum?.type,
      shortIo: w.shortIo,
      resend: w.resend,
    },
    {
      o_mtime: w.time,
      o_ctime: w.time,
      ...ownerFields(w.object, w.owner),
      o_nlink: w.checksum?.value ?? 0,
      o_data_version: BigInt(w.grantUsed),
      ...version.fields,
    },
  );
  return { ...common, short_io: w.shortIo ? gather(inMemory(w.part)) : new Uint8Array(0) };
}

export interface Written {
  /** The attributes after it. */
  readonly oa: Obdo;
  readonly transno: bigint;
  /** The server may lose the bytes, and would not get them back: nothing keeps them. */
  readonly unkept: boolean;
}

/** Rejects with ENOSPC, EDQUOT, ENOENT ... */
export async function write(ost: ObjectTarget, w: Write, options: RequestOptions = {}): Promise<Written> {
  return slotsOf(ost, w).run(() => tryBrw(ost, (resend) => attempt(ost, w, resend, options)));
}

async function attempt(
  ost: ObjectTarget,
  w: Write,
  resend: boolean,
  options: RequestOptions,
): Promise<Written> {
  const { segments, offset, length } = w.part;
  const local = inMemory(w.part) === undefined;
  const shortIo = !local && isShortIo(ost.granted, length);
  const type = ost.checksum;
  // It goes in the request, so it is taken before.
  const value = type === undefined ? 0 : await sumOf(ost, type, w);
  if (w.reserved !== undefined) {
    ost.grant.unreserve(w.reserved.bytes);
    w.reserved.bytes = 0;
  }
  const announced = ost.grant.announce();
  const grants = (ost.granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_GRANT) !== 0n;
  const grantUsed = grants && w.synchronous !== true ? ost.grant.take(offset, length) : 0;
  const request = writeRequest({
    ...w,
    granted: ost.granted,
    announced: {
      ...announced,
      o_blocks: announced.o_blocks + BigInt(grantUsed),
      o_grant: announced.o_grant - BigInt(grantUsed),
    },
    grantUsed,
    ...(type !== undefined && { checksum: { type, value } }),
    shortIo,
    resend,
  });
  let more = 0;
  let done = false;
  let kept = shortIo;
  const keep = (): KeptBulk | undefined => {
    const held = w.keep?.();
    kept ||= held !== undefined;
    return held;
  };
  try {
    const reply = await ost.caller.call(RQF_OST_BRW_WRITE, request, {
      requestPortal: ost.ioPortal,
      ...(!shortIo && {
        bulk: {
          direction: 'source',
          portal: OST_BULK_PORTAL,
          segments,
          pageOffset: offset % 4096,
          checksum: local ? ofParts(type) : undefined,
        } as const,
      }),
      keep,
      lost: w.lost,
      ...requestOptions(options),
    });
    done = true;
    const { oa } = required(reply.values, 'ost_body');
    if ((oa.o_valid & MdValid.OBD_MD_FLGRANT) !== 0n) more = Number(oa.o_grant & 0xffff_ffffn);
    ost.quota.answered(oa, reply.transno);
    checkWritten(ost, reply.values.rcs ?? [], w);
    if (local && (reply.bulkFileError ?? 0) !== 0) throw localFailed('read', segments, reply.bulkFileError!);
    if (local && type !== undefined && reply.bulkChecksum !== value)
      throw new NotStraight(`the local file changed while the write at ${offset} was sent`);
    const answered = (oa.o_valid & MdValid.OBD_MD_FLCKSUM) !== 0n;
    if (type !== undefined && answered && oa.o_nlink !== value) {
      throw new ChecksumMismatch(
        `${type} of the write at ${offset} is ${hex(value)} here, ${hex(oa.o_nlink)} there`,
      );
    }
    const { lastCommitted, replayable } = ost.committed;
    const unkept = replayable && !kept && reply.transno > lastCommitted;
    return { oa, transno: reply.transno, unkept };
  } finally {
    if (done) ost.grant.settle(grantUsed, more);
    else ost.grant.giveBack(grantUsed);
  }
}

/** One result per niobuf: 0, or a negative errno. */
function checkWritten(ost: ObjectTarget, rcs: readonly number[], w: Write): void {
  for (const rc of rcs) {
    const status = rc | 0;
    if (status < 0)
      throw errnoError(status, { syscall: 'write', target: ost.name, nid: ost.nid, opcode: 'OST_WRITE' });
    if (status > 0)
      throw new ProtocolError('EPROTO', `a write at ${w.part.offset} was answered with ${status}`, {
        target: ost.name,
      });
  }
}

/** Short I/O goes inside the message, so these few bytes are copied. */
function gather(part: Part | undefined): Uint8Array {
  const bytes = new Uint8Array(part?.length ?? 0);
  let at = 0;
  for (const { memory, offset, length } of part?.segments ?? []) {
    bytes.set(memory.bytes.subarray(offset, offset + length), at);
    at += length;
  }
  return bytes;
}

const hex = (n: number): string => `0x${(n >>> 0).toString(16)}`;
