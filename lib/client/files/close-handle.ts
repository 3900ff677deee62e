/** Closing at the MDT (guide 11 §6): the handle goes back with what this client knows of the file. */
import { unusable } from '../../layout/file-layout.ts';
import { FileMap } from '../../layout/file-map.ts';
import type { LustreError } from '../../runtime/errors.ts';
import { type Close, close } from '../mdc/close.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { isRegular, mergeAttributes } from '../namespace/attributes.ts';
import type { Inode } from '../namespace/inodes.ts';
import { fileObjects } from '../objects/file-objects.ts';
import type { ObjectAttributes } from '../osc/known-objects.ts';
import type { Session } from '../session.ts';
import type { MdtHandle } from './open-handles.ts';

/**
 * Gives a handle of an MDT back, with what is certain of times and size. An MDT before 2.16 takes a time of modification that
 * is later than its own, whatever has happened since: one that is not under a lock any more could undo what another client
 * has set. `untouched`: the open made the file and nobody used it, so there is nothing to tell of its data.
 */
export async function closeHandle(
  session: Session,
  handle: MdtHandle,
  how: { modified?: boolean; untouched?: boolean; context?: { syscall: string; path: string } } = {},
): Promise<void> {
  const { inode } = handle;
  if (!handle.state.made || handle.generation !== inode.mdt.generation) return;
  const { body } = inode;
  const what = {
    fid: inode.fid,
    state: handle.state,
    mode: body.mbo_mode,
    group: supplementaryGroup(session.who, body.mbo_gid),
    ...(handle.readAt > inode.atimeChosen && { atime: BigInt(handle.readAt) }),
    ...(how.untouched !== true && knownOfData(session, inode)),
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

/** What needs no request: all objects are under locks of ours. */
function knownOfData(session: Session, inode: Inode): Pick<Close, 'size' | 'mtime' | 'ctime'> {
  if (!inode.layoutValid || !isRegular(inode.body.mbo_mode)) return {};
  try {
    const { layout } = inode;
    if (layout === undefined || unusable(layout) !== undefined) return {};
    const { map, stripes } = fileObjects(session, new FileMap(layout), inode);
    const objects = stripes.map(({ ost, key }) => ost.known.current(key));
    const known = objects.filter((object) => object !== undefined);
    if (known.length < objects.length || known.length === 0) return {};
    const { size, blocks } = mergeAttributes(inode.fid, inode.body, map, known);
    // Times of data that an MDT keeps are its own.
    const onOsts = known.filter((_, i) => stripes[i]?.onMdt === false);
    const newest = (of: (object: ObjectAttributes) => number): bigint => BigInt(Math.max(...onOsts.map(of)));
    return {
      size: { bytes: BigInt(size), blocks: BigInt(blocks) },
      ...(onOsts.length > 0 && { mtime: newest((o) => o.mtime), ctime: newest((o) => o.ctime) }),
    };
  } catch {
    return {};
  }
}
