/** The open intent (guide 09 §5): opens by name or by FID, makes what is missing, and brings attributes, layout and lock. */
import type { Fid } from '../../fid/fid.ts';
import { ZERO_FID } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { type LustreError, ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_LDLM_INTENT_OPEN } from '../../wire/formats.ts';
import { InodeBit, IntentOpcode, LockFlag, LockMode, LockType } from '../../wire/ldlm-constants.ts';
import { OpBias, OpenFlag, Reint } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import { checkIntent, has, intentStatus } from './intent.ts';
import { type OpenReply, OpenState } from './open-state.ts';
import { EA_ROOM, INTENT_REPLY_ROOM, type MetadataTarget, type RequestOptions, seconds } from './target.ts';

export interface Open {
  /** The directory that holds the name; for an open by FID the parent if known, else the object. */
  readonly parent: Fid;
  /** Undefined: by FID, of `child`. */
  readonly name?: string;
  /** FID for a file to be made, or of the object to be opened. */
  readonly child?: Fid;
  /** OpenFlag bits, without BY_FID, HAS_EA and DEFAULT_LMV. */
  readonly flags: bigint;
  /** Permission bits for a file that is made. */
  readonly mode: number;
  /** lov_user_md for a file that is made, or that has no objects yet. */
  readonly striping?: Uint8Array;
  readonly group?: number;
  /** Of a lease: our own handle of the file, which is not in its way. */
  readonly ownHandle?: bigint;
  /** The second step to an object on another MDT than its name, which `parent` then is; `child` is the directory. */
  readonly crossReference?: boolean;
  /** Server handles of locks that making a name conflicts with. */
  readonly cancels?: readonly bigint[];
}

export interface OpenResult {
  readonly body: MdtBody;
  /** Layout EA; empty when the file has no objects. */
  readonly ea: Uint8Array;
  readonly acl: Uint8Array;
  readonly created: boolean;
  /** It is a lease, as was asked. */
  readonly leased: boolean;
  readonly state: OpenState;
  readonly lock: ClientLock | undefined;
}

const S_IFREG = 0o100000;
const creates = (open: Open): boolean => (open.flags & OpenFlag.MDS_OPEN_CREAT) !== 0n;

export function openBuffers(
  open: Open,
  who: Credentials,
  time: bigint,
): Omit<RequestInputs<typeof RQF_LDLM_INTENT_OPEN>, 'dlm_req'> {
  const flags =
    open.flags |
    OpenFlag.MDS_OPEN_DEFAULT_LMV |
    (open.name === undefined && open.crossReference !== true ? OpenFlag.MDS_OPEN_BY_FID : 0n) |
    (open.striping === undefined ? 0n : OpenFlag.MDS_OPEN_HAS_EA);
  // Without a layout to set, the room is for the layout that a replay will carry (guide 09 §5.3).
  const room = (open.flags & OpenFlag.MDS_OPEN_DELAY_CREATE) === 0n ? EA_ROOM : 0;
  return {
    ldlm_intent: { opc: BigInt(creates(open) ? IntentOpcode.IT_OPEN_CREAT : IntentOpcode.IT_OPEN) },
    rec_reint: {
      cr_opcode: Reint.REINT_OPEN,
      cr_cap: capabilities(who),
      cr_fsuid: who.uid,
      cr_fsgid: who.gid,
      cr_suppgid1: open.group ?? NO_GROUP,
      cr_suppgid2: NO_GROUP,
      cr_fid1: open.parent,
      cr_fid2: open.child ?? ZERO_FID,
      ...(open.ownHandle !== undefined && { cr_open_handle_old: open.ownHandle }),
      cr_time: open.crossReference === true ? 0n : time,
      cr_mode: S_IFREG | (creates(open) ? open.mode & 0o7777 : 0),
      cr_flags_l: Number(flags & 0xffff_ffffn),
      cr_flags_h: Number(flags >> 32n),
      cr_umask: who.umask,
      cr_bias: open.crossReference === true ? OpBias.MDS_CROSS_REF : 0,
    },
    name: open.name ?? '',
    eadata: open.striping ?? new Uint8Array(room),
    // Slots for security contexts, a policy and encryption: always there, empty.
    file_secctx_name: null,
    file_secctx: null,
    selinux_pol: null,
    file_encctx: null,
  };
}

