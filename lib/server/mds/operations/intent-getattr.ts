/** Intents LOOKUP and GETATTR (guide 09 §4.1): a name, or an object by FID, with attributes and a lock on it. */
import type { Export } from '../../../connection/target.ts';
import { type Fid, isSaneFid, sameFid } from '../../../fid/fid.ts';
import { fidResource } from '../../../fid/resource.ts';
import type { GrantedLock, Intent, IntentContext } from '../../../ldlm/server-operations.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { ConnectFlag } from '../../../wire/connection-constants.ts';
import { required } from '../../../wire/format.ts';
import { RQF_LDLM_INTENT_GETATTR } from '../../../wire/formats.ts';
import { Disposition, InodeBit, IntentOpcode, LockMode } from '../../../wire/ldlm-constants.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import type { MdtBody } from '../../../wire/mds-structs.ts';
import { credentialOf, demand, isRegular, MAY_EXEC } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { checkName } from '../name-hash.ts';
import { type ObjectReply, objectReply } from '../object-body.ts';
import type { Inode } from '../records.ts';
import { nameBytes } from '../request-fields.ts';
import { intentErrno, intentReply, LOOKED_UP } from './intent-reply.ts';

const { MDS_INODELOCK_LOOKUP, MDS_INODELOCK_UPDATE, MDS_INODELOCK_PERM, MDS_INODELOCK_LAYOUT } = InodeBit;
const { DISP_LOOKUP_NEG, DISP_LOOKUP_POS } = Disposition;
/** What has not changed for so long is given with UPDATE to a mere lookup (ns_ctime_age_limit), seconds. */
const SETTLED_AFTER = 10n;
const RETRIES = 100;
const ESTALE = 116;

/** What the two forms of the request have in common: an enqueue of its own, and one of many (batch.ts). */
export interface GetattrRequest {
  readonly client: Export;
  readonly body: MdtBody;
  /** Empty: by FID. */
  readonly name: Uint8Array;
  readonly context: IntentContext;
}

export interface GetattrAnswer {
  readonly disposition: number;
  /** 0, or the positive errno of the intent. */
  readonly errno: number;
  readonly lock: GrantedLock | undefined;
  readonly reply: ObjectReply | undefined;
}

export function intentGetattr(mdt: MetadataTarget): Intent<typeof RQF_LDLM_INTENT_GETATTR> {
  return {
    format: RQF_LDLM_INTENT_GETATTR,
    async handle(call, context) {
      const body = required(call.values, 'mdt_body');
      const name = nameBytes(call.request, RQF_LDLM_INTENT_GETATTR, 'name');
      const answer = await getattr(mdt, { client: call.export, body, name, context });
      const { dlm_rep, status } = intentReply(answer);
      call.reply({ dlm_rep, ...(answer.reply ?? { mdt_body: {} }) }, { status });
    },
  };
}

/** A promise only where a lock has to be waited for. Throws what is no answer: faults, and EINVAL for neither name nor FID. */
export function getattr(
  mdt: MetadataTarget,
  request: GetattrRequest,
): GetattrAnswer | Promise<GetattrAnswer> {
  const { body, name } = request;
  if (name.length === 0 && !isSaneFid(body.mbo_fid2)) throw errnoError(22, { syscall: 'getattr' });
  const failed = (error: unknown): GetattrAnswer => ({
    disposition: LOOKED_UP | (name.length === 0 ? DISP_LOOKUP_POS : 0),
    errno: intentErrno(error),
    lock: undefined,
    reply: undefined,
  });
  try {
    const found = find(mdt, request, 0);
    return found instanceof Promise ? found.then(answered).catch(failed) : answered(found);
  } catch (error) {
    return failed(error);
  }
}

function answered(found: Found | undefined): GetattrAnswer {
  if (found === undefined)
    return { disposition: LOOKED_UP | DISP_LOOKUP_NEG, errno: 0, lock: undefined, reply: undefined };
  return { disposition: LOOKED_UP | DISP_LOOKUP_POS, errno: 0, ...found };
}

