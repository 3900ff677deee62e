/**
 * What the client knows of objects and names (guide 10 §1). Nothing here is trusted for its own sake: each piece carries
 * the lock under which it was learned, and counts only while that lock is granted and has the bits that protect it. So a
 * blocking AST drops exactly what it must, at the moment it comes.
 */
import { getHeapStatistics } from 'node:v8';
import { type Fid, fidKey, formatFid } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import {
  type DirectoryLayout,
  type DirectoryStriping,
  decodeDirectoryDefault,
  decodeDirectoryLayout,
} from '../../layout/directory-layout.ts';
import type { FileLayout } from '../../layout/file-layout.ts';
import { decodeLayout } from '../../layout/layout-ea.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { LustreError } from '../../runtime/errors.ts';
import { SideBySide } from '../../runtime/side-by-side.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import { resourceKey } from '../osc/known-objects.ts';
import { checkBody, isDirectory, isRegular } from './attributes.ts';
import { KnownAttributes } from './known-attributes.ts';

/** Bytes of heap for each object that is remembered, with its name and its locks. */
const HEAP_SHARE = 16_384;
/** Objects and names remembered: what is in a large directory, where there is memory for it. One that has more of them than
 * that is learned anew in each pass. */
const KNOWN_MAX = Math.min(131_072, Math.max(20_000, getHeapStatistics().heap_size_limit / HEAP_SHARE));

const {
  MDS_INODELOCK_UPDATE,
  MDS_INODELOCK_LOOKUP,
  MDS_INODELOCK_PERM,
  MDS_INODELOCK_LAYOUT,
  MDS_INODELOCK_DOM,
} = InodeBit;

/** What a reply said about an object. */
export interface Learned {
  readonly body: MdtBody;
  readonly ea: Uint8Array;
  readonly acl: Uint8Array;
  /** Default layout of the directories in a directory. */
  readonly directoryDefault?: Uint8Array | undefined;
  readonly lock: ClientLock | undefined;
}

/** True while a lock of ours protects all of these inode bits. */
export function holds(lock: ClientLock | undefined, bits: number): boolean {
  if (lock === undefined || lock.state !== 'GRANTED') return false;
  return ((lock.policy.inodeBits ?? 0n) & BigInt(bits)) === BigInt(bits);
}

/** Not LOOKUP: a chmod leaves locks without PERM to who has the file open. */
const holdsPermission = (lock: ClientLock | undefined): boolean => holds(lock, MDS_INODELOCK_PERM);

const NOTHING = new Uint8Array(0);
/** Layouts that nobody has asked for. */
const layouts = new SideBySide(16 << 10);

export class Inode {
  readonly fid: Fid;
  readonly key: string;
  readonly mdt: MetadataTarget;
  body: KnownAttributes;
  /** Access ACL in the form of its extended attribute; empty where the mode says it all. */
  acl: Uint8Array = NOTHING;
  /** Where a symlink leads. */
  target: string | undefined;
  /** How often it was opened for reading only since it became known. */
  readOpens = 0;
  /** When somebody here chose its access time, seconds: reads before that do not count any more. */
  atimeChosen = 0;
  /** All extended attributes, by name, with the lock that protects them. */
  xattrs: { readonly lock: ClientLock; readonly values: ReadonlyMap<string, Uint8Array> } | undefined;
  /** One of the directories that the names of a striped one lie in. */
  isShard = false;
  /** What directories made in this one are to be like; undefined where it does not say. */
  directoryDefault: DirectoryStriping | undefined;
  /** Names that were not found in this directory and could not be remembered for want of a lock. */
  misses = 0;
  #begun = 0;
  #updateLock: ClientLock | undefined;
  #permissionLock: ClientLock | undefined;
  #layoutLock: ClientLock | undefined;
  /** As it came, until somebody asks what it says. */
  #layout: FileLayout | Error | Uint8Array | undefined;
  #layoutLearned = false;
  #directory: DirectoryLayout | Error | undefined;

  constructor(mdt: MetadataTarget, body: MdtBody) {
    this.fid = body.mbo_fid1;
    this.key = fidKey(this.fid);
    this.mdt = mdt;
    this.body = new KnownAttributes(body);
  }

