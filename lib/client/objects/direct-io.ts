/** Bytes straight between the caller's memory and one object, under a lock that is held (guide 12 §5). */
import type { ObjectRun } from '../../layout/raid0.ts';
import { cutRun, type Part, rpcSize } from '../osc/brw.ts';
import { read } from '../osc/read.ts';
import { write } from '../osc/write.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import type { DirtyObjects } from './dirty-objects.ts';
import type { HeldLock } from './extent-locks.ts';
import type { RangeMemory } from './range-memory.ts';

const seconds = (session: Session): number => Math.floor(session.runtime.wallTime() / 1000);

/** Pieces of a run as segments of the caller's memory. */
const segmentsOf = (memory: RangeMemory, run: ObjectRun) =>
  run.pieces.flatMap((piece) => memory.segments(piece.rangeOffset, piece.length));

/** Reads a run of an object of `size` bytes. */
export async function readDirectly(
  session: Session,
  memory: RangeMemory,
  { stripe, lock }: HeldLock,
  run: ObjectRun,
  size: number,
  options: RequestOptions,
): Promise<void> {
  // Behind the object's end there is nothing to read: those bytes are a hole of the file.
  const there = Math.min(Math.max(size - run.objectOffset, 0), run.length);
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

/** Writes a run of an object of a file. */
export async function writeDirectly(
  session: Session,
  memory: RangeMemory,
  { stripe, lock }: HeldLock,
  run: ObjectRun,
  options: RequestOptions & { readonly fileKey: string; readonly dirty: DirtyObjects },
): Promise<void> {
  const { object, ost, key } = stripe;
  const { fileKey, dirty } = options;
  const time = seconds(session);
  await settle(
    cutRun(run.objectOffset, segmentsOf(memory, run), rpcSize(ost.granted)).map(async (part) => {
      const { owner } = session;
      const synchronous = ost.quota.concern(object, owner);
      const request = {
        object,
        part,
        lockHandle: lock.serverHandle,
        owner,
        time: BigInt(time),
        synchronous,
        keep: () => dirty.copy(part),
        lost: () => dirty.lost(fileKey, ost),
      };
      const written = await write(ost, request, options);
      ost.known.wrote(key, part.offset + part.length, time, Number(written.oa.o_blocks));
      dirty.add(fileKey, stripe, written);
    }),
  );
}

/** Waits for all, then throws the first failure: memory may be released only when nothing uses it any more. */
export async function settle(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
