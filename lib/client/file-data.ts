/**
 * Data of regular files (guide 11 §5, guide 12): reads and writes go straight between the caller's memory and the
 * objects, under extent locks. There is no data cache yet: a write resolves when the servers have it.
 */
import type { ObjectRun } from '../layout/raid0.ts';
import { Errno, errnoError } from '../runtime/errors.ts';
import { glimpse, type HeldLock, lockAll, lockExtent, unlock } from './extent-locks.ts';
import type { LayoutInUse } from './file-layouts.ts';
import type { FileObjects, Stripe } from './file-objects.ts';
import { cutRun, type Part, rpcSize } from './osc/brw.ts';
import type { ObjectAttributes } from './osc/known-objects.ts';
import { punch } from './osc/punch.ts';
import { read } from './osc/read.ts';
import { type ObjectTimes, setattr } from './osc/setattr.ts';
import { sync } from './osc/sync.ts';
import { write } from './osc/write.ts';
import { RangeMemory } from './range-memory.ts';
import type { RequestOptions } from './request-options.ts';
import type { Session } from './session.ts';

/** Largest offset that a number holds exactly. */
const OFFSET_MAX = Number.MAX_SAFE_INTEGER;

const seconds = (session: Session): number => Math.floor(session.runtime.wallTime() / 1000);
/** Attributes of all objects of a file, as they are now. */
export function objectAttributes(
  { stripes }: FileObjects,
  options: RequestOptions = {},
): Promise<ObjectAttributes[]> {
  return Promise.all(stripes.map((stripe) => glimpse(stripe, options)));
}

/** Reads from `position` into the buffers; resolves with the bytes that the file has there. */
export async function readFile(
  session: Session,
  file: LayoutInUse,
  buffers: readonly Uint8Array[],
  position: number,
  options: RequestOptions = {},
): Promise<number> {
  const memory = new RangeMemory(session.endpoint, buffers);
  const held: HeldLock[] = [];
  try {
    if (memory.length === 0) return 0;
    if (position + memory.length > OFFSET_MAX) throw errnoError(Errno.EFBIG, options.context);
    const locks = await lockRuns(held, file, file.map.runs(position, memory.length), 'read', options);
    file.check();
    const count = await bytesAt(file, held, position, memory.length, options);
    if (count === 0) return 0;
    const runs = file.map.runs(position, count);
    if (runs.reduce((sum, run) => sum + run.length, 0) < count) memory.zero(0, count);
    await settle(runs.map((run) => readRun(session, memory, lockOf(locks, run), run, options)));
    return count;
  } finally {
    unlock(held);
    memory.release();
  }
}

/** How many of `length` bytes from `position` are in the file. Only where an object ends before what is wanted of it are
 * the others asked: the file ends where the last of them does. */
async function bytesAt(
  { map, stripes }: FileObjects,
  held: readonly HeldLock[],
  position: number,
  length: number,
  options: RequestOptions,
): Promise<number> {
  const runs = map.runs(position, length);
  const inObjects = runs.reduce((sum, run) => sum + run.length, 0);
  const whole =
    inObjects === length &&
    runs.every((run) => run.objectOffset + run.length <= sizeOf(stripes[run.stripe]!));
  if (whole) return length;
  const objects = await Promise.all(stripes.map((stripe) => glimpse(stripe, options)));
  const sizes = objects.map((object, i) => {
    const stripe = stripes[i]!;
    return Math.max(object.size, held.some((h) => h.stripe === stripe) ? sizeOf(stripe) : 0);
  });
  return Math.min(Math.max(map.fileSize(sizes) - position, 0), length);
}

const sizeOf = (stripe: Stripe): number => stripe.ost.known.get(stripe.key)?.size ?? 0;

/** Locks by the run's object and offset; a mirror may have an object in several ranges. */
type RunLocks = ReadonlyMap<string, HeldLock>;
const runKey = (run: ObjectRun): string => `${run.stripe}/${run.objectOffset}`;

function lockOf(locks: RunLocks, run: ObjectRun): HeldLock {
  const lock = locks.get(runKey(run));
  if (lock === undefined) throw errnoError(Errno.EIO, { syscall: 'lock' });
  return lock;
}

/** Locks what each run covers, in stripe order. */
async function lockRuns(
  held: HeldLock[],
  { stripes }: FileObjects,
  runs: readonly ObjectRun[],
  mode: 'read' | 'write',
  options: RequestOptions,
): Promise<RunLocks> {
  const locks = new Map<string, HeldLock>();
  for (const run of [...runs].sort((a, b) => a.stripe - b.stripe)) {
    const stripe = stripes[run.stripe]!;
    const lock = await lockExtent(stripe, mode, run.objectOffset, run.objectOffset + run.length, options);
    held.push(lock);
    locks.set(runKey(run), lock);
  }
  return locks;
}

/** Pieces of a run as segments of the caller's memory. */
const segmentsOf = (memory: RangeMemory, run: ObjectRun) =>
  run.pieces.flatMap((piece) => memory.segments(piece.rangeOffset, piece.length));

async function readRun(
  session: Session,
  memory: RangeMemory,
  { stripe, lock }: HeldLock,
  run: ObjectRun,
  options: RequestOptions,
): Promise<void> {
  // Behind the object's end there is nothing to read: those bytes are a hole of the file.
  const there = Math.min(Math.max(sizeOf(stripe) - run.objectOffset, 0), run.length);
  let skipped = 0;
  for (const piece of run.pieces) {
    const hole = Math.min(Math.max(skipped + piece.length - there, 0), piece.length);
    if (hole > 0) memory.zero(piece.rangeOffset + piece.length - hole, hole);
    skipped += piece.length;
  }
  if (there === 0) return;
  const parts = cutRun(run.objectOffset, head(segmentsOf(memory, run), there), rpcSize(stripe.ost.granted));
  const time = BigInt(seconds(session));
  await settle(
    parts.map(async (part) => {
      const { object, ost } = stripe;
      const request = { object, part, lockHandle: lock.serverHandle, owner: session.owner, time };
      zeroRest(part, await read(ost, request, options));
    }),
  );
}

