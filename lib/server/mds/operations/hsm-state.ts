/**
 * MDS_HSM_STATE_GET and MDS_HSM_STATE_SET (guides 09 §8, 17 §9): the archive states of a file, kept in its `trusted.hsm`. Nothing
 * is archived here; but clients mark a file dirty themselves, as when its times are set after a write.
 */
import type { Operation } from '../../../connection/target.ts';
import type { Fid } from '../../../fid/fid.ts';
import { Errno, errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_HSM_STATE_GET, RQF_MDS_HSM_STATE_SET } from '../../../wire/formats.ts';
import { HsmAction, HsmState } from '../../../wire/hsm-constants.ts';
import { HsmAttrs, type HsmStateSet } from '../../../wire/hsm-structs.ts';
import { InodeBit } from '../../../wire/ldlm-constants.ts';
import { XattrName } from '../../../wire/names.ts';
import { Capability, capable, credentialOf } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import type { NamespaceView } from '../namespace.ts';
import { changedObject } from '../server-locks.ts';

const { HS_EXISTS, HS_DIRTY, HS_RELEASED, HS_ARCHIVED, HS_LOST } = HsmState;
const { HSM_FLAGS_MASK, HSM_USER_MASK, HSS_SETMASK, HSS_CLEARMASK, HSS_ARCHIVE_ID } = HsmAction;
/** What a client without ARCHIVE_ID_ARRAY, which is not offered, may name. */
const ARCHIVE_MAX = HsmAction.LL_HSM_ORIGIN_MAX_ARCHIVE;

function stateOf(ns: NamespaceView, fid: Fid): HsmAttrs {
  const value = ns.xattr(fid, XattrName.XATTR_NAME_HSM);
  return HsmAttrs.decode(value ?? new Uint8Array(HsmAttrs.size));
}

export function hsmStateGet(mdt: MetadataTarget): Operation<typeof RQF_MDS_HSM_STATE_GET> {
  return {
    format: RQF_MDS_HSM_STATE_GET,
    handle(call) {
      const { mbo_fid1: fid } = required(call.values, 'mdt_body');
      mdt.view.inode(fid);
      const { hsm_flags, hsm_arch_id } = stateOf(mdt.view, fid);
      const state = { hus_states: hsm_flags, hus_archive_id: Number(hsm_arch_id) };
      call.reply({ mdt_body: {}, hsm_user_state: state });
    },
  };
}

export function hsmStateSet(mdt: MetadataTarget): Operation<typeof RQF_MDS_HSM_STATE_SET> {
  return {
    format: RQF_MDS_HSM_STATE_SET,
    async handle(call) {
      const body = required(call.values, 'mdt_body');
      const { hss_setmask, hss_clearmask } = required(call.values, 'hsm_state_set');
      const fid = body.mbo_fid1;
      const who = credentialOf(body.mbo_fsuid, body.mbo_fsgid, body.mbo_capability, body.mbo_suppgid);
      const named = hss_setmask | hss_clearmask;
      if ((named & ~BigInt(HSM_FLAGS_MASK)) !== 0n)
        throw errnoError(Errno.EINVAL, { syscall: 'hsm_state_set' });
      if ((named & ~BigInt(HSM_USER_MASK)) !== 0n && !capable(who, Capability.SYS_ADMIN))
        throw errnoError(Errno.EPERM, { syscall: 'hsm_state_set' });
      const after = (ns: NamespaceView): HsmAttrs => {
        ns.inode(fid);
        return changed(stateOf(ns, fid), required(call.values, 'hsm_state_set'));
      };
      // What is refused, as it nearly always is, takes nobody's locks.
      after(mdt.view);
      const bits = InodeBit.MDS_INODELOCK_LOOKUP | InodeBit.MDS_INODELOCK_XATTR;
      const { transno } = await mdt.modifyLocked(call, [changedObject(fid, bits)], (ns) =>
        ns.setXattr(fid, XattrName.XATTR_NAME_HSM, HsmAttrs.encode(after(ns))),
      );
      call.reply({}, { transno });
    },
  };
}

function changed(state: HsmAttrs, set: HsmStateSet): HsmAttrs {
  let flags = state.hsm_flags;
  if ((set.hss_valid & HSS_SETMASK) !== 0) flags |= Number(set.hss_setmask);
  if ((set.hss_valid & HSS_CLEARMASK) !== 0) flags &= ~Number(set.hss_clearmask);
  let archive = state.hsm_arch_id;
  if ((set.hss_valid & HSS_ARCHIVE_ID) !== 0 && (flags & HS_EXISTS) !== 0) {
    if (set.hss_archive_id > ARCHIVE_MAX) throw errnoError(Errno.EINVAL, { syscall: 'hsm_state_set' });
    archive = BigInt(set.hss_archive_id);
  }
  if (!coherent(flags)) throw errnoError(Errno.EINVAL, { syscall: 'hsm_state_set' });
  return { ...state, hsm_flags: flags, hsm_arch_id: archive };
}

/** Only what has a copy can be dirty; only what is archived, and the same as its copy, can be released; only an archived copy can be lost. */
function coherent(flags: number): boolean {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  if (has(HS_DIRTY) && (!has(HS_EXISTS) || has(HS_RELEASED))) return false;
  return has(HS_ARCHIVED) || !(has(HS_RELEASED) || has(HS_LOST));
}
