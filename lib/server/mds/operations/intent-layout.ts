/** The intent LAYOUT (guides 09 §4.3, 13 §5): the layout lock with the layout; for writers a file gets its objects. */
import { fidResource, resourceFid } from '../../../fid/resource.ts';
import type { GrantedLock, Intent } from '../../../ldlm/server-operations.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_LDLM_INTENT_LAYOUT } from '../../../wire/formats.ts';
import { Disposition, InodeBit, LockFlag, LockMode } from '../../../wire/ldlm-constants.ts';
import { LayoutIntent } from '../../../wire/mds-constants.ts';
import { extendLayout } from '../file-objects.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { intentErrno, intentReply } from './intent-reply.ts';

const ENOTSUPP = 524;
const EMPTY = new Uint8Array(0);
const CHANGES: ReadonlySet<number> = new Set([
  LayoutIntent.LAYOUT_INTENT_WRITE,
  LayoutIntent.LAYOUT_INTENT_TRUNC,
]);

export function intentLayout(mdt: MetadataTarget): Intent<typeof RQF_LDLM_INTENT_LAYOUT> {
  return {
    format: RQF_LDLM_INTENT_LAYOUT,
    async handle(call, context) {
      const { lai_opc: opcode, lai_extent: extent } = required(call.values, 'layout_intent');
      const fid = resourceFid(context.request.lock_desc.l_resource.lr_name.name);
      checkOpcode(opcode, context.request.lock_desc.l_req_mode);
      let lock: GrantedLock | undefined;
      let errno = 0;
      let transno = 0n;
      try {
        mdt.view.inode(fid);
        if (CHANGES.has(opcode))
          transno = (await extendLayout(mdt, call, fid, Number(extent.e_end)))?.transno ?? 0n;
        const inodeBits = BigInt(InodeBit.MDS_INODELOCK_LAYOUT);
        lock = await context.grant(fidResource(fid), LockMode.LCK_CR, { inodeBits });
      } catch (error) {
        errno = intentErrno(error);
      }
      const { dlm_rep, status } = intentReply({ disposition: Disposition.DISP_IT_EXECD, errno, lock });
      const { lock_flags: flags = 0 } = dlm_rep;
      // Who only wants to know the layout gets just the lock that was asked for.
      const lock_flags = CHANGES.has(opcode) ? flags : flags & ~LockFlag.LDLM_FL_LOCK_CHANGED;
      call.reply(
        { dlm_rep: { ...dlm_rep, lock_flags }, dlm_lvb: mdt.layoutOf(fid) ?? EMPTY },
        { status, transno },
      );
    },
  };
}

/** A lock of a layout that changes is asked for exclusively, and given shared when it is changed. */
function checkOpcode(opcode: number, mode: number): void {
  if (opcode === LayoutIntent.LAYOUT_INTENT_ACCESS) return;
  if (CHANGES.has(opcode)) {
    if (mode !== LockMode.LCK_EX) throw errnoError(71, { syscall: 'layout' });
    return;
  }
  throw errnoError(opcode > LayoutIntent.LAYOUT_INTENT_CHANGE ? 22 : ENOTSUPP, { syscall: 'layout' });
}
