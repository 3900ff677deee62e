/** OST_READ (guide 12 §5): pb_status is the number of bytes, short at the end of the object. */
import type { Call, Operation } from '../../connection/target.ts';
import type { BulkChecksumName, FileExtent, Segment } from '../../lnet/network.ts';
import { ofParts } from '../../lnet/t10.ts';
import { bytesOfFile } from '../../rpc/bulk-pieces.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { RQF_OST_BRW_READ } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { Portal } from '../../wire/opcodes.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import { operation } from '../operation.ts';
import { type BrwRequest, checkBrw, pageOffsetOf, underLock } from './brw-request.ts';
import { checksumOfNiobufs } from './bulk-checksum.ts';
import { sliceSegments } from './bulk-memory.ts';
import { asFileTransfer } from './file-transfers.ts';
import { extentsOf } from './niobuf-extents.ts';
import { checksumOf, flagsWithChecksum, hasFlag, type OstBodyInput } from './object-request.ts';
import type { OstContext } from './ost-context.ts';

type ReadCall = Call<typeof RQF_OST_BRW_READ>;

interface Done {
  readonly bytes: number;
  readonly checksum: number;
}

/** What was read: `segments` hold `bytes`, those of all niobufs one after the other. */
interface ReadResult extends Done {
  readonly segments: readonly Segment[];
}

export function ostRead(ost: OstContext): Operation {
  return operation(RQF_OST_BRW_READ, async (call) => {
    const brw = checkBrw(call, ost);
    // An empty request that only keeps locks alive (guide 12 §5.7).
    if (hasFlag(brw.oa, ObdoFlag.OBD_FL_NORPC)) return call.reply({ ost_body: { oa: brw.oa } });
    await underLock(ost, call, brw, 'read', () =>
      brw.short ? shortRead(ost, call, brw) : bulkRead(ost, call, brw),
    );
  });
}

async function shortRead(ost: OstContext, call: ReadCall, brw: BrwRequest): Promise<void> {
  const bytes = new Uint8Array(brw.bytes);
  const memory = { bytes, release: () => undefined };
  const type = checksumOf(brw.oa);
  const result = await readNiobufs(ost, brw, [{ memory, offset: 0, length: brw.bytes }], type);
  ost.moved.read.messages += result.bytes;
  call.reply(
    { ost_body: replyBody(ost, call, brw, result, type), short_io: bytes.subarray(0, result.bytes) },
    { status: result.bytes },
  );
}

async function bulkRead(ost: OstContext, call: ReadCall, brw: BrwRequest): Promise<void> {
  const type = checksumOf(brw.oa);
  const sendable = call.request.movesFiles && ost.store.withFile !== undefined && ofParts(type) === type;
  const extents = sendable ? extentsOf(brw.niobufs) : undefined;
  if (extents !== undefined)
    return asFileTransfer(call.export, call.request, () => fileRead(ost, call, brw, extents));
  const buffer = await ost.memory.take(brw.bytes);
  try {
    const result = await readNiobufs(ost, brw, buffer.segments, type);
    await call.request.bulkPut(Portal.OST_BULK_PORTAL, result.segments, brw.brwSize, pageOffsetOf(brw));
    ost.moved.read.slabs += result.bytes;
    call.reply({ ost_body: replyBody(ost, call, brw, result, type) }, { status: result.bytes });
  } finally {
    buffer.release();
  }
}

/** The same straight out of the object's file, without memory of ours. */
async function fileRead(
  ost: OstContext,
  call: ReadCall,
  brw: BrwRequest,
  extents: readonly FileExtent[],
): Promise<void> {
  const { id } = brw.object;
  const type = ofParts(checksumOf(brw.oa));
  if (!ost.store.exists(id)) throw errnoError(Errno.ENOENT, { syscall: 'read' });
  await ost.store.withFile!(id, extents, async (file) => {
    const range = { ...file, ...(type !== undefined && { checksum: type }) };
    const pageOffset = pageOffsetOf(brw);
    const checksum = await call.request.bulkPutFile(Portal.OST_BULK_PORTAL, range, brw.brwSize, pageOffset);
    const done = { bytes: bytesOfFile(file), checksum };
    ost.moved.read.straight += done.bytes;
    call.reply({ ost_body: replyBody(ost, call, brw, done, type) }, { status: done.bytes });
  });
}

/** Fills `room` with the niobufs' bytes without gaps; ends at the object's end. */
async function readNiobufs(
  ost: OstContext,
  brw: BrwRequest,
  room: readonly Segment[],
  type: BulkChecksumName | undefined,
): Promise<ReadResult> {
  const { id } = brw.object;
  if (!ost.store.exists(id)) throw errnoError(Errno.ENOENT, { syscall: 'read' });
  const [only] = brw.niobufs;
  const asItGoes = ofParts(type);
  if (brw.niobufs.length === 1 && only !== undefined && asItGoes === type) {
    const { bytes, checksum } = await ost.store.read(id, only.rnb_offset, room, asItGoes);
    return { segments: sliceSegments(room, 0, bytes), bytes, checksum };
  }
  let total = 0;
  for (const niobuf of brw.niobufs) {
    const part = sliceSegments(room, total, niobuf.rnb_len);
    const { bytes } = await ost.store.read(id, niobuf.rnb_offset, part);
    total += bytes;
    if (bytes < niobuf.rnb_len) break;
  }
  const segments = sliceSegments(room, 0, total);
  return {
    segments,
    bytes: total,
    checksum: type === undefined ? 0 : await checksumOfNiobufs(ost.store, type, brw.niobufs, segments),
  };
}

/** The request's obdo with the checksum; of grants only what was not taken back (guide 12 §5.4, §7). */
function replyBody(
  ost: OstContext,
  call: ReadCall,
  brw: BrwRequest,
  result: Done,
  type: BulkChecksumName | undefined,
): OstBodyInput {
  const { oa } = brw;
  const grant = ost.grants.read(call.export.clientUuid, oa, ost.space.availableBytes);
  const checksum = type === undefined ? 0n : MdValid.OBD_MD_FLCKSUM | MdValid.OBD_MD_FLFLAGS;
  return {
    oa: {
      ...oa,
      o_oi: { oi_fid: brw.object.fid },
      o_valid: checksum | (oa.o_valid & MdValid.OBD_MD_FLGRANT),
      o_flags: flagsWithChecksum(oa.o_flags, type),
      o_nlink: result.checksum,
      o_grant: BigInt(grant),
    },
  };
}
