/** OST_DESTROY (guide 12 §8): clients' locks first, then the object. An absent one is -ENOENT, which an MDT takes as done. */
import type { Operation } from '../../connection/target.ts';
import { ostResource } from '../../fid/resource.ts';
import type { ResourceId } from '../../ldlm/lock.ts';
import { Errno, errnoError, errnoOf } from '../../runtime/errors.ts';
import { required } from '../../wire/format.ts';
import { RQF_OST_DESTROY } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { operation } from '../operation.ts';
import { hasValid, objectOf, protocolError, refuseReadOnly } from './object-request.ts';
import { OBJECT_EOF, type OstContext } from './ost-context.ts';

/** Most objects of one request: as many as are ever made ahead. */
const COUNT_MAX = 20_000;

export function ostDestroy(ost: OstContext): Operation {
  return operation(RQF_OST_DESTROY, async (call) => {
    refuseReadOnly(call.export);
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    const cancels = call.values.dlm_req;
    if (cancels !== undefined && cancels.lock_count > 0)
      ost.locks.cancelHandles(call, cancels.lock_handle.slice(0, cancels.lock_count));
    const count = hasValid(oa, MdValid.OBD_MD_FLOBJCOUNT) ? oa.o_misc : 1;
    if (count < 1 || count > COUNT_MAX) throw protocolError(`a destroy of ${count} objects`);
    let missing = 0;
    for (let i = 0; i < count; i++) {
      const fid = { ...object.fid, f_oid: object.fid.f_oid + i };
      const resource = ostResource(fid) as ResourceId;
      if (!(await destroyOne(ost, resource, { seq: fid.f_seq, oid: fid.f_oid }))) missing += 1;
    }
    if (missing === count) throw errnoError(Errno.ENOENT, { syscall: 'destroy object' });
    call.reply({ ost_body: { oa } }, { transno: ost.commits.next() });
  });
}

async function destroyOne(
  ost: OstContext,
  resource: ResourceId,
  id: { seq: bigint; oid: number },
): Promise<boolean> {
  const extent = { start: 0n, end: OBJECT_EOF };
  // Of an object that nobody has locked there is nobody to be told.
  const lock = ost.locks.isLocked(resource)
    ? await ost.locks.lock(resource, LockMode.LCK_PW, { extent }, { discardData: true })
    : undefined;
  try {
    await ost.store.destroy(id);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.ENOENT) return false;
    throw error;
  } finally {
    lock?.release();
  }
}
