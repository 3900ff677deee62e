/** The intent GETXATTR (guide 09 §4.2, guide 11 §9): all extended attributes of an object with the lock that protects them. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { errnoError, ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_LDLM_INTENT_GETXATTR } from '../../wire/formats.ts';
import { InodeBit, IntentOpcode, LockFlag, LockMode, LockType } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { decodeText } from '../../wire/text.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import { intentStatus } from './intent.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

/** Room for names, and for values, bytes. An object with more is not cached. */
const ROOM = 8192;

export interface Xattrs {
  readonly values: ReadonlyMap<string, Uint8Array>;
  /** Held (referenced) until released. */
  readonly lock: ClientLock | undefined;
}

export function xattrBuffers(
  fid: Fid,
  room: number,
  who: Credentials,
): Omit<RequestInputs<typeof RQF_LDLM_INTENT_GETXATTR>, 'dlm_req'> {
  return {
    ldlm_intent: { opc: BigInt(IntentOpcode.IT_GETXATTR) },
    mdt_body: {
      ...bodyCredentials(who),
      mbo_fid1: fid,
      mbo_valid: MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLXATTR | MdValid.OBD_MD_FLXATTRLS,
      mbo_eadatasize: room,
      mbo_suppgid: NO_GROUP,
    },
    capa1: new Uint8Array(0),
    selinux_pol: null,
  };
}

/** Rejects with ERANGE when there is more than fits, and with what else the server refuses. */
export async function allXattrs(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  options: RequestOptions = {},
): Promise<Xattrs> {
  const { lock, reply } = await mdc.locks.enqueue({
    resource: fidResource(fid),
    type: LockType.LDLM_IBITS,
    mode: LockMode.LCK_PR,
    policy: { inodeBits: BigInt(InodeBit.MDS_INODELOCK_XATTR) },
    flags: LockFlag.LDLM_FL_HAS_INTENT,
    intent: { format: RQF_LDLM_INTENT_GETXATTR, buffers: xattrBuffers(fid, ROOM, who) },
    replyRoom: 3 * ROOM,
    ...options,
  });
  try {
    const { status } = intentStatus(required(reply.values, 'dlm_rep'));
    if (status < 0) throw errnoError(status, { ...options.context, target: mdc.name });
    return { values: decodeXattrs(reply.values, fid, mdc.name), lock };
  } catch (error) {
    if (lock !== undefined) mdc.locks.release(lock);
    throw error;
  }
}

interface XattrReply {
  readonly mdt_body?: { readonly mbo_eadatasize: number; readonly mbo_max_mdsize: number } | undefined;
  readonly eadata?: Uint8Array | undefined;
  readonly eavals?: Uint8Array | undefined;
  readonly eavals_lens?: readonly number[] | undefined;
}

function decodeXattrs(values: XattrReply, fid: Fid, target: string): Map<string, Uint8Array> {
  const { mdt_body: body, eadata = new Uint8Array(0), eavals = new Uint8Array(0), eavals_lens = [] } = values;
  const count = body?.mbo_max_mdsize ?? 0;
  const names = decodeText(eadata.subarray(0, body?.mbo_eadatasize ?? 0)).split('\0');
  const found = new Map<string, Uint8Array>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    const name = names[i];
    const length = eavals_lens[i];
    if (name === undefined || name === '' || length === undefined || at + length > eavals.length) {
      throw new ProtocolError('EPROTO', `${count} extended attributes came with too few names or values`, {
        fid: formatFid(fid),
        target,
      });
    }
    found.set(name, eavals.slice(at, at + length));
    at += length;
  }
  return found;
}
