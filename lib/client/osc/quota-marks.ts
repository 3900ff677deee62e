/**
 * Whose quota is about to end on an OST (guide 12 §7): servers take bytes out of caches whatever the quota says, and tell in
 * the reply who has no more. What those write goes to the server before the caller is told that it is written, and there
 * they are refused.
 */
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import type { Owner, StripeObject } from './stripe-object.ts';

const { OBD_FL_ROOT_SQUASH, OBD_FL_ROOT_PRJQUOTA } = ObdoFlag;
/** Of owners that are remembered: a server that names more is not believed. */
const OWNERS_MAX = 4096;
type OwnerId = 'o_uid' | 'o_gid' | 'o_projid';
const KINDS: readonly (readonly [OwnerId, bigint, number])[] = [
  ['o_uid', MdValid.OBD_MD_FLUSRQUOTA, ObdoFlag.OBD_FL_NO_USRQUOTA],
  ['o_gid', MdValid.OBD_MD_FLGRPQUOTA, ObdoFlag.OBD_FL_NO_GRPQUOTA],
  ['o_projid', MdValid.OBD_MD_FLPRJQUOTA, ObdoFlag.OBD_FL_NO_PRJQUOTA],
];

export class QuotaMarks {
  readonly #ended: Readonly<Record<OwnerId, Set<number>>> = {
    o_uid: new Set(),
    o_gid: new Set(),
    o_projid: new Set(),
  };
  #rootToo = false;
  #newest = 0n;

  /** A reply to a write. An older one than the newest can only mark, or it would undo what was learned since. */
  answered(oa: Obdo, transno: bigint): void {
    if ((oa.o_valid & MdValid.OBD_MD_FLALLQUOTA) === 0n) return;
    const isNewest = transno >= this.#newest;
    if (isNewest) {
      this.#newest = transno;
      this.#rootToo = (oa.o_flags & (OBD_FL_ROOT_SQUASH | OBD_FL_ROOT_PRJQUOTA)) !== 0;
    }
    for (const [id, valid, flag] of KINDS) {
      if ((oa.o_valid & valid) === 0n) continue;
      if ((oa.o_flags & flag) !== 0 && this.#ended[id].size < OWNERS_MAX) this.#ended[id].add(oa[id]);
      else if (isNewest) this.#ended[id].delete(oa[id]);
    }
  }

  /** Whether what is written to an object has to be asked for first. Quotas are not for root, unless the server says so. */
  concern({ owner }: StripeObject, writer: Owner): boolean {
    if (writer.privileged && !this.#rootToo) return false;
    const { o_uid, o_gid, o_projid } = this.#ended;
    const { uid, gid } = owner ?? writer;
    return o_uid.has(uid) || o_gid.has(gid) || (owner !== undefined && o_projid.has(owner.projid));
  }
}