  /**
   * Takes over what a reply said. `begun`: when its request was made (InodeCache.begin). Replies may overtake each other:
   * what a lock protects is never replaced by what a reply without one says, nor the newer of two by the older.
   */
  learn({ body, ea, acl, directoryDefault, lock }: Learned, begun: number): void {
    const update = holds(lock, MDS_INODELOCK_UPDATE);
    const permission = holdsPermission(lock);
    const known = this.attributesValid;
    const accept = (update && permission) || (!known && begun >= this.#begun);
    if (accept) {
      // A reply that was under way for long does not know better than a lock that is held.
      const { mbo_mode, mbo_uid, mbo_gid } = this.body;
      const held = !permission && this.permissionsValid;
      this.body = new KnownAttributes(body);
      if (held) Object.assign(this.body, { mbo_mode, mbo_uid, mbo_gid });
      else this.acl = body.mbo_aclsize > 0 ? acl.slice() : NOTHING;
      this.#begun = Math.max(begun, this.#begun);
      if (isDirectory(body.mbo_mode)) this.#learnDirectory(body, ea, directoryDefault);
    }
    if (accept || known) {
      if (update) this.#updateLock = lock;
      if (permission) this.#permissionLock = lock;
    }
    if (isRegular(body.mbo_mode)) this.#learnLayout(ea, lock, accept);
  }

  #learnDirectory(body: MdtBody, ea: Uint8Array, directoryDefault: Uint8Array | undefined): void {
    try {
      const striped = (body.mbo_valid & MdValid.OBD_MD_MEA) !== 0n;
      this.#directory = striped ? decodeDirectoryLayout(ea) : undefined;
    } catch (error) {
      this.#directory = error as Error;
    }
    if (directoryDefault !== undefined) this.directoryDefault = decodeDirectoryDefault(directoryDefault);
  }

