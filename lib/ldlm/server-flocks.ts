/** Advisory file locks of one namespace: who holds what, who waits (guide 08 §8). Ranges live apart from lock handles, because
 * one request can merge, split or end several. */
import type { Export } from '../connection/target.ts';
import { Errno } from '../runtime/errors.ts';
import { LockFlag, LockMode } from '../wire/ldlm-constants.ts';
import {
  applyFlock,
  type FlockRange,
  flockConflict,
  flockDeadlock,
  sameOwner,
  standsInTheWay,
} from './flock-policy.ts';
import type { ResourceId } from './lock.ts';
import type { ServerLock } from './server-lock.ts';

interface Waiter {
  readonly lock: ServerLock;
  readonly range: FlockRange;
  readonly file: FlockFile;
}

/** One file's locks, as those who look in see them. */
export interface FlockQueues {
  readonly id: ResourceId;
  readonly key: string;
  readonly held: readonly FlockRange[];
  readonly waiting: ReadonlySet<{ readonly lock: ServerLock; readonly range: FlockRange }>;
}

interface FlockFile extends FlockQueues {
  held: FlockRange[];
  /** In order of arrival. */
  readonly waiting: Set<Waiter>;
  readonly clients: Set<FlockClient>;
}

/** What one client has, to be dropped with it. */
interface FlockClient {
  readonly files: Set<FlockFile>;
  /** Its waiters by owner: the edges of the graph in which a deadlock is a circle. */
  readonly waiters: Map<bigint, Set<Waiter>>;
  waiting: number;
  ranges: number;
}

export type FlockAnswer =
  | { readonly kind: 'granted' }
  | { readonly kind: 'waiting' }
  /** For F_GETLK: who is in the way, or undefined. */
  | { readonly kind: 'tested'; readonly conflict: FlockRange | undefined }
  | { readonly kind: 'refused'; readonly errno: number };

export interface FlockOwner {
  granted(lock: ServerLock): void;
  refused(lock: ServerLock, flags: number): void;
  /** Whether a client understands that its wait ends in a deadlock (OBD_CONNECT_FLOCK_DEAD). */
  knowsDeadlocks(client: Export): boolean;
}

/** Most ranges that one client may hold in all its files; more is refused as a lock table that is full. */
const RANGES_MAX = 65_536;
/** Most requests of one client that may wait. */
const WAITERS_MAX = 4096;

export class ServerFlocks {
  readonly #files = new Map<string, FlockFile>();
  readonly #clients = new Map<Export | undefined, FlockClient>();
  readonly #owner: FlockOwner;

  constructor(owner: FlockOwner) {
    this.#owner = owner;
  }

  /** For those who look in. */
  files(): Iterable<FlockQueues> {
    return this.#files.values();
  }

  /** Ranges held. */
  get size(): number {
    let size = 0;
    for (const client of this.#clients.values()) size += client.ranges;
    return size;
  }

  /** F_SETLK, F_SETLKW, F_GETLK and unlock, by the request's flags and mode. */
  request(lock: ServerLock): FlockAnswer {
    const range = rangeOf(lock);
    if (range === undefined || range.start > range.end) return { kind: 'refused', errno: Errno.EINVAL };
    const { key, id } = lock.resourceEntry;
    const file: FlockFile = this.#files.get(key) ?? newFile(id, key);
    const conflict = flockConflict(file.held, range);
    if ((lock.flags & LockFlag.LDLM_FL_TEST_LOCK) !== 0) return { kind: 'tested', conflict };
    const client = this.#client(lock.client);
    if (conflict === undefined) {
      const held = applyFlock(file.held, range);
      // An unlock may leave two ranges of one.
      if (held.length > file.held.length && client.ranges >= RANGES_MAX)
        return { kind: 'refused', errno: Errno.ENOLCK };
      this.#files.set(key, file);
      if (range.mode === LockMode.LCK_NL) this.#withdraw(file, range);
      this.#hold(file, client, held);
      this.#reprocess(file);
      return { kind: 'granted' };
    }
    if ((lock.flags & LockFlag.LDLM_FL_BLOCK_NOWAIT) !== 0) return { kind: 'refused', errno: Errno.EAGAIN };
    const blockers = file.held.filter((held) => standsInTheWay(held, range));
    if (flockDeadlock(range, blockers, (owner) => this.#waitsFor(owner)))
      return { kind: 'refused', errno: Errno.EDEADLK };
    if (client.waiting >= WAITERS_MAX) return { kind: 'refused', errno: Errno.ENOLCK };
    this.#files.set(key, file);
    this.#wait({ lock, range, file }, client);
    return { kind: 'waiting' };
  }

  /** A waiter whose lock was cancelled. */
  forget(lock: ServerLock): void {
    const file = this.#files.get(lock.resourceEntry.key);
    if (file === undefined) return;
    for (const waiter of file.waiting) if (waiter.lock === lock) this.#endWait(waiter);
    this.#forgetEmpty(file);
  }

  /** The client is gone, and its locks with it. */
  dropExport(client: Export): void {
    const locks = this.#clients.get(client);
    if (locks === undefined) return;
    this.#clients.delete(client);
    for (const file of locks.files) {
      for (const waiter of file.waiting) if (waiter.range.client === client) file.waiting.delete(waiter);
      file.held = file.held.filter((range) => range.client !== client);
      this.#reprocess(file);
    }
  }

  #client(client: Export | undefined): FlockClient {
    let locks = this.#clients.get(client);
    if (locks === undefined) {
      locks = { files: new Set(), waiters: new Map(), waiting: 0, ranges: 0 };
      this.#clients.set(client, locks);
    }
    return locks;
  }

  /** Only ranges of `client` have changed. */
  #hold(file: FlockFile, client: FlockClient, held: FlockRange[]): void {
    client.ranges += held.length - file.held.length;
    file.held = held;
    client.files.add(file);
    file.clients.add(client);
  }

  #wait(waiter: Waiter, client: FlockClient): void {
    const { file, range } = waiter;
    file.waiting.add(waiter);
    client.files.add(file);
    file.clients.add(client);
    client.waiters.set(range.owner, (client.waiters.get(range.owner) ?? new Set()).add(waiter));
    client.waiting++;
  }