interface Found {
  readonly lock: GrantedLock | undefined;
  readonly reply: ObjectReply;
}

/** Looks up and locks and, where that took a while, looks again: what is answered was true while the lock was held. */
function find(
  mdt: MetadataTarget,
  request: GetattrRequest,
  attempt: number,
): Found | undefined | Promise<Found | undefined> {
  const { body, name, context, client } = request;
  const fid = resolve(mdt, body, name);
  if (fid === undefined) return undefined;
  // Asking for the FID alone is a raw lookup.
  if (body.mbo_valid === MdValid.OBD_MD_FLID) {
    const mdt_body = { mbo_fid1: fid, mbo_valid: MdValid.OBD_MD_FLID };
    return { lock: undefined, reply: { mdt_body, mdt_md: undefined, acl: undefined } };
  }
  const inode = mdt.view.inode(fid);
  const policy = policyFor(mdt, context, client, body, fid, inode);
  const found = (now: Inode, lock: GrantedLock | undefined): Found => ({
    lock,
    reply: objectReply(mdt.view, fid, now, body.mbo_valid, mdt.maxLayoutSize),
  });
  const grant = context.grant(fidResource(fid), LockMode.LCK_PR, policy);
  if (!(grant instanceof Promise)) return found(inode, grant);
  return grant.then((lock) => {
    const still = resolve(mdt, body, name);
    const now = mdt.view.find(fid);
    if (still !== undefined && sameFid(still, fid) && now !== undefined) return found(now, lock);
    lock?.cancel();
    if (attempt < RETRIES) return find(mdt, request, attempt + 1);
    throw errnoError(16, { syscall: 'lookup', hint: 'The name changed again and again' });
  });
}

/** The object that a request names; undefined for a name that is not there. */
function resolve(mdt: MetadataTarget, body: MdtBody, name: Uint8Array): Fid | undefined {
  // A second hop of a look-up across targets names the object itself.
  if ((body.mbo_valid & MdValid.OBD_MD_FLCROSSREF) !== 0n) return body.mbo_fid1;
  if (name.length === 0) {
    mdt.view.inode(body.mbo_fid2);
    return body.mbo_fid2;
  }
  checkName(name);
  const parent = mdt.view.inode(body.mbo_fid1, ESTALE);
  if (parent.nlink === 0) throw errnoError(ESTALE, { syscall: 'lookup' });
  mdt.view.directory(body.mbo_fid1);
  const who = credentialOf(body.mbo_fsuid, body.mbo_fsgid, body.mbo_capability, body.mbo_suppgid);
  demand(who, parent, MAY_EXEC, mdt.view.acl(body.mbo_fid1, parent));
  return mdt.view.lookup(body.mbo_fid1, name)?.fid;
}

function policyFor(
  mdt: MetadataTarget,
  context: IntentContext,
  client: Export,
  body: MdtBody,
  fid: Fid,
  inode: Inode,
): { inodeBits: bigint; tryBits?: bigint } {
  let bits = MDS_INODELOCK_LOOKUP | MDS_INODELOCK_PERM;
  if (context.opcode !== IntentOpcode.IT_LOOKUP || inode.ctime + SETTLED_AFTER < mdt.now())
    bits |= MDS_INODELOCK_UPDATE;
  if ((body.mbo_valid & MdValid.OBD_MD_FLCROSSREF) !== 0n) bits &= ~MDS_INODELOCK_LOOKUP;
  const layout = isRegular(inode) && mdt.layoutOf(fid) !== undefined;
  const layoutLocks = (client.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_LAYOUTLOCK) !== 0n;
  return layout && layoutLocks
    ? { inodeBits: BigInt(bits), tryBits: BigInt(MDS_INODELOCK_LAYOUT) }
    : { inodeBits: BigInt(bits) };
}
