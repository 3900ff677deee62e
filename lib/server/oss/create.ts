/**
 * OST_CREATE (guide 12 §8, guide 07 §7): an MDT has objects made ahead, and after each connect has those destroyed that it
 * knows nothing of. LAST_ID of the sequence is on disk before the reply, or a number could be given out twice.
 */
import type { Call, Operation } from '../../connection/target.ts';
import type { Fid } from '../../fid/fid.ts';
import { Errno, errnoError, errnoOf } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import { required } from '../../wire/format.ts';
import { RQF_OST_CREATE } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import { operation } from '../operation.ts';
import { fidOfOstId, hasFlag, hasValid, protocolError, refuseReadOnly } from './object-request.ts';
import type { OstContext } from './ost-context.ts';

type CreateCall = Call<typeof RQF_OST_CREATE>;

/** OST_MAX_PRECREATE: most objects made or destroyed by one request. */
const PRECREATE_MAX = 20_000;
/** Beyond this distance the OST is taken to be a new one under an old name. */
const GAP_MAX = 5 * PRECREATE_MAX;
/** Objects of one sequence, after which an MDT asks for another (kernel: 32M - 1). */
const SEQUENCE_WIDTH = 0x1ff_ffffn;
/** Free files and space below which no objects are made ahead. */
const RESERVED_FILES = 128n;

export function ostCreate(ost: OstContext): Operation {
  /** Requests of one sequence go one after the other: LAST_ID is theirs in common. */
  const queues = new Map<bigint, Promise<void>>();
  return operation(RQF_OST_CREATE, async (call) => {
    refuseReadOnly(call.export);
    const { oa } = required(call.values, 'ost_body');
    if (!hasValid(oa, MdValid.OBD_MD_FLGROUP)) throw protocolError('a create without a sequence');
    if (hasFlag(oa, ObdoFlag.OBD_FL_RECREATE_OBJS)) return call.reply({ ost_body: { oa } });
    const fid = fidOfOstId(oa.o_oi, ost);
    if (!ost.sequences.owns(fid.f_seq) && fid.f_seq >= 0x2_0000_0000n && ost.store.lastId(fid.f_seq) === 0)
      return call.fail(Errno.EINVAL);
    if (ost.sequences.owns(fid.f_seq) && fid.f_oid > Number(SEQUENCE_WIDTH)) return call.fail(Errno.EINVAL);
    const before = queues.get(fid.f_seq) ?? Promise.resolve();
    const mine = before.then(() => create(ost, call, fid, hasFlag(oa, ObdoFlag.OBD_FL_DELORPHAN)));
    queues.set(
      fid.f_seq,
      mine.catch(() => undefined),
    );
    await mine;
  });
}

async function create(ost: OstContext, call: CreateCall, fid: Fid, cleanUp: boolean): Promise<void> {
  const oid = cleanUp ? await cleanOrphans(ost, call, fid) : await precreate(ost, fid);
  const { OBD_MD_FLID, OBD_MD_FLGROUP, OBD_MD_FLSIZE } = MdValid;
  call.reply(
    {
      ost_body: {
        oa: {
          o_valid: OBD_MD_FLID | OBD_MD_FLGROUP | OBD_MD_FLSIZE,
          o_oi: { oi_fid: { ...fid, f_oid: oid } },
          o_size: SEQUENCE_WIDTH,
        },
      },
    },
    // Not a transaction: nothing of it is replayed (CONNECT2_REPLAY_CREATE is not offered).
  );
}

/** Makes what is wanted beyond LAST_ID; gives the last one really made. */
async function precreate(ost: OstContext, wanted: Fid): Promise<number> {
  const last = ost.store.lastId(wanted.f_seq);
  // The OST is ahead: what it has counts.
  if (wanted.f_oid <= last) return last + (wanted.f_oid < last ? 1 : 0);
  const statfs = await ost.store.statfs();
  if (statfs.filesFree < RESERVED_FILES || statfs.available === 0n)
    throw errnoError(Errno.ENOSPC, { syscall: 'create objects' });
  const from = createFrom(ost, wanted, last);
  const to = Math.min(wanted.f_oid, from + PRECREATE_MAX);
  await ost.store.precreate(wanted.f_seq, from, to);
  return to;
}

/** LAST_ID, or near the end of a gap so wide that this OST must be a new one: nobody has used what was before. */
function createFrom(ost: OstContext, wanted: Fid, last: number): number {
  if (wanted.f_oid - last <= GAP_MAX) return last;
  ost.runtime.log.warn({ last, wanted: wanted.f_oid }, 'the MDT is far ahead of this OST');
  return wanted.f_oid - PRECREATE_MAX;
}

/** Destroys (last used, LAST_ID], or makes what the MDT says it has used and we lack. */
async function cleanOrphans(ost: OstContext, call: CreateCall, used: Fid): Promise<number> {
  const last = ost.store.lastId(used.f_seq);
  const distance = last - used.f_oid;
  if (distance > PRECREATE_MAX) {
    ost.runtime.log.warn({ last, used: used.f_oid }, 'orphans kept: the MDT is far behind this OST');
    return last + 1;
  }
  if (distance <= 0) {
    if (distance < 0) await ost.store.precreate(used.f_seq, createFrom(ost, used, last), used.f_oid);
    return used.f_oid;
  }
  for (let oid = used.f_oid + 1; oid <= last; oid++) {
    await ost.store.destroy({ seq: used.f_seq, oid }).catch((error: unknown) => {
      if (errnoOf(error) !== Errno.ENOENT) throw error;
    });
  }
  const keepsIds = (call.export.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_SKIP_ORPHAN) !== 0n;
  if (keepsIds) return last;
  await ost.store.precreate(used.f_seq, used.f_oid, used.f_oid);
  return used.f_oid;
}
