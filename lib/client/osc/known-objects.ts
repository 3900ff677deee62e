/**
 * What is known about objects under locks (guide 12 §11): size, times, blocks. Filled from LVBs, moved on by our own
 * writes, and the answer to glimpses of others. Only a lock makes it current; without one it is only a lower bound.
 */
import { errnoError } from '../../runtime/errors.ts';
import { LvbError } from '../../wire/ldlm-constants.ts';
import { OstLvb, OstLvbV1 } from '../../wire/ldlm-structs.ts';

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

export class KnownObjects {
  readonly #objects = new Map<string, ObjectAttributes>();

  get(key: string): ObjectAttributes | undefined {
    return this.#objects.get(key);
  }

  set(key: string, attributes: ObjectAttributes): void {
    this.#objects.delete(key);
    this.#objects.set(key, attributes);
    if (this.#objects.size > OBJECTS_MAX) {
      const oldest = this.#objects.keys().next().value;
      if (oldest !== undefined) this.#objects.delete(oldest);
    }
  }

  /** After our own write up to `end`. */
  wrote(key: string, end: number, time: number, blocks: number): void {
    const old = this.#objects.get(key);
    this.set(key, {
      size: Math.max(end, old?.size ?? 0),
      mtime: Math.max(time, old?.mtime ?? 0),
      ctime: Math.max(time, old?.ctime ?? 0),
      atime: old?.atime ?? 0,
      blocks: Math.max(blocks, old?.blocks ?? 0),
    });
  }

  /** After our own truncation. */
  truncated(key: string, size: number, time: number, blocks: number): void {
    const old = this.#objects.get(key);
    this.set(key, { size, mtime: time, ctime: time, atime: old?.atime ?? 0, blocks });
  }

  forget(key: string): void {
    this.#objects.delete(key);
  }
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
