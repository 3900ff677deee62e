/** OST_STATFS (guide 12 §4.8): what is free, less what is promised to clients. */
import type { Operation } from '../../connection/target.ts';
import { RQF_OST_STATFS } from '../../wire/formats.ts';
import { StatfsState } from '../../wire/ost-constants.ts';
import { operation } from '../operation.ts';
import { OBJECT_BYTES_MAX, type OstContext } from './ost-context.ts';

/** EXT4_SUPER_MAGIC, which kernel OSTs report. */
const TYPE = 0xef53;
const NAME_MAX = 255;
/** Clients without GRANT_PARAM take no larger block. */
const BLOCK_SIZE_MAX = 4096;
const FILES_LOW = 128n;

export function ostStatfs(ost: OstContext): Operation {
  return operation(RQF_OST_STATFS, async (call) => {
    const s = await ost.space.statfs();
    // The same bytes in blocks of at most 4 KiB.
    const factor = BigInt(Math.max(1, Math.floor(s.blockSize / BLOCK_SIZE_MAX)));
    const blockSize = Math.floor(s.blockSize / Number(factor));
    const promised = BigInt(Math.ceil(Math.max(0, ost.grants.totalGranted) / blockSize));
    const available = s.available * factor;
    const state =
      (s.available === 0n ? StatfsState.OS_STATFS_ENOSPC : 0) |
      (s.filesFree < FILES_LOW ? StatfsState.OS_STATFS_ENOINO : 0);
    call.reply({
      obd_statfs: {
        os_type: BigInt(TYPE),
        os_blocks: s.blocks * factor,
        os_bfree: s.free * factor,
        os_bavail: available > promised ? available - promised : 0n,
        os_files: s.files,
        os_ffree: s.filesFree,
        os_bsize: blockSize,
        os_namelen: NAME_MAX,
        os_maxbytes: OBJECT_BYTES_MAX,
        os_state: state,
      },
    });
  });
}
