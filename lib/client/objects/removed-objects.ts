/**
 * The objects of a file that has lost its last name (guide 12 §8): its MDS has them destroyed, for which the OSTs would ask for
 * every lock on each of them. What is unused goes back unasked instead, many in a request.
 */
import { unusable } from '../../layout/file-layout.ts';
import { FileMap } from '../../layout/file-map.ts';
import type { Inode } from '../namespace/inodes.ts';
import type { Session } from '../session.ts';
import { fileObjects } from './file-objects.ts';

export function dropObjectLocks(session: Session, inode: Inode): void {
  for (const { ost, resource } of objectsOf(session, inode)) {
    ost.locks.dropUnused(resource).catch((err: unknown) => {
      session.runtime.log.warn({ err }, 'locks on the objects of a removed file stay');
    });
  }
}

/** None where the layout is not known: the OSTs ask, then. */
function objectsOf(session: Session, inode: Inode): ReturnType<typeof fileObjects>['stripes'] {
  try {
    const { layout } = inode;
    if (layout === undefined || unusable(layout) !== undefined) return [];
    return fileObjects(session, new FileMap(layout), inode).stripes.filter(
      ({ onMdt, lost }) => !onMdt && !lost,
    );
  } catch {
    return [];
  }
}
