/**
 * OST_WRITE (guide 12 §5.8): lock, grant, data, checksum, owner, times, transaction. A checksum that differs is the client's
 * to find: the data is written, the reply carries what we computed, and the client sends it again.
 */
import type { Call, Operation } from '../../connection/target.ts';
import type { BulkChecksumName, Segment } from '../../lnet/network.ts';
import { ofParts } from '../../lnet/t10.ts';
import { Errno, errnoOf } from '../../runtime/errors.ts';
import { RQF_OST_BRW_WRITE } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { Portal } from '../../wire/opcodes.ts';
import { BrwFlag } from '../../wire/ost-constants.ts';
import type { NiobufRemote, Obdo } from '../../wire/ost-structs.ts';
import { MsgFlag } from '../../wire/ptlrpc-constants.ts';
import { operation } from '../operation.ts';
import type { ObjectAttributes, ObjectId, StoredAttributes } from '../store/object-store.ts';
import { type BrwRequest, checkBrw, pageOffsetOf, underLock } from './brw-request.ts';
import { checksumOfNiobufs } from './bulk-checksum.ts';
import { sliceSegments } from './bulk-memory.ts';
import { asFileTransfer, refuseGone } from './file-transfers.ts';
import type { WriteCharge } from './grants.ts';
import { withLayoutVersion } from './layout-version.ts';
import { extentsOf } from './niobuf-extents.ts';
import {
  ATTRIBUTES_VALID,
  attributeFields,
  checksumOf,
  flagsWithChecksum,
  hasValid,
  type OstBodyInput,
  ownershipOf,
  protocolError,
  refuseReadOnly,
  timesOf,
} from './object-request.ts';
import type { OstContext } from './ost-context.ts';
import { timesAreNewer } from './time-order.ts';

type WriteCall = Call<typeof RQF_OST_BRW_WRITE>;

export function ostWrite(ost: OstContext): Operation {
  return operation(RQF_OST_BRW_WRITE, async (call) => {
    refuseReadOnly(call.export);
    const checked = checkBrw(call, ost);
    const again = MsgFlag.MSG_RESENT | MsgFlag.MSG_REPLAY;
    // What comes again was accounted for when it came first.
    const brw =
      (call.request.body.pb_flags & again) === 0
        ? checked
        : { ...checked, oa: { ...checked.oa, o_valid: checked.oa.o_valid & ~MdValid.OBD_MD_FLGRANT } };
    await underLock(ost, call, brw, 'write', () => chargedWrite(ost, call, brw));
  });
}

async function chargedWrite(ost: OstContext, call: WriteCall, brw: BrwRequest): Promise<void> {
  const client = call.export.clientUuid;
  const charge = ost.grants.charge(client, brw.oa, brw.niobufs, ost.space.availableBytes);
  let settled = false;
  const settle = (): void => {
    if (!settled) ost.grants.settle(client, charge);
    settled = true;
  };
  try {
    const attributes = await ost.store.getAttributes(brw.object.id);
    const parent = withLayoutVersion(brw.oa, attributes);
    const allowed = await allowedNiobufs(ost, brw, charge);
    const straight = straightIntoFile(ost, call, brw, allowed);
    const way = straight !== undefined ? 'straight' : brw.short ? 'messages' : 'slabs';
    const finish = async (written: Pick<Written, 'checksum' | 'rcs'>): Promise<void> => {
      ost.space.wrote(brw.bytes);
      ost.moved.written[way] += brw.bytes;
      settle();
      await answer(ost, call, brw, { ...written, attributes, parent });
    };
    if (straight !== undefined) await finish(await straight());
    else
      await withData(ost, call, brw, async (segments, checksum) =>
        finish(await writeNiobufs(ost, brw, allowed, segments, checksum)),
      );
  } catch (error) {
    settle();
    // Grant and quota flags count even when the write failed, so the obdo is there (guide 12 §5.4).
    if (!isFailedOperation(error)) throw error;
    const rcs = brw.niobufs.map(() => 0);
    call.fail(errnoOf(error), { ost_body: { oa: { ...brw.oa, o_grant: 0n } }, rcs });
  }
}

