/** Changing the attributes of an object (guide 11 §4): mode, owner, times. */

import type { AttributeChanges } from '../engine.ts';
import { setattr } from '../mdc/reint-setattr.ts';
import { attributeRequest, chosenTimes, toSeconds } from '../namespace/attribute-changes.ts';
import { isRegular } from '../namespace/attributes.ts';
import { options } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';
import type { DataOf, LayoutInUse } from './file-layouts.ts';
import type { Files } from './files.ts';
import type { GroupContext } from './group-lock.ts';

/** MDT first, then the objects, which have times of their own. Of one mirror: only the times of its objects. */
export async function setAttributes(
  session: Session,
  files: Files,
  data: DataOf,
  changes: AttributeChanges,
  context: GroupContext,
): Promise<void> {
  const { inode, mirror } = data;
  const { who, runtime } = session;
  const chosen = chosenTimes(changes);
  if (mirror === undefined) {
    const what = await attributeRequest(inode, changes, who);
    await setattr(inode.mdt, what, who, options(context));
    inode.expire();
  }
  if (Object.keys(chosen).length === 0 || !isRegular(inode.body.mbo_mode)) return;
  const times = { ...chosen, ctime: toSeconds(runtime.wallTime()) };
  inode.choose(chosen, Number(times.ctime));
  const onObjects = async (objects: LayoutInUse | undefined): Promise<void> => {
    if (objects === undefined) return;
    await files.io.setTimes(inode.key, objects, times, { ...options(context), group: context.group });
  };
  await (mirror === undefined
    ? files.layouts.using(inode, context, onObjects)
    : files.layouts.usingData(data, context, onObjects));
}
