/**
 * Reads and writes without locks of our own, of objects that too many want at once (guide 08 §3.3, Contention): the server
 * takes a lock for each request (guide 12 §5.9). Only what one request does is done so, for several would not be one read or
 * one write to others. Nothing of it is cached, and what we cache ourselves goes when the server locks, as that of others.
 */
import type { ObjectRun } from '../../layout/raid0.ts';
import type { KeptBulk } from '../../rpc/rpc.ts';
import { Errno, errnoOf } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import { lockIfHeld, objectAttributes, unlock } from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { RangeMemory } from '../objects/range-memory.ts';
import { isUncached } from '../objects/run-locks.ts';
import { cutRun, type Part, rpcSize } from '../osc/brw.ts';
import { read } from '../osc/read.ts';
import { write } from '../osc/write.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import type { LayoutInUse } from './file-layouts.ts';
import type { OpenFile } from './open-file.ts';

/** Contended objects that are remembered. */
const OBJECTS_MAX = 1000;

/** The only run of a read or write. */
export interface LoneRun {
  readonly stripe: Stripe;
  readonly run: ObjectRun;
  readonly mode: 'read' | 'write';
}

export class LocklessIo {
  readonly #session: Session;
  readonly #dirty: DirtyObjects;
  /** Until when, on the runtime's clock; by object, the latest last. */
  readonly #contended = new Map<string, number>();

  constructor(session: Session, dirty: DirtyObjects) {
    this.#session = session;
    this.#dirty = dirty;
  }

  /** What can be done without a lock of ours; undefined for anything else. */
  candidate(
    file: OpenFile,
    { map, stripes }: LayoutInUse,
    mode: LoneRun['mode'],
    position: number,
    length: number,
  ): LoneRun | undefined {
    if (this.#session.contentionMs === 0 || file.group !== undefined) return undefined;
    const [run, more] = map.runs(position, length);
    if (run === undefined || more !== undefined || run.length < length) return undefined;
    const stripe = stripes[run.stripe]!;
    if (stripe.lost || isUncached(stripe)) return undefined;
    const { granted } = stripe.ost;
    if ((granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_SRVLOCK) === 0n) return undefined;
    if (length > rpcSize(granted)) return undefined;
    return { stripe, run, mode };
  }

  /** Runs `locked`, or `without` while the object is contended; `without` gives undefined where it takes a lock after all. */
  async choose<T>(
    lone: LoneRun,
    locked: (yields: boolean) => Promise<T>,
    without: () => Promise<T | undefined>,
  ): Promise<T> {
    if (!this.#isContended(lone)) {
      try {
        return await locked(true);
      } catch (error) {
        if (errnoOf(error) !== Errno.EUSERS) throw error;
        this.#sentAway(lone.stripe);
      }
    }
    return (await without()) ?? locked(false);
  }

  /** A lock that is here serves as long as it is. */
  #isContended({ stripe, run, mode }: LoneRun): boolean {
    const name = nameOf(stripe);
    const until = this.#contended.get(name);
    if (until === undefined) return false;
    if (this.#session.runtime.now() >= until) {
      this.#contended.delete(name);
      return false;
    }
    const held = lockIfHeld(stripe, run.objectOffset, run.objectOffset + run.length, mode);
    if (held !== undefined) unlock([held]);
    return held === undefined;
  }

  #sentAway(stripe: Stripe): void {
    const name = nameOf(stripe);
    this.#contended.delete(name);
    this.#contended.set(name, this.#session.runtime.now() + this.#session.contentionMs);
    const [oldest] = this.#contended.keys();
    if (this.#contended.size > OBJECTS_MAX && oldest !== undefined) this.#contended.delete(oldest);
  }

  /** Resolves with the bytes that the file has from `position` on; undefined when it was cut meanwhile. */
  async read(
    objects: LayoutInUse,
    { stripe, run }: LoneRun,
    buffers: readonly Uint8Array[],
    position: number,
    options: RequestOptions,
  ): Promise<number | undefined> {
    const sizes = (await objectAttributes(objects, options)).map(({ size }) => size);
    const count = Math.min(Math.max(objects.map.fileSize(sizes) - position, 0), run.length);
    const there = Math.min(Math.max(sizes[run.stripe]! - run.objectOffset, 0), count);
    const memory = new RangeMemory(this.#session.endpoint, buffers);
    try {
      memory.zero(there, count - there);
      if (there > 0) {
        const part = onePart(stripe, run.objectOffset, memory, there);
        if (part === undefined) return undefined;
        const { owner, time } = this.#who();
        const request = { object: stripe.object, part, lockHandle: undefined, owner, time };
        if ((await read(stripe.ost, request, options)) < there) return undefined;
      }
    } finally {
      memory.release();
    }
    // With the layout lock still here nobody can have moved the data meanwhile.
    objects.check();
    return count;
  }

  /** Resolves with the bytes written; undefined where one request cannot do it. */
  async write(
    file: OpenFile,
    objects: LayoutInUse,
    { stripe, run }: LoneRun,
    buffers: readonly Uint8Array[],
    options: RequestOptions,
  ): Promise<number | undefined> {
    const { ost, key, object } = stripe;
    const memory = new RangeMemory(this.#session.endpoint, buffers);
    try {
      const part = onePart(stripe, run.objectOffset, memory, run.length);
      if (part === undefined) return undefined;
      const { owner, time } = this.#who();
      const { key: fileKey } = file.inode;
      const lost = (): void => this.#dirty.lost(fileKey, ost);
      const keep = (): KeptBulk | undefined => this.#dirty.copy(part);
      const request = { object, part, lockHandle: undefined, owner, time, keep, lost };
      const written = await write(ost, request, options);
      // Of the size nothing is known without a lock.
      ost.known.wrote(key, 0, Number(time), Number(written.oa.o_blocks));
      this.#dirty.add(fileKey, stripe, written);
    } finally {
      memory.release();
    }
    // Written to objects that the file does not have any more: it is done again.
    objects.check();
    return run.length;
  }

  #who(): { readonly owner: Session['owner']; readonly time: bigint } {
    const { owner, runtime } = this.#session;
    return { owner, time: BigInt(Math.floor(runtime.wallTime() / 1000)) };
  }
}

/** The bytes as one request; undefined where their place in the object needs several. */
function onePart(stripe: Stripe, offset: number, memory: RangeMemory, length: number): Part | undefined {
  const [part, more] = cutRun(offset, memory.segments(0, length), rpcSize(stripe.ost.granted));
  return more === undefined ? part : undefined;
}

const nameOf = ({ ost, key }: Stripe): string => `${ost.index}/${key}`;