function head(segments: Part['segments'], length: number): Part['segments'] {
  let left = length;
  return segments.flatMap((segment) => {
    const take = Math.min(segment.length, left);
    left -= take;
    return take === 0 ? [] : [{ ...segment, length: take }];
  });
}

/** A server that counts exactly stops at the object's end; what it left out reads as zeroes. */
function zeroRest(part: Part, count: number): void {
  let at = 0;
  for (const { memory, offset, length } of part.segments) {
    const from = Math.max(count - at, 0);
    if (from < length) memory.bytes.fill(0, offset + from, offset + length);
    at += length;
  }
}

export interface WriteOptions extends RequestOptions {
  /** Locks that are held already, on whole objects, by index. */
  readonly locked?: readonly HeldLock[];
  readonly onWritten?: (stripe: Stripe, transno: bigint) => void;
}

/** Writes the buffers at `position`, where the map has objects for all of them. */
export async function writeFile(
  session: Session,
  file: LayoutInUse,
  buffers: readonly Uint8Array[],
  position: number,
  options: WriteOptions = {},
): Promise<void> {
  const memory = new RangeMemory(session.endpoint, buffers);
  const held: HeldLock[] = [];
  try {
    if (position + memory.length > OFFSET_MAX) throw errnoError(Errno.EFBIG, options.context);
    if (memory.length === 0) return;
    const runs = file.map.runs(position, memory.length);
    if (runs.reduce((sum, run) => sum + run.length, 0) < memory.length)
      throw errnoError(Errno.ENODATA, options.context);
    const { locked } = options;
    const locks = locked ? undefined : await lockRuns(held, file, runs, 'write', options);
    file.check();
    const time = seconds(session);
    await settle(
      runs.flatMap((run) => {
        const { stripe, lock } = locks === undefined ? locked![run.stripe]! : lockOf(locks, run);
        const { object, ost, key } = stripe;
        return cutRun(run.objectOffset, segmentsOf(memory, run), rpcSize(ost.granted)).map(async (part) => {
          const request = {
            object,
            part,
            lockHandle: lock.serverHandle,
            owner: session.owner,
            time: BigInt(time),
          };
          const { oa, transno } = await write(ost, request, options);
          ost.known.wrote(key, part.offset + part.length, time, Number(oa.o_blocks));
          if (!stripe.onMdt) options.onWritten?.(stripe, transno);
        });
      }),
    );
  } finally {
    unlock(held);
    memory.release();
  }
}

/** The end of the file, with all of its objects locked until `unlock`: where an append begins. */
export async function lockEnd(
  { map, stripes }: FileObjects,
  options: RequestOptions = {},
): Promise<{ readonly size: number; readonly locks: readonly HeldLock[]; unlock(): void }> {
  const locks = await lockAll(stripes, 'write', options);
  return { size: map.fileSize(stripes.map(sizeOf)), locks, unlock: () => unlock(locks) };
}

/** Cuts or grows all objects to what a file of `size` bytes has in them. The MDT has been told before (guide 11 §4). */
export async function truncateFile(
  session: Session,
  file: LayoutInUse,
  size: number,
  options: RequestOptions = {},
): Promise<void> {
  const cuts = file.map.cuts(size).map(({ index, size: cut }) => ({ stripe: file.stripes[index]!, cut }));
  const touched = cuts.map(({ stripe }) => stripe);
  const held = await lockAll(touched, 'write', { ...options, discard: size === 0 });
  try {
    file.check();
    const time = seconds(session);
    await settle(
      cuts.map(async ({ stripe: { object, ost, key, onMdt }, cut }, i) => {
        const how = onMdt ? { ...options, lockHandle: held[i]!.lock.serverHandle } : options;
        const oa = await punch(ost, object, cut, BigInt(time), session.owner, how);
        ost.known.truncated(key, cut, time, Number(oa.o_blocks));
      }),
    );
  } finally {
    unlock(held);
  }
}

/** Times on all objects. Into the past other clients must first have written what they hold (guide 11 §3). */
export async function setObjectTimes(
  file: FileObjects,
  times: ObjectTimes,
  options: RequestOptions = {},
): Promise<void> {
  // Data on the MDT have the file's own times.
  const stripes = file.stripes.filter(({ onMdt }) => !onMdt);
  const past = [times.atime, times.mtime].some((time) => time !== undefined && time < times.ctime);
  const held = past ? await lockAll(stripes, 'write', options) : [];
  try {
    await settle(
      stripes.map(async ({ object, ost, key }) => {
        await setattr(ost, object, times, options);
        ost.known.forget(key);
      }),
    );
  } finally {
    unlock(held);
  }
}

/** Makes the data of a file durable that OSTs have. */
export async function syncFile({ stripes }: FileObjects, options: RequestOptions = {}): Promise<void> {
  const onOsts = stripes.filter(({ onMdt }) => !onMdt);
  await settle(onOsts.map(({ object, ost }) => sync(ost, object, options)));
}

/** Waits for all, then throws the first failure: memory may be released only when nothing uses it any more. */
async function settle(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