/** Errors of the object or the disk; others (bulk, protocol) go their own way. */
function isFailedOperation(error: unknown): boolean {
  const errnos: readonly number[] = [Errno.ENOENT, Errno.ENOSPC, Errno.EDQUOT, Errno.ESTALE, Errno.EFBIG];
  return errnos.includes(errnoOf(error)) && (error as Error).name === 'LustreError';
}

/**
 * How the bytes go from the socket into the object's file, without memory of ours; undefined where they cannot. What came before the
 * bulk broke off stays in the file, as a kernel's half of a write may: the client sends all of it again, and its lock, or
 * the one taken for it, keeps readers from it until then.
 */
function straightIntoFile(
  ost: OstContext,
  call: WriteCall,
  brw: BrwRequest,
  allowed: readonly boolean[],
): (() => Promise<Pick<Written, 'checksum' | 'rcs'>>) | undefined {
  const wanted = checksumOf(brw.oa);
  const type = ofParts(wanted);
  const moves = !brw.short && call.request.movesFiles && ost.store.intoFile !== undefined && type === wanted;
  const extents = moves && !allowed.includes(false) ? extentsOf(brw.niobufs) : undefined;
  if (extents === undefined) return undefined;
  return () =>
    asFileTransfer(call.export, call.request, () =>
      ost.store.intoFile!(brw.object.id, extents, async (file) => {
        const range = { ...file, ...(type !== undefined && { checksum: type }) };
        const portal = Portal.OST_BULK_PORTAL;
        const checksum = await call.request.bulkGetFile(portal, range, brw.brwSize, pageOffsetOf(brw));
        return { checksum, rcs: brw.niobufs.map(() => 0) };
      }),
    );
}

/** The bytes to write: from the message (short I/O), or pulled from the client and summed as they come. */
async function withData(
  ost: OstContext,
  call: WriteCall,
  brw: BrwRequest,
  work: (segments: readonly Segment[], checksum?: number) => Promise<void>,
): Promise<void> {
  if (brw.short) {
    const bytes = call.values.short_io ?? new Uint8Array(0);
    if (bytes.length < brw.bytes) throw protocolError(`${bytes.length} bytes of short I/O for ${brw.bytes}`);
    const segments = [{ memory: { bytes, release: () => undefined }, offset: 0, length: brw.bytes }];
    return work(segments);
  }
  const buffer = await ost.memory.take(brw.bytes);
  try {
    const wanted = checksumOf(brw.oa);
    const asItComes = ofParts(wanted);
    const { checksum } = await call.request.bulkGet(
      Portal.OST_BULK_PORTAL,
      buffer.segments,
      brw.brwSize,
      pageOffsetOf(brw),
      asItComes,
    );
    refuseGone(call.export);
    await work(buffer.segments, asItComes === wanted ? checksum : undefined);
  } finally {
    buffer.release();
  }
}

interface Written {
  readonly checksum: number;
  readonly rcs: number[];
  readonly attributes: ObjectAttributes;
  readonly parent: Uint8Array | undefined;
}

/** Writes the niobufs that have space; the checksum is over all that came. */
async function writeNiobufs(
  ost: OstContext,
  brw: BrwRequest,
  allowed: readonly boolean[],
  segments: readonly Segment[],
  summed?: number,
): Promise<Pick<Written, 'checksum' | 'rcs'>> {
  const type = summed === undefined ? checksumOf(brw.oa) : undefined;
  const asItGoes = ofParts(type);
  const { id } = brw.object;
  const [only] = brw.niobufs;
  if (brw.niobufs.length === 1 && only !== undefined && allowed[0] === true && asItGoes === type) {
    const { checksum } = await ost.store.write(id, only.rnb_offset, segments, asItGoes);
    return { checksum: summed ?? checksum, rcs: [0] };
  }
  const checksum =
    summed ?? (type === undefined ? 0 : await checksumOfNiobufs(ost.store, type, brw.niobufs, segments));
  const rcs: number[] = [];
  let at = 0;
  for (const [i, niobuf] of brw.niobufs.entries()) {
    const hasSpace = allowed[i] === true;
    if (hasSpace) await ost.store.write(id, niobuf.rnb_offset, sliceSegments(segments, at, niobuf.rnb_len));
    // u32 on the wire, read as a signed number.
    rcs.push(hasSpace ? 0 : -Errno.ENOSPC >>> 0);
    at += niobuf.rnb_len;
  }
  return { checksum, rcs };
}