  #learnLayout(ea: Uint8Array, lock: ClientLock | undefined, accept: boolean): void {
    const locked = holds(lock, MDS_INODELOCK_LAYOUT);
    if (!locked && (!accept || holds(this.#layoutLock, MDS_INODELOCK_LAYOUT))) return;
    this.takeLayout(ea, locked ? lock : undefined);
  }

  /** Takes over a layout and the lock that it came with, as newer than any before. */
  takeLayout(ea: Uint8Array, lock: ClientLock | undefined): void {
    this.#layoutLock = lock;
    this.#layoutLearned = true;
    this.#layout = ea.length === 0 ? undefined : layouts.copy(ea);
  }

  /** All attributes are current. */
  get attributesValid(): boolean {
    return holds(this.#updateLock, MDS_INODELOCK_UPDATE) && this.permissionsValid;
  }

  /** Mode, owner and ACL are current. */
  get permissionsValid(): boolean {
    return holdsPermission(this.#permissionLock);
  }

  /** The lock that protects a directory's names, while there is one. */
  get updateLock(): ClientLock | undefined {
    return holds(this.#updateLock, MDS_INODELOCK_UPDATE) ? this.#updateLock : undefined;
  }

  /** The layout may be used: its lock is still there, or the server gave none that could be taken back. */
  get layoutValid(): boolean {
    return (
      this.#layoutLearned && (this.#layoutLock === undefined || holds(this.#layoutLock, MDS_INODELOCK_LAYOUT))
    );
  }

  /** The layout cannot have changed. */
  get layoutLocked(): boolean {
    return this.#layoutLearned && holds(this.#layoutLock, MDS_INODELOCK_LAYOUT);
  }

  /** Undefined where the file has no objects. Throws what was wrong with the layout. */
  get layout(): FileLayout | undefined {
    if (this.#layout instanceof Uint8Array) {
      try {
        this.#layout = decodeLayout(this.#layout);
      } catch (error) {
        this.#layout = error as Error;
      }
    }
    if (this.#layout instanceof Error) throw this.#located(this.#layout as LustreError);
    return this.#layout;
  }

  /** How a directory's names lie over shards; undefined where they lie in itself. Throws what was wrong with it. */
  get directory(): DirectoryLayout | undefined {
    if (this.#directory instanceof Error) throw this.#located(this.#directory as LustreError);
    return this.#directory;
  }

  #located({ code, message, errno }: LustreError): LustreError {
    return new LustreError(code, message.replace(/^E[A-Z]+: /, ''), { fid: formatFid(this.fid) }, errno);
  }

  /** Forgets that attributes are current: after our own change of them. */
  expire(): void {
    this.#updateLock = undefined;
  }

  /** Times that were chosen at `now` (seconds): what a close tells is not to undo them. */
  choose(times: { readonly atime?: bigint; readonly mtime?: bigint }, now: number): void {
    if (times.atime !== undefined) {
      this.atimeChosen = now;
      this.body.mbo_atime = times.atime;
    }
    if (times.mtime !== undefined) this.body.mbo_mtime = times.mtime;
  }
}

/** A name: the object that it leads to under LOOKUP of that object, or nothing under UPDATE of the directory. */
interface Name {
  readonly inode: Inode | undefined;
  readonly lock: ClientLock;
}

export class InodeCache {
  readonly #inodes = new Map<string, Inode>();
  /** Objects in use: there is never a second Inode of one of them, whatever is forgotten. */
  readonly #pinned = new Map<string, { readonly inode: Inode; users: number }>();
  readonly #names = new Map<string, Name>();
  #requests = 0;

  /** Call before a request whose reply will be learned: says which of two is the later one. */
  begin(): number {
    return ++this.#requests;
  }

  /** The object of a reply; makes it known or brings it up to date. Throws EPROTO for a body without type. */
  learn(mdt: MetadataTarget, learned: Learned, begun: number): Inode {
    checkBody(learned.body, mdt.name);
    const key = fidKey(learned.body.mbo_fid1);
    const inode = this.#pinned.get(key)?.inode ?? this.#inodes.get(key) ?? new Inode(mdt, learned.body);
    inode.learn(learned, begun);
    learnData(mdt, learned);
    this.#touch(this.#inodes, key, inode, KNOWN_MAX);
    return inode;
  }

  get(fid: Fid): Inode | undefined {
    const key = fidKey(fid);
    return this.#pinned.get(key)?.inode ?? this.#inodes.get(key);
  }

  /** Keeps an object until `unpin`, as often as it is pinned. */
  pin(inode: Inode): void {
    const pinned = this.#pinned.get(inode.key);
    if (pinned === undefined) this.#pinned.set(inode.key, { inode, users: 1 });
    else pinned.users++;
  }

  unpin(inode: Inode): void {
    const pinned = this.#pinned.get(inode.key);
    if (pinned !== undefined && --pinned.users === 0) this.#pinned.delete(inode.key);
  }

  /** Remembers that a name leads to an object, as long as the lock on the object says so. */
  name(parent: Inode, name: string, inode: Inode, lock: ClientLock | undefined): void {
    if (lock !== undefined && holds(lock, MDS_INODELOCK_LOOKUP))
      this.#touch(this.#names, nameKey(parent, name), { inode, lock }, KNOWN_MAX);
    else this.forgetName(parent, name);
  }

  /** Remembers that a name is not there: `lock` protected the directory before it was asked, and still does. */
  noName(parent: Inode, name: string, lock: ClientLock | undefined): void {
    if (lock !== undefined && holds(lock, MDS_INODELOCK_UPDATE))
      this.#touch(this.#names, nameKey(parent, name), { inode: undefined, lock }, KNOWN_MAX);
    else this.forgetName(parent, name);
  }

  /** What a name leads to, null for nothing; undefined when that is not certain. */
  lookup(parent: Inode, name: string): Inode | null | undefined {
    const key = nameKey(parent, name);
    const entry = this.#names.get(key);
    if (entry === undefined) return undefined;
    if (holds(entry.lock, entry.inode === undefined ? MDS_INODELOCK_UPDATE : MDS_INODELOCK_LOOKUP))
      return entry.inode ?? null;
    this.#names.delete(key);
    return undefined;
  }

  forgetName(parent: Inode, name: string): void {
    this.#names.delete(nameKey(parent, name));
  }

  /** After ESTALE, or an eviction. */
  clear(): void {
    this.#names.clear();
    this.#inodes.clear();
  }

  #touch<V>(map: Map<string, V>, key: string, value: V, max: number): void {
    map.delete(key);
    map.set(key, value);
    if (map.size > max) {
      const oldest = map.keys().next().value;
      if (oldest !== undefined) map.delete(oldest);
    }
  }
}

const nameKey = (parent: Inode, name: string): string => `${parent.key}/${name}`;

/** Data that the MDT keeps may come under the same lock as the attributes (guide 09 §5): no second one is asked for then. */
function learnData({ data }: MetadataTarget, { body, lock }: Learned): void {
  if (!holds(lock, MDS_INODELOCK_DOM) || (body.mbo_valid & MdValid.OBD_MD_DOM_SIZE) === 0n) return;
  const key = resourceKey(fidResource(body.mbo_fid1));
  if (lock === undefined || data.known.current(key) !== undefined) return;
  data.known.learn(
    key,
    {
      size: Number(body.mbo_dom_size),
      mtime: Number(body.mbo_mtime),
      atime: Number(body.mbo_atime),
      ctime: Number(body.mbo_ctime),
      blocks: Number(body.mbo_dom_blocks),
    },
    lock,
  );
}
