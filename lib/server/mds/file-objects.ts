/** Giving a file its objects, with its creation or later (guides 09 §5.1, 13 §5 and §11). */
import type { Call } from '../../connection/target.ts';
import { type Fid, ROOT_FID } from '../../fid/fid.ts';
import type { LayoutObject } from '../../layout/file-layout.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Format } from '../../wire/format.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { XattrName } from '../../wire/names.ts';
import { layoutEa, type WantedLayout, wantedLayout } from './file-layout.ts';
import { decodeLinks } from './link-ea.ts';
import type { MetadataTarget, Modified } from './metadata-target.ts';
import type { NamespaceEdit } from './namespace.ts';
import type { Inode } from './records.ts';
import { changedObject } from './server-locks.ts';

/** Objects that are ours until they are in a file or given back. */
export interface ReservedLayout {
  readonly objects: readonly LayoutObject[];
  readonly wanted: WantedLayout;
}

/** `request` is the lov_user_md that came with the request. Throws as ObjectAllocator.allocate does. */
export async function reserveLayout(
  mdt: MetadataTarget,
  parent: Fid,
  request: Uint8Array | undefined,
): Promise<ReservedLayout> {
  const wanted = wantedLayout(mdt.view, parent, request, mdt.defaultLayout);
  return { wanted, objects: await mdt.objects.allocate(wanted) };
}

/** The EA of a file with the reserved objects, which are used from now on. */
export function useLayout(
  mdt: MetadataTarget,
  ns: NamespaceEdit,
  file: Fid,
  reserved: ReservedLayout,
): Uint8Array {
  const ea = layoutEa(file, reserved.wanted, reserved.objects);
  mdt.objects.markUsed({ table: (name) => ns.raw(name) }, reserved.objects);
  mdt.noteLayoutSize(ea.length);
  return ea;
}

/**
 * Gives a file without objects its objects; everybody who knows that it has none is told. Does nothing when it has some,
 * but throws EEXIST when `request` wants others.
 */
export async function instantiate(
  mdt: MetadataTarget,
  call: Call<Format>,
  fid: Fid,
  request: Uint8Array | undefined,
): Promise<Modified<Inode> | undefined> {
  if (mdt.layoutOf(fid) !== undefined) {
    if (request !== undefined) throw errnoError(17, { syscall: 'setstripe' });
    return undefined;
  }
  const parent = decodeLinks(mdt.view.xattr(fid, XattrName.XATTR_NAME_LINK))[0]?.parent ?? ROOT_FID;
  const reserved = await reserveLayout(mdt, parent, request);
  const locks = [changedObject(fid, InodeBit.MDS_INODELOCK_LAYOUT | InodeBit.MDS_INODELOCK_UPDATE)];
  let used = false;
  try {
    return await mdt.modifyLocked(call, locks, (ns) => {
      const inode = ns.inode(fid);
      // Somebody else was faster.
      if (ns.xattr(fid, XattrName.XATTR_NAME_LOV) !== undefined) {
        if (request !== undefined) throw errnoError(17, { syscall: 'setstripe' });
        return inode;
      }
      ns.setXattr(fid, XattrName.XATTR_NAME_LOV, useLayout(mdt, ns, fid, reserved));
      ns.putInode(fid, inode);
      used = true;
      return inode;
    });
  } catch (error) {
    used = false;
    throw error;
  } finally {
    if (!used) mdt.objects.giveBack(reserved.objects);
  }
}
