/** REINT_CREATE (guide 09 §6): directories, special files, files without objects; symbolic links have a format of their own. */
import type { Call, Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { type Format, required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_CREATE_ACL, RQF_MDS_REINT_CREATE_SYM } from '../../../wire/formats.ts';
import type { MdtRecCreate } from '../../../wire/mds-structs.ts';
import { credentialOf, Mode } from '../credential.ts';
import type { MetadataTarget, Modified } from '../metadata-target.ts';
import { create } from '../namespace-create.ts';
import { attributeBody } from '../object-body.ts';
import type { Inode } from '../records.ts';
import { nameBytes } from '../request-fields.ts';
import { changedDirectory } from '../server-locks.ts';

const UINT32 = 0xffff_ffffn;

export function reintCreate(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_CREATE_ACL> {
  return {
    format: RQF_MDS_REINT_CREATE_ACL,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const name = nameBytes(call.request, RQF_MDS_REINT_CREATE_ACL, 'name');
      // A link without a target cannot be told from one with an empty one.
      if ((rec.cr_mode & Mode.S_IFMT) === Mode.S_IFLNK) throw errnoError(14, { syscall: 'symlink' });
      const { result, transno } = await make(mdt, call, rec, name, undefined);
      call.reply({ mdt_body: attributeBody(rec.cr_fid2, result, undefined) }, { transno });
    },
  };
}

export function reintSymlink(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_CREATE_SYM> {
  return {
    format: RQF_MDS_REINT_CREATE_SYM,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const name = nameBytes(call.request, RQF_MDS_REINT_CREATE_SYM, 'name');
      const target = symlinkTarget(call);
      const { result, transno } = await make(mdt, call, rec, name, target);
      call.reply({ mdt_body: attributeBody(rec.cr_fid2, result, undefined) }, { transno });
    },
  };
}

function symlinkTarget(call: Call<typeof RQF_MDS_REINT_CREATE_SYM>): Uint8Array {
  const index = RQF_MDS_REINT_CREATE_SYM.request.findIndex((field) => field.key === 'symtgt');
  const raw = call.request.message.buffers[index] ?? new Uint8Array(0);
  if (raw.length > 0 && raw.indexOf(0) !== raw.length - 1) throw errnoError(71, { syscall: 'symlink' });
  return raw.slice(0, Math.max(0, raw.length - 1));
}

function make(
  mdt: MetadataTarget,
  call: Call<Format>,
  rec: MdtRecCreate,
  name: Uint8Array,
  target: Uint8Array | undefined,
): Promise<Modified<Inode>> {
  const who = credentialOf(rec.cr_fsuid, rec.cr_fsgid, rec.cr_cap, rec.cr_suppgid1, rec.cr_suppgid2);
  return mdt.modifyLocked(call, [changedDirectory(rec.cr_fid1)], (ns) =>
    create(ns, who, {
      parent: rec.cr_fid1,
      name,
      fid: rec.cr_fid2,
      mode: rec.cr_mode,
      umask: rec.cr_umask,
      rdev: rec.cr_rdev & UINT32,
      time: rec.cr_time,
      ...(target === undefined ? {} : { target }),
    }),
  );
}