/** Which niobufs have space: those whose blocks are there already need none. */
async function allowedNiobufs(
  ost: OstContext,
  { object, niobufs }: BrwRequest,
  { allowed }: WriteCharge,
): Promise<readonly boolean[]> {
  if (!allowed.includes(false)) return allowed;
  return Promise.all(niobufs.map((niobuf, i) => allowed[i] === true || isMapped(ost, object.id, niobuf)));
}

async function isMapped(ost: OstContext, id: ObjectId, niobuf: NiobufRemote): Promise<boolean> {
  const end = niobuf.rnb_offset + BigInt(niobuf.rnb_len);
  const { size } = await ost.store.getAttributes(id);
  if (end > size) return false;
  const data = await ost.store.seek(id, niobuf.rnb_offset, 'data');
  const hole = await ost.store.seek(id, niobuf.rnb_offset, 'hole');
  return data === niobuf.rnb_offset && (hole === undefined || hole >= end);
}

async function answer(ost: OstContext, call: WriteCall, brw: BrwRequest, written: Written): Promise<void> {
  const { oa, object } = brw;
  const transno = ost.commits.next();
  await ost.store.setAttributes(object.id, { ...changes(ost, call, oa, written), version: transno });
  // Without ASYNC the client keeps nothing: it is on disk before the reply (guide 12 §13).
  if (brw.niobufs.some((niobuf) => (niobuf.rnb_flags & BrwFlag.OBD_BRW_ASYNC) === 0))
    await ost.store.sync(object.id);
  const attributes = await ost.store.getAttributes(object.id);
  const grant = ost.grants.replenish(call.export.clientUuid, oa, ost.space.availableBytes);
  call.reply(
    { ost_body: replyBody(brw, attributes, written.checksum, grant), rcs: written.rcs },
    { transno },
  );
}

function changes(ost: OstContext, call: WriteCall, oa: Obdo, written: Written): Partial<StoredAttributes> {
  const now = BigInt(Math.floor(ost.runtime.wallTime() / 1000));
  const ownership = ownershipOf(oa, written.attributes);
  const times = timesAreNewer(call, oa) ? timesOf(oa, now) : {};
  return {
    ...times,
    ...ownership,
    ...(written.parent === undefined ? {} : { parent: written.parent }),
  };
}

/** The request's obdo with the object's attributes, without mtime and atime, which the client knows better (guide 12 §5.4). */
function replyBody(
  brw: BrwRequest,
  attributes: ObjectAttributes,
  checksum: number,
  grant: number,
): OstBodyInput {
  const { oa } = brw;
  const type: BulkChecksumName | undefined = checksumOf(oa);
  const { OBD_MD_FLATIME, OBD_MD_FLMTIME, OBD_MD_FLALLQUOTA, OBD_MD_FLFLAGS, OBD_MD_FLGRANT } = MdValid;
  const valid = oa.o_valid | ATTRIBUTES_VALID | OBD_MD_FLALLQUOTA | OBD_MD_FLFLAGS;
  return {
    oa: {
      ...oa,
      ...attributeFields(attributes),
      o_oi: { oi_fid: brw.object.fid },
      o_valid:
        (valid & ~(OBD_MD_FLATIME | OBD_MD_FLMTIME)) | (hasValid(oa, OBD_MD_FLGRANT) ? OBD_MD_FLGRANT : 0n),
      o_flags: flagsWithChecksum(hasValid(oa, OBD_MD_FLFLAGS) ? oa.o_flags : 0, type),
      o_nlink: type === undefined ? oa.o_nlink : checksum,
      o_grant: BigInt(grant),
    },
  };
}
