/** REINT_CREATE (guide 09 §6): directories, symlinks, fifos and devices. Files are made by the open intent. */
import type { Fid } from '../../fid/fid.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_REINT_CREATE_ACL, RQF_MDS_REINT_CREATE_SYM } from '../../wire/formats.ts';
import { OpBias, OpenFlag, Reint } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

export interface Create {
  readonly parent: Fid;
  readonly name: string;
  /** The new object's FID, from the MDT's own sequence. */
  readonly child: Fid;
  /** Type and permission bits, not masked. */
  readonly mode: number;
  /** Device numbers, (major << 8) | minor as the kernel encodes them. */
  readonly rdev?: number;
  /** Where a symlink leads. */
  readonly target?: string;
  /** lmv_user_md for a directory. */
  readonly directoryStriping?: Uint8Array | undefined;
  readonly group?: number;
  readonly cancels?: EarlyCancels;
}

type CreateRecord = NonNullable<RequestInputs<typeof RQF_MDS_REINT_CREATE_ACL>['rec_reint']>;

export function createRecord(create: Create, who: Credentials, time: bigint): CreateRecord {
  return {
    cr_opcode: Reint.REINT_CREATE,
    cr_cap: capabilities(who),
    cr_fsuid: who.uid,
    cr_fsgid: who.gid,
    cr_suppgid1: create.group ?? NO_GROUP,
    cr_suppgid2: NO_GROUP,
    cr_fid1: create.parent,
    cr_fid2: create.child,
    cr_time: time,
    cr_rdev: BigInt(create.rdev ?? 0),
    cr_mode: create.mode,
    cr_umask: who.umask,
    // As `lfs mkdir`: the EA says where the directory goes.
    ...(create.directoryStriping !== undefined && {
      cr_bias: OpBias.MDS_SETSTRIPE_CREATE,
      cr_flags_l: Number(OpenFlag.MDS_OPEN_CREAT),
      cr_flags_h: Number(OpenFlag.MDS_OPEN_RESYNC >> 32n),
    }),
  };
}

export function createRequest(
  create: Create,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_CREATE_ACL> {
  return {
    rec_reint: createRecord(create, who, time),
    name: create.name,
    eadata: create.directoryStriping ?? new Uint8Array(0),
    dlm_req: earlyCancelRequest(create.cancels ?? []),
    // Slots for security contexts, a policy and encryption: always there, empty.
    file_secctx_name: null,
    file_secctx: null,
    selinux_pol: null,
    file_encctx: null,
  };
}

export function symlinkRequest(
  create: Create,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_CREATE_SYM> {
  return {
    rec_reint: createRecord(create, who, time),
    name: create.name,
    symtgt: create.target ?? '',
    dlm_req: earlyCancelRequest(create.cancels ?? []),
    // Slots for security contexts, a policy and encryption: always there, empty.
    file_secctx_name: null,
    file_secctx: null,
    selinux_pol: null,
    file_encctx: null,
  };
}

/** Attributes of what was made. Rejects with EEXIST, ENOENT, EACCES, ENOSPC ... */
export async function create(
  mdc: MetadataTarget,
  what: Create,
  who: Credentials,
  options: RequestOptions = {},
): Promise<MdtBody> {
  const time = seconds(mdc.runtime);
  const send = { modifies: true, ...options };
  if (what.target !== undefined) {
    const reply = await mdc.caller.call(RQF_MDS_REINT_CREATE_SYM, symlinkRequest(what, who, time), send);
    return required(reply.values, 'mdt_body');
  }
  const reply = await mdc.caller.call(RQF_MDS_REINT_CREATE_ACL, createRequest(what, who, time), send);
  return required(reply.values, 'mdt_body');
}
