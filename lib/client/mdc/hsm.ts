/** HSM requests to an MDT (guide 17 §9): archive states of a file, what is being done about it, and what is to be done. */
import type { Fid } from '../../fid/fid.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import {
  RQF_MDS_HSM_ACTION,
  RQF_MDS_HSM_REQUEST,
  RQF_MDS_HSM_STATE_GET,
  RQF_MDS_HSM_STATE_SET,
} from '../../wire/formats.ts';
import { HsmAction } from '../../wire/hsm-constants.ts';
import type { HsmCurrentAction, HsmUserState } from '../../wire/hsm-structs.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import type { StructInput } from '../../wire/struct.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

/** All of a file. */
const WHOLE = { offset: 0n, length: 0xffff_ffff_ffff_ffffn };

const bodyOf = (fid: Fid, who: Credentials, group: number): StructInput<typeof MdtBody> => ({
  ...bodyCredentials(who),
  mbo_fid1: fid,
  mbo_valid: MdValid.OBD_MD_FLID,
  mbo_suppgid: group,
});

export async function hsmState(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  group: number,
  options: RequestOptions = {},
): Promise<HsmUserState> {
  const reply = await mdc.caller.call(
    RQF_MDS_HSM_STATE_GET,
    { mdt_body: bodyOf(fid, who, group), capa1: null },
    options,
  );
  return required(reply.values, 'hsm_user_state');
}

export interface HsmStateChange {
  /** HsmState bits. */
  readonly set: number;
  readonly clear: number;
  readonly archiveId?: number;
}

export function hsmStateSetRequest(
  fid: Fid,
  { set, clear, archiveId }: HsmStateChange,
  who: Credentials,
  group: number,
): RequestInputs<typeof RQF_MDS_HSM_STATE_SET> {
  return {
    mdt_body: bodyOf(fid, who, group),
    capa1: null,
    hsm_state_set: {
      hss_valid:
        (set === 0 ? 0 : HsmAction.HSS_SETMASK) |
        (clear === 0 ? 0 : HsmAction.HSS_CLEARMASK) |
        (archiveId === undefined ? 0 : HsmAction.HSS_ARCHIVE_ID),
      hss_archive_id: archiveId ?? 0,
      hss_setmask: BigInt(set),
      hss_clearmask: BigInt(clear),
    },
  };
}

export async function setHsmState(
  mdc: MetadataTarget,
  fid: Fid,
  change: HsmStateChange,
  who: Credentials,
  group: number,
  options: RequestOptions = {},
): Promise<void> {
  const request = hsmStateSetRequest(fid, change, who, group);
  await mdc.caller.call(RQF_MDS_HSM_STATE_SET, request, { modifies: true, ...options });
}

/** What a copy tool is doing with a file. */
export async function hsmAction(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  group: number,
  options: RequestOptions = {},
): Promise<HsmCurrentAction> {
  const reply = await mdc.caller.call(
    RQF_MDS_HSM_ACTION,
    { mdt_body: bodyOf(fid, who, group), capa1: null },
    options,
  );
  return required(reply.values, 'mds_hsm_current_action');
}

export interface HsmWork {
  /** HUA_ value. */
  readonly action: number;
  /** 0: the file's, or the MDT's default. */
  readonly archiveId: number;
  /** Of this MDT. */
  readonly fids: readonly Fid[];
  /** The MDT holds the layout back until it is done: whoever asks for it waits. */
  readonly blocking?: boolean;
}

export function hsmRequest(work: HsmWork, who: Credentials): RequestInputs<typeof RQF_MDS_HSM_REQUEST> {
  return {
    mdt_body: { ...bodyCredentials(who), mbo_suppgid: NO_GROUP },
    mds_hsm_request: {
      hr_action: work.action,
      hr_archive_id: work.archiveId,
      hr_flags: work.blocking === true ? BigInt(HsmAction.HSM_REQ_BLOCKING) : 0n,
      hr_itemcount: work.fids.length,
      hr_data_len: 0,
    },
    mds_hsm_user_item: work.fids.map((hui_fid) => ({ hui_fid, hui_extent: WHOLE })),
    generic_data: new Uint8Array(0),
  };
}

/** Asks the MDT's coordinator. Rejects with EAGAIN while HSM is switched off there, ENXIO without a copy tool ... */
export async function requestHsm(
  mdc: MetadataTarget,
  work: HsmWork,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_HSM_REQUEST, hsmRequest(work, who), { modifies: true, ...options });
}