/** Rejects with what the server refuses: ENOENT, EEXIST, EACCES, EISDIR, ENOSPC ... */
export async function open(
  mdc: MetadataTarget,
  what: Open,
  who: Credentials,
  options: RequestOptions = {},
): Promise<OpenResult> {
  const create = creates(what);
  const state = new OpenState();
  // A lease does not outlive a restart of its MDT: whoever was waiting for it has gone on.
  const noReplay = (what.flags & OpenFlag.MDS_OPEN_LEASE) !== 0n;
  const { lock, reply } = await mdc.locks.enqueue({
    resource: fidResource(what.parent),
    type: LockType.LDLM_IBITS,
    mode: create ? LockMode.LCK_CW : LockMode.LCK_CR,
    policy: { inodeBits: BigInt(create ? InodeBit.MDS_INODELOCK_UPDATE : InodeBit.MDS_INODELOCK_LOOKUP) },
    flags: LockFlag.LDLM_FL_HAS_INTENT,
    intent: { format: RQF_LDLM_INTENT_OPEN, buffers: openBuffers(what, who, seconds(mdc.runtime)) },
    cancels: what.cancels ?? [],
    modifies: true,
    replyRoom: INTENT_REPLY_ROOM,
    replayAs: (request, answer) => state.opened(request, answer as OpenReply),
    ...(noReplay ? { noReplay } : { makes: state }),
    ...options,
  });
  try {
    const intent = intentStatus(required(reply.values, 'dlm_rep'));
    // The kernel's MDT answers a missing name with NEG and status 0.
    if (intent.status === 0 && has(intent, 'DISP_LOOKUP_NEG') && !has(intent, 'DISP_OPEN_CREATE'))
      checkIntent({ ...intent, status: -2 }, mdc.name, options.context);
    checkIntent(intent, mdc.name, options.context);
    const body = required(reply.values, 'mdt_body');
    if (body.mbo_open_handle !== 0n && !has(intent, 'DISP_OPEN_OPEN'))
      throw new ProtocolError('EPROTO', 'an open handle came back from an open that was not done', {
        target: mdc.name,
      });
    const ea = (reply.values.mdt_md ?? new Uint8Array(0)).subarray(0, body.mbo_eadatasize);
    return {
      body,
      ea,
      acl: reply.values.acl ?? new Uint8Array(0),
      created: has(intent, 'DISP_OPEN_CREATE'),
      leased: has(intent, 'DISP_OPEN_LEASE'),
      state: state.made ? state : new OpenState(body.mbo_open_handle),
      lock,
    };
  } catch (error) {
    if (lock !== undefined) mdc.locks.release(lock);
    throw error;
  }
}

/**
 * The same for programs: the layout, as the mode, is for a file that is made by this. One that is there and has objects keeps
 * its own, which an MDT tells by EEXIST (guide 09 §5.3). Without O_CREAT none is asked for but for a file that is written.
 */
export async function openOrMake(
  mdc: MetadataTarget,
  what: Open,
  who: Credentials,
  options: RequestOptions = {},
): Promise<OpenResult> {
  const { striping } = what;
  if (striping === undefined) return open(mdc, what, who, options);
  const { striping: _, ...plain } = what;
  const asks = (what.flags & (OpenFlag.MDS_OPEN_CREAT | OpenFlag.MDS_FMODE_WRITE)) !== 0n;
  if (!asks) return open(mdc, plain, who, options);
  try {
    return await open(mdc, what, who, options);
  } catch (error) {
    const exclusive = (what.flags & OpenFlag.MDS_OPEN_EXCL) !== 0n;
    if ((error as LustreError).code !== 'EEXIST' || exclusive) throw error;
    // Locks that were given back with the first are gone.
    return open(mdc, { ...plain, cancels: [] }, who, options);
  }
}
