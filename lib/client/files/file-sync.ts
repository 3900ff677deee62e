/** Making durable what was written (guide 11 §5): the data at the OSTs, the metadata at the MDTs. */
import { ZERO_FID } from '../../fid/fid.ts';
import type { DataCache } from '../data-cache/data-cache.ts';
import { sync as syncMetadata } from '../mdc/sync.ts';
import { isRegular } from '../namespace/attributes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import { activeMdts, type Session } from '../session.ts';
import type { FileIo } from './file-io.ts';
import type { FileLayouts, LayoutInUse } from './file-layouts.ts';
import type { OpenFile } from './open-file.ts';

/** Where files' data is on its way to the servers. */
interface Unwritten {
  readonly layouts: FileLayouts;
  readonly cache: DataCache;
  readonly io: FileIo;
  readonly dirty: DirtyObjects;
}

/** The data of one file, and unless `dataOnly` its metadata. */
export async function syncFile(
  { who }: Session,
  files: Unwritten,
  file: OpenFile,
  dataOnly: boolean,
  context: WalkContext,
): Promise<void> {
  const { inode } = file;
  if (!isRegular(inode.body.mbo_mode)) {
    if (!dataOnly) await syncMetadata(inode.mdt, inode.fid, who, options(context));
    return;
  }
  const both = async (objects: LayoutInUse | undefined): Promise<void> => {
    const work: Promise<void>[] = [];
    const onMdt = objects?.stripes.some((stripe) => stripe.onMdt) === true;
    if (!dataOnly || onMdt) work.push(syncMetadata(inode.mdt, inode.fid, who, options(context)));
    if (objects !== undefined) work.push(files.io.sync(inode.key, objects, options(context)));
    await Promise.all(work);
  };
  await (file.mirror === undefined
    ? files.layouts.using(inode, context, both)
    : files.layouts.usingData(file, context, both));
  files.cache.check(file, options(context).context);
}

/** All that this client has written, and all metadata. */
export async function syncAll(session: Session, files: Unwritten, context: WalkContext): Promise<void> {
  const { who } = session;
  await files.cache.flushAll();
  await Promise.all([
    files.dirty.sync(options(context)),
    ...activeMdts(session).map((mdt) => syncMetadata(mdt, ZERO_FID, who, options(context))),
  ]);
}
