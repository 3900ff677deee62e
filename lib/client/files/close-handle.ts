/** Closing at the MDT (guide 11 §6): the handle goes back with what this client knows of the file. */
import { unusable } from '../../layout/file-layout.ts';
import { FileMap } from '../../layout/file-map.ts';
import type { LustreError } from '../../runtime/errors.ts';
import type { Attributes } from '../engine.ts';
import { close } from '../mdc/close.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { isRegular, mergeAttributes } from '../namespace/attributes.ts';
import type { Inode } from '../namespace/inodes.ts';
import { fileObjects } from '../objects/file-objects.ts';
import type { Session } from '../session.ts';
import type { MdtHandle } from './open-handles.ts';

/** Gives a handle of an MDT back, with the times and, where it is certain, the size. */
export async function closeHandle(
  session: Session,
  handle: MdtHandle,
  how: { modified?: boolean; context?: { syscall: string; path: string } } = {},
): Promise<void> {
  const { inode } = handle;
  if (!handle.state.made || handle.generation !== inode.mdt.generation) return;
  const { body } = inode;
  const merged = knownAttributes(session, inode);
  const later = (a: bigint, b: number): bigint => (BigInt(b) > a ? BigInt(b) : a);
  const what = {
    fid: inode.fid,
    state: handle.state,
    mode: body.mbo_mode,
    group: supplementaryGroup(session.who, body.mbo_gid),
    atime: handle.readAt > inode.atimeChosen ? later(body.mbo_atime, handle.readAt) : body.mbo_atime,
    mtime: later(body.mbo_mtime, (merged?.mtimeMs ?? 0) / 1000),
    ctime: later(body.mbo_ctime, (merged?.ctimeMs ?? 0) / 1000),
    ...(merged !== undefined && { size: { bytes: BigInt(merged.size), blocks: BigInt(merged.blocks) } }),
    modified: how.modified === true,
  };
  try {
    const context = how.context === undefined ? {} : { context: how.context };
    await close(inode.mdt, what, session.who, context);
  } catch (error) {
    // The server was restarted or evicted us: it has no handle any more, which is what was wanted.
    if ((error as LustreError).code !== 'ESTALE') throw error;
  }
}

/** Attributes that need no request: all objects are under locks of ours. */
function knownAttributes(session: Session, inode: Inode): Attributes | undefined {
  if (!inode.layoutValid || !isRegular(inode.body.mbo_mode)) return undefined;
  try {
    const { layout } = inode;
    if (layout === undefined || unusable(layout) !== undefined) return undefined;
    const { map, stripes } = fileObjects(session, new FileMap(layout), inode);
    const objects = stripes.map(({ ost, key }) => ost.known.current(key));
    const known = objects.filter((object) => object !== undefined);
    if (known.length < objects.length || known.length === 0) return undefined;
    return mergeAttributes(inode.fid, inode.body, map, known);
  } catch {
    return undefined;
  }
}
