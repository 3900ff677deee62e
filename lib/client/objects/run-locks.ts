/** Locks and sizes for the runs of objects that a read or write touches. */
import type { ObjectRun } from '../../layout/raid0.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import type { RequestOptions } from '../request-options.ts';
import { glimpse, type HeldLock, isGroup, type LockOptions, lockExtent } from './extent-locks.ts';
import type { FileObjects, Stripe } from './file-objects.ts';

/** Data that an MDT keeps are under another kind of lock; a mirrored file's go with the layout that allows them. */
export const isUncached = (stripe: Stripe): boolean =>
  stripe.onMdt || stripe.object.layoutVersion !== undefined;

export const bytesOf = (runs: readonly ObjectRun[]): number => runs.reduce((sum, run) => sum + run.length, 0);

/** What is known of an object's size. */
export const sizeOf = (stripe: Stripe): number => stripe.ost.known.get(stripe.key)?.size ?? 0;

/** How many of `length` bytes from `position` are in the file. Only where an object ends before what is wanted of it are
 * the others asked: the file ends where the last of them does. */
export async function bytesAt(
  { map, stripes }: FileObjects,
  held: readonly HeldLock[],
  runs: readonly ObjectRun[],
  position: number,
  length: number,
  options: RequestOptions,
): Promise<number> {
  const whole =
    bytesOf(runs) === length &&
    runs.every((run) => run.objectOffset + run.length <= sizeOf(stripes[run.stripe]!));
  if (whole) return length;
  const objects = await Promise.all(stripes.map((stripe) => glimpse(stripe, options)));
  const sizes = objects.map((object, i) => {
    const stripe = stripes[i]!;
    const mine = held.find((h) => h.stripe === stripe);
    if (mine === undefined) return object.size;
    // Others of the group may have made it longer or shorter.
    if (isGroup(mine)) return stripe.ost.known.learn(stripe.key, object, mine.lock).size;
    return Math.max(object.size, sizeOf(stripe));
  });
  return Math.min(Math.max(map.fileSize(sizes) - position, 0), length);
}

/** Locks by the run's object and offset; a mirror may have an object in several ranges. */
export type RunLocks = ReadonlyMap<string, HeldLock>;
export const runKey = (run: ObjectRun): string => `${run.stripe}/${run.objectOffset}`;

export function lockOf(locks: RunLocks, run: ObjectRun): HeldLock {
  const lock = locks.get(runKey(run));
  if (lock === undefined) throw errnoError(Errno.EIO, { syscall: 'lock' });
  return lock;
}

/** Locks what each run covers, in stripe order. */
export async function lockRuns(
  held: HeldLock[],
  { stripes }: FileObjects,
  runs: readonly ObjectRun[],
  mode: 'read' | 'write',
  options: LockOptions,
): Promise<RunLocks> {
  const locks = new Map<string, HeldLock>();
  const ordered = runs.length === 1 ? runs : [...runs].sort((a, b) => a.stripe - b.stripe);
  for (const run of ordered) {
    const stripe = stripes[run.stripe]!;
    const lock = await lockExtent(stripe, mode, run.objectOffset, run.objectOffset + run.length, options);
    held.push(lock);
    locks.set(runKey(run), lock);
  }
  return locks;
}
