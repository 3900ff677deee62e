/**
 * What is known about objects under locks (guide 12 §11): size, times, blocks. Filled from LVBs, moved on by our own
 * writes, and the answer to glimpses of others. Only a lock makes it current; without one it is only a lower bound.
 */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { errnoError } from '../../runtime/errors.ts';
import { InodeBit, LockMode, LvbError } from '../../wire/ldlm-constants.ts';
import { OstLvb, OstLvbV1 } from '../../wire/ldlm-structs.ts';
import { EOF, type ObjectTimes } from './stripe-object.ts';

export interface ObjectAttributes {
  readonly size: number;
  /** Seconds; 0 when nothing was ever written. */
  readonly mtime: number;
  readonly atime: number;
  readonly ctime: number;
  /** 512-byte units. */
  readonly blocks: number;
}

/** Objects remembered, however many files are used. */
const OBJECTS_MAX = 20_000;

const DATA_ON_MDT = BigInt(InodeBit.MDS_INODELOCK_DOM);

interface Known {
  attributes: ObjectAttributes;
  /** The lock under which they were learned. */
  lock: ClientLock;
}

/** Nobody else can change the object meanwhile. Beside a group lock others can, and the server has all that we wrote. A lock
 * on what an MDT keeps may be converted to one on other things. */
const isOurs = (lock: ClientLock): boolean =>
  lock.isHeld &&
  lock.mode !== LockMode.LCK_GROUP &&
  (lock.policy.inodeBits === undefined || (lock.policy.inodeBits & DATA_ON_MDT) !== 0n);

/** The name of an object among those known. */
export function resourceKey(resource: readonly bigint[]): string {
  return `${resource[0]?.toString(36)}.${resource[1]?.toString(36)}`;
}

export class KnownObjects {
  readonly #objects = new Map<string, Known>();
  /** Objects with bytes of ours that the server does not have: what it says of them is not all. */
  readonly #kept = new Set<string>();

  /** The attributes as we last knew them. */
  get(key: string): ObjectAttributes | undefined {
    return this.#objects.get(key)?.attributes;
  }

  /**
   * What a glimpse is answered. Undefined where the server knows better: the lock that it asks for may be one whose grant is
   * still on its way to us, and what we know from before it is old.
   */
  forGlimpse(key: string): ObjectAttributes | undefined {
    const known = this.#objects.get(key);
    if (known === undefined) return undefined;
    const leaving = known.lock.isLeaving && known.lock.mode !== LockMode.LCK_GROUP;
    const protects = isOurs(known.lock) || leaving || this.#kept.has(key);
    return protects ? known.attributes : undefined;
  }

  /** The attributes if nobody can have changed them: they are under a lock of ours that reaches to the end. */
  current(key: string): ObjectAttributes | undefined {
    const known = this.#objects.get(key);
    if (known === undefined || known.lock.state !== 'GRANTED' || !isOurs(known.lock)) return undefined;
    const { extent, inodeBits } = known.lock.policy;
    // The lock on data that an MDT keeps has no extent: it covers all.
    if (inodeBits !== undefined) return known.attributes;
    const whole = extent !== undefined && extent.end === EOF && extent.start <= BigInt(known.attributes.size);
    return whole ? known.attributes : undefined;
  }

