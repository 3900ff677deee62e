/** Lock value blocks of objects (guide 12 §11): size, times and blocks as they are in the store. */
import type { ResourceId } from '../../ldlm/lock.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { OstLvb } from '../../wire/ldlm-structs.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { objectOfResource } from './object-request.ts';

/** The LVB of the object that a resource names. ENOENT, which fails the enqueue, when there is none. */
export async function objectLvb(
  store: ObjectStore,
  ost: { readonly index: number },
  resource: ResourceId,
): Promise<Uint8Array> {
  const id = objectOfResource(resource, ost);
  if (id === undefined) throw errnoError(Errno.ENOENT, { syscall: 'lock object' });
  const { size, mtime, atime, ctime, blocks } = await store.getAttributes(id);
  return OstLvb.encode({
    lvb_size: size,
    lvb_mtime: mtime,
    lvb_atime: atime,
    lvb_ctime: ctime,
    lvb_blocks: blocks,
  });
}
