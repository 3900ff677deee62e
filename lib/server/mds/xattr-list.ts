/** All extended attributes of an object: those in the table, and those that say what the inode knows (guide 07 §10). */
import type { Fid } from '../../fid/fid.ts';
import { Som } from '../../wire/fid-constants.ts';
import { LustreMdtAttrs, LustreSomAttrs } from '../../wire/fid-structs.ts';
import { XattrName } from '../../wire/names.ts';
import { isRegular } from './credential.ts';
import type { MetadataTarget } from './metadata-target.ts';
import type { Inode } from './records.ts';

export function* allXattrs(
  mdt: MetadataTarget,
  fid: Fid,
  inode: Inode,
): Iterable<{ name: string; value: Uint8Array }> {
  yield {
    name: XattrName.XATTR_NAME_LMA,
    value: LustreMdtAttrs.encode({ lma_compat: 0, lma_incompat: 0, lma_self_fid: fid }),
  };
  yield* mdt.view.xattrs(fid);
  if (isRegular(inode) && inode.lazySize !== 0)
    yield {
      name: XattrName.XATTR_NAME_SOM,
      value: LustreSomAttrs.encode({
        lsa_valid: Som.SOM_FL_LAZY,
        lsa_size: inode.size,
        lsa_blocks: inode.blocks,
      }),
    };
}