  /** Takes over an LVB. While an older lock of ours is there, what we wrote under it counts too. */
  learn(key: string, attributes: ObjectAttributes, lock: ClientLock): ObjectAttributes {
    const old = this.#objects.get(key);
    const known =
      old === undefined || (!isOurs(old.lock) && !this.#kept.has(key))
        ? { attributes, lock }
        : { attributes: merge(old.attributes, attributes), lock: wider(old.lock, lock) };
    this.#objects.delete(key);
    this.#objects.set(key, known);
    if (this.#objects.size > OBJECTS_MAX) {
      for (const oldest of this.#objects.keys()) {
        if (this.#kept.has(oldest)) continue;
        this.#objects.delete(oldest);
        break;
      }
    }
    return known.attributes;
  }

  /** Bytes of the object wait in the cache, until `letGo`. */
  keep(key: string): void {
    this.#kept.add(key);
  }

  letGo(key: string): void {
    this.#kept.delete(key);
  }

  /** After our own write up to `end`, under a lock that is held. */
  wrote(key: string, end: number, time: number, blocks: number): void {
    const known = this.#objects.get(key);
    if (known === undefined) return;
    const written = { size: end, mtime: time, ctime: time, atime: 0, blocks };
    known.attributes = merge(known.attributes, written);
  }

  /**
   * Before our own truncation, which the server may have done long before we hear of it: a glimpse is answered as if it were,
   * and gets the larger size from the server where it is not. The result takes it back.
   */
  truncating(key: string, size: number): () => void {
    const known = this.#objects.get(key);
    if (known === undefined || known.attributes.size <= size) return () => undefined;
    const before = known.attributes;
    known.attributes = { ...before, size };
    return () => {
      known.attributes = merge(known.attributes, before);
    };
  }

  /** After our own truncation, under a lock on the whole object. */
  truncated(key: string, size: number, time: number, blocks: number): void {
    const known = this.#objects.get(key);
    if (known === undefined) return;
    known.attributes = { size, mtime: time, ctime: time, atime: known.attributes.atime, blocks };
  }

  /** After space of the object was reserved or freed: it may be longer, and takes other blocks than before. */
  reserved(key: string, size: number, time: number, blocks: number): void {
    const known = this.#objects.get(key);
    if (known === undefined) return;
    const { size: before, atime } = known.attributes;
    known.attributes = { size: Math.max(before, size), mtime: time, ctime: time, atime, blocks };
  }

  /**
   * Times of our own choice, before the server is told: it keeps what a glimpse is answered meanwhile, also beyond the change
   * of its own. The result takes them back.
   */
  timing(key: string, times: ObjectTimes): () => void {
    const known = this.#objects.get(key);
    if (known === undefined) return () => undefined;
    const { mtime, atime, ctime } = known.attributes;
    known.attributes = {
      ...known.attributes,
      mtime: Number(times.mtime ?? mtime),
      atime: Number(times.atime ?? atime),
      ctime: Number(times.ctime),
    };
    return () => {
      known.attributes = { ...known.attributes, mtime, atime, ctime };
    };
  }
}

function merge(a: ObjectAttributes, b: ObjectAttributes): ObjectAttributes {
  return {
    size: Math.max(a.size, b.size),
    mtime: Math.max(a.mtime, b.mtime),
    atime: Math.max(a.atime, b.atime),
    ctime: Math.max(a.ctime, b.ctime),
    blocks: Math.max(a.blocks, b.blocks),
  };
}

function wider(a: ClientLock, b: ClientLock): ClientLock {
  const length = (lock: ClientLock): bigint =>
    lock.policy.extent === undefined ? 0n : lock.policy.extent.end - lock.policy.extent.start;
  return a.state === 'GRANTED' && length(a) >= length(b) ? a : b;
}

/** Reads an LVB. Throws the object's error where the server coded one in it (guide 12 §11), EPROTO for a wrong size. */
export function decodeLvb(bytes: Uint8Array): ObjectAttributes {
  const lvb =
    bytes.length >= OstLvb.size
      ? OstLvb.decode(bytes)
      : bytes.length >= OstLvbV1.size
        ? OstLvbV1.decode(bytes)
        : undefined;
  if (lvb === undefined) throw errnoError(-71, { syscall: 'glimpse' });
  if ((lvb.lvb_blocks & LvbError.OST_LVB_ERR_MASK) === LvbError.OST_LVB_ERR_MASK)
    throw errnoError(Number(BigInt.asIntN(32, lvb.lvb_blocks)), { syscall: 'glimpse' });
  return {
    size: Number(lvb.lvb_size),
    mtime: Number(lvb.lvb_mtime),
    atime: Number(lvb.lvb_atime),
    ctime: Number(lvb.lvb_ctime),
    blocks: Number(lvb.lvb_blocks),
  };
}

export function encodeLvb(attributes: ObjectAttributes): Uint8Array {
  return OstLvb.encode({
    lvb_size: BigInt(attributes.size),
    lvb_mtime: BigInt(attributes.mtime),
    lvb_atime: BigInt(attributes.atime),
    lvb_ctime: BigInt(attributes.ctime),
    lvb_blocks: BigInt(attributes.blocks),
  });
}