  #endWait(waiter: Waiter): void {
    const { file, range, lock } = waiter;
    file.waiting.delete(waiter);
    const client = this.#clients.get(lock.client);
    if (client === undefined) return;
    client.waiting--;
    const ofOwner = client.waiters.get(range.owner);
    ofOwner?.delete(waiter);
    if (ofOwner?.size === 0) client.waiters.delete(range.owner);
  }

  /** An unlock of exactly a waiting range cancels the wait (F_CANCELLK). */
  #withdraw(file: FlockFile, unlocked: FlockRange): void {
    for (const waiter of [...file.waiting]) {
      const { range, lock } = waiter;
      const same = range.start === unlocked.start && range.end === unlocked.end;
      if (!same || !sameOwner(range, unlocked)) continue;
      this.#endWait(waiter);
      this.#owner.refused(lock, 0);
    }
  }

  /** Every grant may free what another waits for: from the start each time (guide 08 §11). */
  #reprocess(file: FlockFile): void {
    const granted: FlockRange[] = [];
    for (let next = nextFree(file); next !== undefined; next = nextFree(file)) {
      this.#endWait(next);
      this.#hold(file, this.#client(next.lock.client), applyFlock(file.held, next.range));
      granted.push(next.range);
      this.#owner.granted(next.lock);
    }
    this.#refuseDeadlocks(file, granted);
    this.#forgetEmpty(file);
  }

  /** A grant to an owner that waits for something else too may have closed a circle that was none when the wait began. */
  #refuseDeadlocks(file: FlockFile, granted: readonly FlockRange[]): void {
    for (const holder of granted) {
      if (this.#waitsFor(holder).length === 0) continue;
      for (const waiter of [...file.waiting]) {
        const { range, lock } = waiter;
        const knows = lock.client !== undefined && this.#owner.knowsDeadlocks(lock.client);
        if (!knows || !standsInTheWay(holder, range)) continue;
        if (!flockDeadlock(range, [holder], (owner) => this.#waitsFor(owner))) continue;
        this.#endWait(waiter);
        this.#owner.refused(lock, LockFlag.LDLM_FL_AST_SENT | LockFlag.LDLM_FL_FLOCK_DEADLOCK);
      }
    }
  }

  #forgetEmpty(file: FlockFile): void {
    if (file.held.length > 0 || file.waiting.size > 0) return;
    this.#files.delete(file.key);
    for (const client of file.clients) client.files.delete(file);
  }

  /** Who holds what the owner of `range` waits for, on whatever file. */
  #waitsFor(range: FlockRange): FlockRange[] {
    const found: FlockRange[] = [];
    const waiters = this.#clients.get(range.client as Export | undefined)?.waiters.get(range.owner);
    for (const waiter of waiters ?? [])
      for (const held of waiter.file.held) if (standsInTheWay(held, waiter.range)) found.push(held);
    return found;
  }
}

function nextFree(file: FlockFile): Waiter | undefined {
  for (const waiter of file.waiting) if (flockConflict(file.held, waiter.range) === undefined) return waiter;
  return undefined;
}

function newFile(id: ResourceId, key: string): FlockFile {
  return { id, key, held: [], waiting: new Set(), clients: new Set() };
}

function rangeOf(lock: ServerLock): FlockRange | undefined {
  const { flock } = lock.requestedPolicy;
  const legal =
    lock.mode === LockMode.LCK_PR || lock.mode === LockMode.LCK_PW || lock.mode === LockMode.LCK_NL;
  if (flock === undefined || !legal) return undefined;
  return { client: lock.client, mode: lock.mode, ...flock };
}
