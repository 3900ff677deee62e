/**
 * Which OSTs a new file's objects are on (guide 13 §11): round robin while the OSTs are about equally full, else at random
 * by free space; two stripes of a file on one OST only where that was asked for.
 */
import type { Fid } from '../../fid/fid.ts';
import type { LayoutObject } from '../../layout/file-layout.ts';
import { decodeLayout } from '../../layout/layout-ea.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { Transaction } from '../store/key-value-store.ts';
import type { WantedLayout } from './file-layout.ts';
import type { Osp } from './osp.ts';
import { type OwnerIds, queueDestroy, queueOwner } from './ost-work.ts';

/** Free space that differs by less counts as equal (qos_threshold_rr), percent. */
const EQUAL_WITHIN = 17n;
/** How long a create waits for OSTs that are connecting or creating objects. */
const WAIT_MS = 20_000;

export class ObjectAllocator {
  readonly #runtime: Runtime;
  readonly #osps = new Map<number, Osp>();
  #inOrder: readonly Osp[] = [];
  readonly #waiting = new Set<() => void>();
  #turn = 0;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  add(osp: Osp): void {
    this.#osps.set(osp.index, osp);
    this.#inOrder = [...this.#osps.values()].sort((a, b) => a.index - b.index);
  }

  get(index: number): Osp | undefined {
    return this.#osps.get(index);
  }

  get osps(): readonly Osp[] {
    return this.#inOrder;
  }

  /** OSTs' objects or space changed: those who wait look again. */
  changed(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /**
   * Objects for a file's stripes. Waits for OSTs that are not ready; throws EINVAL for an OST that does not exist, ENOSPC,
   * EINPROGRESS when none came in time.
   */
  async allocate(wanted: WantedLayout): Promise<LayoutObject[]> {
    const deadline = this.#runtime.now() + WAIT_MS;
    for (;;) {
      const objects = this.#tryAllocate(wanted);
      if (objects !== undefined) return objects;
      const left = deadline - this.#runtime.now();
      const full = this.#osps.size > 0 && this.osps.every((osp) => osp.ready && !osp.usable);
      if (full) throw errnoError(28, { syscall: 'create' });
      if (left <= 0) throw errnoError(115, { syscall: 'create', hint: 'Start the OSTs of the file system' });
      await this.#change(left);
    }
  }

  giveBack(objects: readonly LayoutObject[]): void {
    for (const { fid, ostIndex } of objects) this.#osps.get(ostIndex)?.giveBack(fid);
  }

  markUsed(tx: Pick<Transaction, 'table'>, objects: readonly LayoutObject[]): void {
    for (const { fid, ostIndex } of objects) this.#osps.get(ostIndex)?.markUsed(tx, fid);
  }

  /** Queues the end of a file's objects in the transaction that ends the file. */
  destroy(tx: Pick<Transaction, 'table'>, layout: Uint8Array): void {
    for (const { fid, ostIndex } of this.#objectsOf(layout)) queueDestroy(tx, ostIndex, fid);
  }

  setOwner(tx: Pick<Transaction, 'table'>, layout: Uint8Array, owner: OwnerIds): void {
    for (const { fid, ostIndex } of this.#objectsOf(layout)) queueOwner(tx, ostIndex, fid, owner);
  }

  /** Lets the OSTs have what was queued. */
  kick(): void {
    for (const osp of this.#osps.values()) osp.kick();
  }

  #objectsOf(layout: Uint8Array): readonly { readonly fid: Fid; readonly ostIndex: number }[] {
    try {
      const objects = decodeLayout(layout).components.flatMap((component) => component.objects);
      return objects.filter((object) => object !== undefined);
    } catch (error) {
      this.#runtime.log.error({ err: error }, 'a layout cannot be read; its objects stay');
      return [];
    }
  }

  #tryAllocate(wanted: WantedLayout): LayoutObject[] | undefined {
    const { stripeOffset } = wanted;
    const known = this.#osps.size;
    if (stripeOffset !== -1 && known > 0 && !this.#osps.has(stripeOffset))
      throw errnoError(22, { syscall: 'create', hint: `There is no OST ${stripeOffset}` });
    if (wanted.osts !== undefined) this.#checkList(wanted.osts, wanted.overstriped);
    const usable = this.osps.filter((osp) => osp.usable);
    // No more stripes than OSTs; those that are away for now count only where a number was asked for.
    const most = wanted.overstriped ? Math.max(wanted.stripeCount, known) : known;
    const asked = wanted.stripeCount === -1 ? known : Math.min(Math.max(1, wanted.stripeCount), most);
    const least = wanted.exact ? asked : Math.max(1, asked - Math.floor(asked / 4));
    const enough = wanted.overstriped ? 1 : least;
    if (usable.length < enough || usable.length === 0) return undefined;
    if (stripeOffset !== -1 && !usable.some((osp) => osp.index === stripeOffset)) return undefined;
    const count = wanted.overstriped ? asked : Math.min(asked, usable.length);
    const chosen =
      wanted.osts === undefined
        ? this.#choose(usable, count, stripeOffset)
        : wanted.osts.map((index) => usable.find((osp) => osp.index === index));
    if (!chosen.every((osp) => osp !== undefined)) return undefined;
    const objects: LayoutObject[] = [];
    for (const osp of chosen) {
      const fid = osp.take();
      if (fid !== undefined) objects.push({ fid, ostIndex: osp.index });
    }
    // One that had none left creates more now.
    if (objects.length < chosen.length) {
      this.giveBack(objects);
      return undefined;
    }
    this.#turn += chosen.length;
    return objects;
  }

  /** Throws EINVAL for an OST that does not exist, or is named twice of a file that has one stripe on each. */
  #checkList(osts: readonly number[], overstriped: boolean): void {
    const unknown = this.#osps.size > 0 ? osts.find((index) => !this.#osps.has(index)) : undefined;
    if (unknown !== undefined)
      throw errnoError(22, { syscall: 'create', hint: `There is no OST ${unknown}` });
    if (!overstriped && new Set(osts).size < osts.length)
      throw errnoError(22, { syscall: 'create', hint: 'An OST is named twice' });
  }

  #choose(usable: readonly Osp[], count: number, first: number): Osp[] {
    if (first === -1 && !areEquallyFull(usable)) return this.#byFreeSpace(usable, count);
    const start = first === -1 ? this.#turn : usable.findIndex((osp) => osp.index === first);
    return Array.from({ length: count }, (_, i) => usable[(start + i) % usable.length]!);
  }

  #byFreeSpace(usable: readonly Osp[], count: number): Osp[] {
    const left = [...usable];
    const chosen: Osp[] = [];
    while (chosen.length < count) {
      // The next round, of a file that has several stripes on an OST.
      if (left.length === 0) left.push(...usable);
      const weights = left.map((osp) => Number((osp.freeBytes ?? 0n) >> 20n) + 1);
      const random = this.#runtime.random(4);
      const point = new DataView(random.buffer, random.byteOffset, 4).getUint32(0, true) / 2 ** 32;
      let at = point * weights.reduce((sum, w) => sum + w, 0);
      const index = weights.findIndex((w) => {
        at -= w;
        return at < 0;
      });
      chosen.push(...left.splice(index === -1 ? left.length - 1 : index, 1));
    }
    return chosen;
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        timer.cancel();
        resolve();
      };
      const timer = this.#runtime.after(timeoutMs, wake);
      this.#waiting.add(wake);
    });
  }
}

function areEquallyFull(osps: readonly Osp[]): boolean {
  let least: bigint | undefined;
  let most = 0n;
  for (const { freeBytes } of osps) {
    if (freeBytes === undefined) return true;
    if (least === undefined || freeBytes < least) least = freeBytes;
    if (freeBytes > most) most = freeBytes;
  }
  if (least === undefined) return true;
  return (most - least) * 100n <= most * EQUAL_WITHIN;
}
