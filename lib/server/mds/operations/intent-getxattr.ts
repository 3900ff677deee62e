/** The intent GETXATTR (guide 09 §4.2): all extended attributes, with the lock that lets a client cache them. */
import { fidResource } from '../../../fid/resource.ts';
import type { Intent } from '../../../ldlm/server-operations.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_LDLM_INTENT_GETXATTR } from '../../../wire/formats.ts';
import { InodeBit, LockMode } from '../../../wire/ldlm-constants.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { allXattrs } from '../xattr-list.ts';
import { intentErrno, intentReply } from './intent-reply.ts';

/** The reference leaves these slots unshrunk. */
const MD_SLOT = 56;
const ACL_SLOT = 260;

export function intentGetxattr(mdt: MetadataTarget): Intent<typeof RQF_LDLM_INTENT_GETXATTR> {
  return {
    format: RQF_LDLM_INTENT_GETXATTR,
    async handle(call, context) {
      const body = required(call.values, 'mdt_body');
      const room = body.mbo_eadatasize;
      if ((body.mbo_valid & MdValid.OBD_MD_FLXATTRALL) === 0n || room === 0 || room % 4 !== 0)
        throw errnoError(22, { syscall: 'getxattr' });
      const fid = body.mbo_fid1;
      const slots = { mdt_md: new Uint8Array(MD_SLOT), acl: new Uint8Array(ACL_SLOT) };
      try {
        mdt.view.inode(fid);
        const inodeBits = BigInt(InodeBit.MDS_INODELOCK_XATTR);
        const lock = await context.grant(fidResource(fid), LockMode.LCK_PR, { inodeBits });
        const all = [...allXattrs(mdt, fid, mdt.view.inode(fid))];
        const names = Buffer.from(all.map(({ name }) => `${name}\0`).join(''));
        const values = Buffer.concat(all.map(({ value }) => value));
        if (names.length > room || values.length > room) {
          lock?.cancel();
          throw errnoError(34, { syscall: 'getxattr' });
        }
        const { dlm_rep, status } = intentReply({ disposition: 0, errno: 0, lock });
        call.reply(
          {
            dlm_rep,
            ...slots,
            mdt_body: {
              mbo_valid: MdValid.OBD_MD_FLXATTR,
              mbo_eadatasize: names.length,
              mbo_aclsize: values.length,
              mbo_max_mdsize: all.length,
            },
            eadata: names,
            eavals: values,
            eavals_lens: all.map(({ value }) => value.length),
          },
          { status },
        );
      } catch (error) {
        const { dlm_rep, status } = intentReply({
          disposition: 0,
          errno: intentErrno(error),
          lock: undefined,
        });
        call.reply({ dlm_rep, ...slots, mdt_body: {} }, { status });
      }
    },
  };
}
