/** MDS_REINT (guide 09 §6): its first word chooses the operation, and with it the format. */
import type { Operation } from '../../../connection/target.ts';
import type { IncomingRequest } from '../../../rpc/rpc.ts';
import { errnoError } from '../../../runtime/errors.ts';
import type { Format } from '../../../wire/format.ts';
import { Reint } from '../../../wire/mds-constants.ts';
import { MdtRecCreate, MdtRecReint } from '../../../wire/mds-structs.ts';
import { Mode } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { reintCreate, reintSymlink } from './reint-create.ts';
import { reintLink } from './reint-link.ts';
import { reintRename } from './reint-rename.ts';
import { reintSetattr } from './reint-setattr.ts';
import { reintSetxattr } from './reint-setxattr.ts';
import { reintUnlink } from './reint-unlink.ts';

export function reint(mdt: MetadataTarget): Operation {
  const symlink: Operation = reintSymlink(mdt);
  const operations = new Map<number, Operation>([
    [Reint.REINT_SETATTR, reintSetattr(mdt)],
    [Reint.REINT_CREATE, reintCreate(mdt)],
    [Reint.REINT_LINK, reintLink(mdt)],
    [Reint.REINT_UNLINK, reintUnlink(mdt)],
    [Reint.REINT_RMENTRY, reintUnlink(mdt)],
    [Reint.REINT_RENAME, reintRename(mdt)],
    [Reint.REINT_SETXATTR, reintSetxattr(mdt)],
  ]);
  const choose = (request: IncomingRequest): Operation => {
    const record = request.message.buffers[1];
    if (record === undefined || record.length < MdtRecReint.size) throw errnoError(71, { syscall: 'reint' });
    const rec = MdtRecCreate.decode(record, 0, request.message.littleEndian);
    if (rec.cr_opcode === Reint.REINT_CREATE && (rec.cr_mode & Mode.S_IFMT) === Mode.S_IFLNK) return symlink;
    const operation = operations.get(rec.cr_opcode);
    // EFAULT is what the reference says to an unknown one.
    const known = rec.cr_opcode > 0 && rec.cr_opcode < Reint.REINT_MAX;
    if (operation === undefined) throw errnoError(known ? 95 : 14, { syscall: 'reint' });
    return operation;
  };
  return {
    format: (request) => choose(request).format as Format,
    handle: (call) => choose(call.request).handle(call),
  };
}
