/** Giving a file its objects, with its creation or later (guides 09 §5.1, 13 §5 and §11). */
import type { Call } from '../../connection/target.ts';
import { type Fid, ROOT_FID } from '../../fid/fid.ts';
import type { FileLayout, LayoutObject } from '../../layout/file-layout.ts';
import { decodeLayout, encodeLayout } from '../../layout/layout-ea.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Format } from '../../wire/format.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { XattrName } from '../../wire/names.ts';
import { missingComponents, plannedLayout, wantedObjects, withObjects } from './file-layout.ts';
import { decodeLinks } from './link-ea.ts';
import type { MetadataTarget, Modified } from './metadata-target.ts';
import type { NamespaceEdit } from './namespace.ts';
import { XATTR_SIZE_MAX } from './namespace-xattr.ts';
import type { Inode } from './records.ts';
import { changedObject } from './server-locks.ts';

/** Objects that are ours until they are in a file or given back, by index of the component that they are for. */
export interface ReservedLayout {
  readonly plan: FileLayout;
  readonly objects: ReadonlyMap<number, readonly LayoutObject[]>;
}

/** `request` is the lov_user_md that came with the request. Throws as ObjectAllocator.allocate does. */
export async function reserveLayout(
  mdt: MetadataTarget,
  parent: Fid,
  request: Uint8Array | undefined,
): Promise<ReservedLayout> {
  const { layout, exact } = plannedLayout(mdt.view, parent, request, mdt.defaultLayout);
  return reserve(mdt, layout, [0], exact);
}

async function reserve(
  mdt: MetadataTarget,
  plan: FileLayout,
  indices: readonly number[],
  exact: boolean,
): Promise<ReservedLayout> {
  const objects = new Map<number, readonly LayoutObject[]>();
  const reserved = { plan, objects };
  try {
    for (const index of indices) {
      const wanted = wantedObjects(plan.components[index]!, exact);
      objects.set(index, await mdt.objects.allocate(wanted));
    }
    return reserved;
  } catch (error) {
    giveBack(mdt, reserved);
    throw error;
  }
}

export function giveBack(mdt: MetadataTarget, { objects }: ReservedLayout): void {
  for (const list of objects.values()) mdt.objects.giveBack(list);
}

/** The EA of a file with the reserved objects, which are used from now on. */
export function useLayout(
  mdt: MetadataTarget,
  ns: NamespaceEdit,
  file: Fid,
  reserved: ReservedLayout,
): Uint8Array {
  const ea = encodeLayout(withObjects(reserved.plan, file, reserved.objects));
  if (ea.length > XATTR_SIZE_MAX) throw errnoError(7, { syscall: 'setstripe' });
  for (const list of reserved.objects.values()) mdt.objects.markUsed({ table: (name) => ns.raw(name) }, list);
  mdt.noteLayoutSize(ea.length);
  return ea;
}

/**
 * Gives a file without a layout one, with objects for its first component; everybody who knows that it has none is told.
 * Does nothing when it has one, but throws EEXIST when `request` wants another.
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
  const locks = [changedObject(fid, InodeBit.MDS_INODELOCK_LAYOUT)];
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
    if (!used) giveBack(mdt, reserved);
  }
}

/**
 * Gives objects to all components before `end` that have none (guide 13 §5); who holds the layout is told. Throws ENODATA
 * when the layout ends before.
 */
export async function extendLayout(
  mdt: MetadataTarget,
  call: Call<Format>,
  fid: Fid,
  end: number,
): Promise<Modified<Inode> | undefined> {
  const before = mdt.layoutOf(fid);
  if (before === undefined) return instantiate(mdt, call, fid, undefined);
  const layout = decodeLayout(before);
  const missing = missingComponents(layout, end);
  if (layout.components.at(-1)!.end < end) throw errnoError(61, { syscall: 'layout' });
  if (missing.length === 0) return undefined;
  const reserved = await reserve(mdt, { ...layout, generation: layout.generation + 1 }, missing, false);
  const locks = [changedObject(fid, InodeBit.MDS_INODELOCK_LAYOUT | InodeBit.MDS_INODELOCK_UPDATE)];
  let used = false;
  try {
    const modified = await mdt.modifyLocked(call, locks, (ns) => {
      const inode = ns.inode(fid);
      const now = ns.xattr(fid, XattrName.XATTR_NAME_LOV);
      // Somebody else was faster: what is still missing then is asked for again.
      if (now === undefined || Buffer.compare(now, before) !== 0) return inode;
      ns.setXattr(fid, XattrName.XATTR_NAME_LOV, useLayout(mdt, ns, fid, reserved));
      ns.putInode(fid, inode);
      used = true;
      return inode;
    });
    return modified;
  } catch (error) {
    used = false;
    throw error;
  } finally {
    if (!used) giveBack(mdt, reserved);
  }
}
