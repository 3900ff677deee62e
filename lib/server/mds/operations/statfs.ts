/** MDS_STATFS (guides 09 §2, 16 §3.2): a client's kernel goes down over a block size of 0. */
import type { Operation } from '../../../connection/target.ts';
import { RQF_MDS_STATFS_NEW } from '../../../wire/formats.ts';
import type { MetadataTarget } from '../metadata-target.ts';

const LL_SUPER_MAGIC = 0x0bd00bd0n;
const NAME_MAX = 255;

export function statfs(mdt: MetadataTarget): Operation<typeof RQF_MDS_STATFS_NEW> {
  return {
    format: RQF_MDS_STATFS_NEW,
    async handle(call) {
      const s = await mdt.statfs();
      const fsid = new Uint8Array(40);
      fsid.set(new TextEncoder().encode(mdt.name).subarray(0, 39));
      call.reply({
        obd_statfs: {
          os_type: LL_SUPER_MAGIC,
          os_blocks: s.blocks,
          os_bfree: s.free,
          os_bavail: s.available,
          os_files: s.files,
          os_ffree: s.filesFree,
          os_fsid: fsid,
          os_bsize: s.blockSize,
          os_namelen: NAME_MAX,
          os_maxbytes: 0x7fff_ffff_ffff_f000n,
        },
      });
    },
  };
}
