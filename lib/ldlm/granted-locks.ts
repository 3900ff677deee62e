/**
 * The locks that are held on one resource. While they are few each is looked at; where many share a resource they are kept
 * by mode, extents by where they lie, so that only what can stand in the way is looked at (guide 08 §3.3).
 */
import { LockMode, LockType } from '../wire/ldlm-constants.ts';
import { type Claim, locksConflict } from './conflicts.ts';
import { type ExtentLimits, limitsAmong } from './extent-policy.ts';
import { ExtentTree } from './extent-tree.ts';
import type { LockModeNumber } from './lock.ts';
import { modesCompatible } from './modes.ts';

/** From so many locks on they are indexed. */
const INDEX_MIN = 32;

interface OfMode<L> {
  readonly locks: Set<L>;
  readonly extents: ExtentTree<L>;
}

export class GrantedLocks<L extends Claim> implements Iterable<L> {
  /** An array while they are few: most resources have one lock. */
  #all: L[] | Set<L> = [];
  #byMode: Map<LockModeNumber, OfMode<L>> | undefined;

  get size(): number {
    return Array.isArray(this.#all) ? this.#all.length : this.#all.size;
  }

  [Symbol.iterator](): Iterator<L> {
    return this.#all[Symbol.iterator]();
  }

  /** A group lock is held. Others may be beside it only as NL. */
  get hasGroup(): boolean {
    if (this.#byMode !== undefined) return this.#byMode.has(LockMode.LCK_GROUP);
    for (const { mode } of this.#all) if (mode === LockMode.LCK_GROUP) return true;
    return false;
  }

  add(lock: L): void {
    if (!Array.isArray(this.#all)) {
      this.#all.add(lock);
      this.#place(lock);
    } else if (this.#all.length === 0) this.#all = [lock];
    else if (this.#all.length + 1 < INDEX_MIN) this.#all.push(lock);
    else {
      this.#byMode = new Map();
      this.#all = new Set([...this.#all, lock]);
      for (const each of this.#all) this.#place(each);
    }
  }

  delete(lock: L): void {
    if (Array.isArray(this.#all)) {
      const at = this.#all.indexOf(lock);
      if (at !== -1) this.#all.splice(at, 1);
      return;
    }
    this.#all.delete(lock);
    const ofMode = this.#byMode?.get(lock.mode);
    if (ofMode === undefined) return;
    ofMode.locks.delete(lock);
    ofMode.extents.delete(lock);
    if (ofMode.locks.size === 0) this.#byMode?.delete(lock.mode);
  }

  /** Those that keep `wanted` from being granted. */
  conflicting(wanted: Claim): L[] {
    const found: L[] = [];
    for (const lock of this.#candidates(wanted)) if (locksConflict(lock, wanted)) found.push(lock);
    return found;
  }

  hasConflict(wanted: Claim): boolean {
    for (const lock of this.#candidates(wanted)) if (locksConflict(lock, wanted)) return true;
    return false;
  }

  /** Extent locks that overlap a range, whatever their modes. */
  overlapping(start: bigint, end: bigint): L[] {
    const found: L[] = [];
    if (this.#byMode !== undefined) {
      for (const { extents } of this.#byMode.values()) extents.overlapping(start, end, found);
      return found;
    }
    for (const lock of this.#all) {
      const { extent } = lock.policy;
      if (extent !== undefined && extent.start <= end && start <= extent.end) found.push(lock);
    }
    return found;
  }

  /** For extent growth: what holders of conflicting modes leave above `position`. */
  limits(mode: LockModeNumber, position: bigint): ExtentLimits {
    if (this.#byMode === undefined) return limitsAmong(this.#all, mode, position);
    let conflicting = 0;
    let nearest: bigint | undefined;
    for (const [held, { locks, extents }] of this.#byMode) {
      if (modesCompatible(held, mode)) continue;
      conflicting += locks.size;
      const start = extents.startAbove(position);
      if (start !== undefined && (nearest === undefined || start < nearest)) nearest = start;
    }
    return { conflicting, nearest };
  }

  /** Of all holders those that could be in the way of `wanted`. */
  #candidates(wanted: Claim): Iterable<L> {
    if (this.#byMode === undefined) return this.#all;
    const { extent } = wanted.policy;
    const found: L[] = [];
    for (const [held, { locks, extents }] of this.#byMode) {
      // Groups are told apart by their ids.
      if (modesCompatible(held, wanted.mode) && held !== LockMode.LCK_GROUP) continue;
      const byRange = wanted.type === LockType.LDLM_EXTENT && held !== LockMode.LCK_GROUP;
      if (byRange && extent !== undefined) extents.overlapping(extent.start, extent.end, found);
      else for (const lock of locks) found.push(lock);
    }
    return found;
  }

  #place(lock: L): void {
    const { extent } = lock.policy;
    let ofMode = this.#byMode?.get(lock.mode);
    if (ofMode === undefined) {
      ofMode = { locks: new Set(), extents: new ExtentTree() };
      this.#byMode?.set(lock.mode, ofMode);
    }
    ofMode.locks.add(lock);
    if (extent !== undefined) ofMode.extents.add(lock, extent);
  }
}
