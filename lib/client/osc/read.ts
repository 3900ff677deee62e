/** OST_READ (guide 12 §5): one RPC's worth of bytes under a lock, by bulk or inside the message. */

import { checksumOfFlags } from '../../lnet/checksum-types.ts';
import type { BulkSegment } from '../../lnet/network.ts';
import { ofParts } from '../../lnet/t10.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_BRW_READ } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { BrwFlag } from '../../wire/ost-constants.ts';
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
import { ownerFields } from './obdo.ts';
import type { Owner, StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_BULK_PORTAL } from './target.ts';

export interface Read {
  readonly object: StripeObject;
  readonly part: Part<BulkSegment>;
  /** Undefined: the server takes a lock of its own. */
  readonly lockHandle: bigint | undefined;
  readonly owner: Owner;
  /** Seconds: the new atime. */
  readonly time: bigint;
}

export interface ReadRequestArguments extends Read {
  readonly granted: ObjectTarget['granted'];
  readonly announced: { o_blocks: bigint; o_grant: bigint; o_mode: number };
  readonly checksum: ObjectTarget['checksum'];
  readonly shortIo: boolean;
  readonly resend: boolean;
}

export function readRequest(r: ReadRequestArguments): RequestInputs<typeof RQF_OST_BRW_READ> {
  const { o_uid, o_gid } = ownerFields(r.object, r.owner);
  const common = brwRequest(
    r.granted,
    r.announced,
    {
      object: r.object,
      part: r.part,
      lockHandle: r.lockHandle,
      valid: MdValid.OBD_MD_FLATIME | MdValid.OBD_MD_FLMTIME | MdValid.OBD_MD_FLCTIME,
      niobufFlags:
        BrwFlag.OBD_BRW_READ | BrwFlag.OBD_BRW_SYNC | (r.owner.privileged ? BrwFlag.OBD_BRW_SYS_RESOURCE : 0),
      checksum: r.checksum,
      shortIo: r.shortIo,
      resend: r.resend,
    },
    { o_atime: r.time, o_uid, o_gid },
  );
  return { ...common, short_io: new Uint8Array(0) };
}

/** How many bytes were there; what lies behind them in the segments is untouched. Kernels count whole pages, so the end of
 * the file is known from the LVB, never from this. */
export async function read(ost: ObjectTarget, r: Read, options: RequestOptions = {}): Promise<number> {
  return slotsOf(ost, r).run(() =>
    tryBrw(ost, (resend) => attempt(ost, r, resend, options), options.failFast),
  );
}

async function attempt(
  ost: ObjectTarget,
  r: Read,
  resend: boolean,
  options: RequestOptions,
): Promise<number> {
  const { segments, length } = r.part;
  const memory = inMemory(r.part);
  const shortIo = memory !== undefined && isShortIo(ost.granted, length);
  const type = ost.checksum;
  const summed = ofParts(type);
  if (memory === undefined && type !== summed) throw new NotStraight(`${type} is not taken of local files`);
  const request = readRequest({
    ...r,
    granted: ost.granted,
    announced: ost.grant.announce(),
    checksum: type,
    shortIo,
    resend,
  });
  const reply = await ost.caller.call(RQF_OST_BRW_READ, request, {
    requestPortal: ost.ioPortal,
    ...(shortIo
      ? { replyRoom: length }
      : {
          bulk: {
            direction: 'sink',
            portal: OST_BULK_PORTAL,
            segments,
            pageOffset: r.part.offset % 4096,
            checksum: summed,
          } as const,
        }),
    ...requestOptions(options),
  });
  const { oa } = required(reply.values, 'ost_body');
  if ((oa.o_valid & MdValid.OBD_MD_FLGRANT) !== 0n) ost.grant.settle(0, Number(oa.o_grant & 0xffff_ffffn));
  const short = reply.values.short_io ?? new Uint8Array(0);
  const moved = shortIo ? short.length : reply.bulkBytes;
  if (reply.status !== moved || moved > length) {
    throw new ProtocolError('EPROTO', `a read of ${length} bytes brought ${moved} and says ${reply.status}`, {
      target: ost.name,
      nid: ost.nid,
      opcode: 'OST_READ',
    });
  }
  if ((reply.bulkFileError ?? 0) !== 0) throw localFailed('write', segments, reply.bulkFileError!);
  if (shortIo) scatter(short, memory);
  const wanted = type === undefined || (oa.o_valid & MdValid.OBD_MD_FLCKSUM) === 0n ? undefined : oa.o_nlink;
  if (wanted === undefined) return moved;
  const used = checksumOfFlags(oa.o_flags);
  const asItCame = !shortIo && summed !== undefined && used === summed ? reply.bulkChecksum : undefined;
  if (memory === undefined && asItCame === undefined)
    throw new NotStraight(`the read at ${r.part.offset} was summed with ${used ?? 'an unknown checksum'}`);
  const have = asItCame ?? (used === undefined ? undefined : await sumOf(ost, used, r, moved));
  if (have !== wanted) {
    throw new ChecksumMismatch(
      `${used ?? 'an unknown checksum'} of the read at ${r.part.offset} is 0x${(have ?? 0).toString(16)} here, 0x${wanted.toString(16)} there`,
    );
  }
  return moved;
}

function scatter(bytes: Uint8Array, part: Part): void {
  let at = 0;
  for (const { memory, offset, length } of part.segments) {
    memory.bytes.set(bytes.subarray(at, at + length), offset);
    at += length;
    if (at >= bytes.length) return;
  }
}
