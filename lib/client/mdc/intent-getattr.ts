/**
 * Lookup and getattr intents (guide 09 §4.1, guide 10 §2, §3): a name, or an object by FID, becomes attributes, a layout
 * and a lock in one round trip.
 */
import type { Fid } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_LDLM_INTENT_GETATTR } from '../../wire/formats.ts';
import { InodeBit, IntentOpcode, LockFlag, LockMode, LockType } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import { checkIntent, has, intentStatus } from './intent.ts';
import { EA_ROOM, INTENT_REPLY_ROOM, type MetadataTarget, type RequestOptions } from './target.ts';

const NOTHING = new Uint8Array(0);

/** What a kernel asks in these intents. */
export const INTENT_ATTRIBUTES =
  MdValid.OBD_MD_FLGETATTR |
  MdValid.OBD_MD_FLEASIZE |
  MdValid.OBD_MD_FLMODEASIZE |
  MdValid.OBD_MD_FLDIREA |
  MdValid.OBD_MD_MEA |
  MdValid.OBD_MD_FLACL |
  MdValid.OBD_MD_DEFAULT_MEA;

export interface Lookup {
  /** The directory, or the object itself for a getattr by FID. */
  readonly parent: Fid;
  /** Undefined: by FID. */
  readonly name?: string;
  /** The object by FID; default `parent`. */
  readonly child?: Fid;
  /** The second step to an object on another MDT than its name. */
  readonly crossReference?: boolean;
  /** Supplementary group that could help. */
  readonly group?: number;
  /** `lookup` for what is only passed through; `getattr` when the attributes must be current. */
  readonly intent: 'lookup' | 'getattr';
  /** One of many that are asked for together. */
  readonly batched?: boolean;
}

export interface LookupResult {
  readonly body: MdtBody;
  /** Layout EA of a file. */
  readonly ea: Uint8Array;
  readonly acl: Uint8Array;
  /** Default layout of the directories in a directory; empty where there is none. */
  readonly directoryDefault: Uint8Array;
  /** Held (referenced) until released. */
  readonly lock: ClientLock | undefined;
}

export function lookupBuffers(
  lookup: Lookup,
  who: Credentials,
): Pick<RequestInputs<typeof RQF_LDLM_INTENT_GETATTR>, 'ldlm_intent' | 'mdt_body' | 'name'> {
  const opc = lookup.intent === 'lookup' ? IntentOpcode.IT_LOOKUP : IntentOpcode.IT_GETATTR;
  return {
    ldlm_intent: { opc: BigInt(opc) },
    mdt_body: {
      mbo_fid1: lookup.parent,
      ...(lookup.name === undefined && { mbo_fid2: lookup.child ?? lookup.parent }),
      mbo_valid:
        lookup.crossReference === true ? INTENT_ATTRIBUTES | MdValid.OBD_MD_FLCROSSREF : INTENT_ATTRIBUTES,
      mbo_eadatasize: EA_ROOM,
      mbo_uid: who.uid,
      mbo_gid: who.gid,
      mbo_fsuid: who.uid,
      mbo_fsgid: who.gid,
      mbo_capability: capabilities(who),
      mbo_suppgid: lookup.group ?? NO_GROUP,
    },
    name: lookup.name ?? '',
  };
}

export function lookupBits(lookup: Lookup): bigint {
  if (lookup.batched === true) return BigInt(InodeBit.MDS_INODELOCK_LOOKUP | InodeBit.MDS_INODELOCK_UPDATE);
  return BigInt(lookup.intent === 'lookup' ? InodeBit.MDS_INODELOCK_LOOKUP : InodeBit.MDS_INODELOCK_UPDATE);
}

/** Undefined when the name is not there. Rejects with what the server refuses: EACCES, ENOTDIR, ESTALE ... */
export async function lookup(
  mdc: MetadataTarget,
  what: Lookup,
  who: Credentials,
  options: RequestOptions = {},
): Promise<LookupResult | undefined> {
  const { lock, reply, status } = await mdc.locks.enqueue({
    resource: fidResource(what.parent),
    type: LockType.LDLM_IBITS,
    mode: LockMode.LCK_CR,
    policy: { inodeBits: lookupBits(what) },
    flags: LockFlag.LDLM_FL_HAS_INTENT,
    intent: {
      format: RQF_LDLM_INTENT_GETATTR,
      buffers: lookupBuffers(what, who),
      ...(what.batched === true && { call: mdc.batch.call }),
    },
    replyRoom: INTENT_REPLY_ROOM,
    ...options,
  });
  void status;
  try {
    const intent = intentStatus(required(reply.values, 'dlm_rep'));
    checkIntent(intent, mdc.name, options.context);
    if (has(intent, 'DISP_LOOKUP_NEG')) {
      if (lock !== undefined) mdc.locks.release(lock);
      return undefined;
    }
    const body = required(reply.values, 'mdt_body');
    const ea = reply.values.mdt_md ?? new Uint8Array(0);
    const { acl = NOTHING, default_mdt_md: directoryDefault = NOTHING } = reply.values;
    return { body, ea, acl, directoryDefault, lock };
  } catch (error) {
    if (lock !== undefined) mdc.locks.release(lock);
    throw error;
  }
}
