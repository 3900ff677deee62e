/** Bytes straight between the caller's memory, or a local file, and one object, under a lock that is held (guide 12 §5). */
import type { ObjectRun } from '../../layout/raid0.ts';
import { zeroFile } from '../../lnet/native-storage.ts';
import type { BulkSegment } from '../../lnet/network.ts';
import { cutRun, headOf, inMemory, type Part, rpcSize } from '../osc/brw.ts';
import { read } from '../osc/read.ts';
import { write } from '../osc/write.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import type { DirtyObjects } from './dirty-objects.ts';
import type { HeldLock } from './extent-locks.ts';

/** Where the bytes of a range of the file are: one run of them, in memory or in a local file. */
export interface RangeBytes {
  segments(offset: number, length: number): BulkSegment[];
  /** What a hole reads as. */
  zero(offset: number, length: number): void | Promise<void>;
}

const seconds = (session: Session): number => Math.floor(session.runtime.wallTime() / 1000);

/** Pieces of a run as segments; what follows in the same file is one. */
function segmentsOf(bytes: RangeBytes, run: ObjectRun): BulkSegment[] {
  const joined: BulkSegment[] = [];
  for (const piece of run.pieces) {
    for (const segment of bytes.segments(piece.rangeOffset, piece.length)) {
      const last = joined.at(-1);
      const follows = last !== undefined && 'file' in last && segment.offset === last.offset + last.length;
      if (follows) joined[joined.length - 1] = { ...last, length: last.length + segment.length };
      else joined.push(segment);
    }
  }
  return joined;
}

/** Reads a run of an object of `size` bytes. */
export async function readDirectly(
  session: Session,
  bytes: RangeBytes,
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
    if (hole > 0) await bytes.zero(piece.rangeOffset + piece.length - hole, hole);
    skipped += piece.length;
  }
  if (there === 0) return;
  const parts = cutRun(run.objectOffset, headOf(segmentsOf(bytes, run), there), rpcSize(stripe.ost.granted));
  const time = BigInt(seconds(session));
  await settle(
    parts.map(async (part) => {
      const { object, ost } = stripe;
      const request = { object, part, lockHandle: lock.serverHandle, owner: session.owner, time };
      await zeroRest(part, await read(ost, request, options));
    }),
  );
}

/** A server that counts exactly stops at the object's end; what it left out reads as zeroes. */
async function zeroRest(part: Part<BulkSegment>, count: number): Promise<void> {
  let at = 0;
  for (const segment of part.segments) {
    const from = Math.max(count - at, 0);
    const { offset, length } = segment;
    if (from < length) {
      if ('memory' in segment) segment.memory.bytes.fill(0, offset + from, offset + length);
      else await zeroFile({ file: segment.file, offset: offset + from, length: length - from });
    }
    at += length;
  }
}

/** Writes a run of an object of a file. */
export async function writeDirectly(
  session: Session,
  bytes: RangeBytes,
  { stripe, lock }: HeldLock,
  run: ObjectRun,
  options: RequestOptions & { readonly fileKey: string; readonly dirty: DirtyObjects },
): Promise<void> {
  const { object, ost, key } = stripe;
  const { fileKey, dirty } = options;
  const time = seconds(session);
  await settle(
    cutRun(run.objectOffset, segmentsOf(bytes, run), rpcSize(ost.granted)).map(async (part) => {
      const { owner } = session;
      const memory = inMemory(part);
      const synchronous = ost.quota.concern(object, owner);
      const request = {
        object,
        part,
        lockHandle: lock.serverHandle,
        owner,
        time: BigInt(time),
        synchronous,
        keep: () => (memory === undefined ? undefined : dirty.copy(memory)),
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
  if (work.length === 1) return work[0];
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
