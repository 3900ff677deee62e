/** OST_PUNCH (truncate) and OST_FALLOCATE (guide 12 §4.3, §4.4). */
import type { Export, Operation } from '../../connection/target.ts';
import { Errno } from '../../runtime/errors.ts';
import { required } from '../../wire/format.ts';
import { RQF_OST_FALLOCATE, RQF_OST_PUNCH } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { operation } from '../operation.ts';
import { withLayoutVersion } from './layout-version.ts';
import {
  hasFlag,
  hasValid,
  type ObjectName,
  objectOf,
  ownershipOf,
  protocolError,
  refuseReadOnly,
  timesOf,
} from './object-request.ts';
import { OBJECT_BYTES_MAX, OBJECT_EOF, type OstContext } from './ost-context.ts';
import { rememberTimes } from './time-order.ts';

const { OBD_MD_FLID, OBD_MD_FLSIZE, OBD_MD_FLBLOCKS } = MdValid;
const RANGE = OBD_MD_FLSIZE | OBD_MD_FLBLOCKS;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

export function ostPunch(ost: OstContext): Operation {
  return operation(RQF_OST_PUNCH, async (call) => {
    refuseReadOnly(call.export);
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    if (!hasValid(oa, RANGE) || oa.o_blocks !== OBJECT_EOF)
      throw protocolError('a punch that does not end at EOF');
    if (oa.o_size > OBJECT_BYTES_MAX) return call.fail(Errno.EFBIG);
    const { transno, blocks } = await change(ost, call.export, oa, object, oa.o_size, OBJECT_EOF, () =>
      ost.store.truncate(object.id, oa.o_size),
    );
    rememberTimes(call, oa);
    const oa_ = { o_oi: { oi_fid: object.fid }, o_valid: OBD_MD_FLID | OBD_MD_FLBLOCKS, o_blocks: blocks };
    call.reply({ ost_body: { oa: oa_ } }, { transno });
  });
}

export function ostFallocate(ost: OstContext): Operation {
  return operation(RQF_OST_FALLOCATE, async (call) => {
    refuseReadOnly(call.export);
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    const mode = oa.o_nlink;
    const known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
    if (!hasValid(oa, RANGE) || (mode & ~known) !== 0) return call.fail(Errno.EOPNOTSUPP);
    const start = oa.o_size;
    const end = oa.o_blocks;
    if (start >= end) return call.fail(Errno.EINVAL);
    if (end > OBJECT_BYTES_MAX) return call.fail(Errno.EFBIG);
    const { transno, blocks, size } = await change(ost, call.export, oa, object, start, end - 1n, () =>
      (mode & FALLOC_FL_PUNCH_HOLE) !== 0
        ? ost.store.punch(object.id, start, end)
        : ost.store.allocate(object.id, start, end, (mode & FALLOC_FL_KEEP_SIZE) !== 0),
    );
    const oa_ = {
      o_oi: { oi_fid: object.fid },
      o_valid: OBD_MD_FLID | RANGE,
      o_size: size,
      o_blocks: blocks,
    };
    call.reply({ ost_body: { oa: oa_ } }, { transno });
  });
}

/** Runs a change of [start, end] in order: lock where asked, layout version, change, attributes, transaction number. */
async function change(
  ost: OstContext,
  client: Export,
  oa: Obdo,
  object: ObjectName,
  start: bigint,
  end: bigint,
  work: () => Promise<void>,
): Promise<{ transno: bigint; blocks: bigint; size: bigint }> {
  const lock = hasFlag(oa, ObdoFlag.OBD_FL_SRVLOCK)
    ? await ost.locks.lock(object.resource, LockMode.LCK_PW, { extent: { start, end } })
    : undefined;
  const punch = async (): Promise<{ transno: bigint; blocks: bigint; size: bigint }> => {
    const known = await ost.store.getAttributes(object.id);
    const parent = withLayoutVersion(oa, known);
    await work();
    const now = BigInt(Math.floor(ost.runtime.wallTime() / 1000));
    const transno = ost.commits.next();
    await ost.store.setAttributes(object.id, {
      ...timesOf(oa, now),
      ...ownershipOf(oa, known),
      ...(parent === undefined ? {} : { parent }),
      version: transno,
    });
    ost.locks.refreshLvb(object.resource);
    const { blocks, size } = await ost.store.getAttributes(object.id);
    return { transno, blocks, size };
  };
  try {
    return await ost.locks.busy(client, object.resource, { start, end }, punch);
  } finally {
    lock?.release();
  }
}
