/** MDS_READPAGE (guide 09 §8): the pages go by bulk into the client's memory. */
import type { Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_READPAGE } from '../../../wire/formats.ts';
import { Dir } from '../../../wire/mds-constants.ts';
import { Portal } from '../../../wire/opcodes.ts';
import { isDirectory } from '../credential.ts';
import { directoryPages } from '../directory-page.ts';
import type { MetadataTarget } from '../metadata-target.ts';

/** Most that one request gets, bytes. */
const READ_MAX = 1 << 20;

export function readpage(mdt: MetadataTarget): Operation<typeof RQF_MDS_READPAGE> {
  return {
    format: RQF_MDS_READPAGE,
    async handle(call) {
      const body = required(call.values, 'mdt_body');
      const size = body.mbo_nlink;
      if (size === 0 || size % Dir.LU_PAGE_SIZE !== 0) throw errnoError(14, { syscall: 'readdir' });
      if (!isDirectory(mdt.view.inode(body.mbo_fid1))) throw errnoError(20, { syscall: 'readdir' });
      const pages = directoryPages(mdt.view, body.mbo_fid1, body.mbo_size, Math.min(size, READ_MAX));
      const memory = mdt.ptlrpc.endpoint.pin(pages);
      try {
        const segments = [{ memory, offset: 0, length: pages.length }];
        await call.request.bulkPut(Portal.MDS_BULK_PORTAL, segments);
      } finally {
        memory.release();
      }
      call.reply({ mdt_body: {} });
    },
  };
}
