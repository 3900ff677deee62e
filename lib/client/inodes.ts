/**
 * What the client knows of objects and names (guide 10 §1). Nothing here is trusted for its own sake: each piece carries
 * the lock under which it was learned, and counts only while that lock is granted.
 */
import { type Fid, fidKey, formatFid } from '../fid/fid.ts';
import { decodeLayout, type Raid0Layout } from '../layout/layout-ea.ts';
import type { ClientLock } from '../ldlm/client-lock.ts';
import { LustreError } from '../runtime/errors.ts';
import { InodeBit } from '../wire/ldlm-constants.ts';
import type { MdtBody } from '../wire/mds-structs.ts';
import { checkBody, isRegular } from './attributes.ts';
import type { MetadataTarget } from './mdc/target.ts';

/** Objects and names remembered. */
const INODES_MAX = 10_000;
const NAMES_MAX = 20_000;

/** What a reply said about an object. */
export interface Learned {
  readonly body: MdtBody;
  readonly ea: Uint8Array;
  readonly acl: Uint8Array;
  readonly lock: ClientLock | undefined;
}

export const isValid = (lock: ClientLock | undefined): boolean => lock?.state === 'GRANTED';

const bitsOf = (lock: ClientLock | undefined): bigint => lock?.policy.inodeBits ?? 0n;
const covers = (lock: ClientLock | undefined, bits: number): boolean =>
  (bitsOf(lock) & BigInt(bits)) === BigInt(bits);

export class Inode {
  readonly fid: Fid;
  readonly key: string;
  readonly mdt: MetadataTarget;
  body: MdtBody;
  hasAcl = false;
  /** Where a symlink leads. */
  target: string | undefined;
  #attributesLock: ClientLock | undefined;
  #permissionLock: ClientLock | undefined;
  #layoutLock: ClientLock | undefined;
  #layout: Raid0Layout | Error | undefined;
  #layoutLearned = false;

  constructor(mdt: MetadataTarget, body: MdtBody) {
    this.fid = body.mbo_fid1;
    this.key = fidKey(this.fid);
    this.mdt = mdt;
    this.body = body;
  }

  /** Takes over what a reply said. */
  learn({ body, ea, acl, lock }: Learned): void {
    this.body = body;
    this.hasAcl = body.mbo_aclsize > 0 && acl.length > 0;
    const { MDS_INODELOCK_UPDATE, MDS_INODELOCK_LOOKUP, MDS_INODELOCK_PERM, MDS_INODELOCK_LAYOUT } = InodeBit;
    const permission = covers(lock, MDS_INODELOCK_LOOKUP) || covers(lock, MDS_INODELOCK_PERM);
    this.#permissionLock = permission ? lock : undefined;
    this.#attributesLock = permission && covers(lock, MDS_INODELOCK_UPDATE) ? lock : undefined;
    if (isRegular(body.mbo_mode)) this.learnLayout(ea, covers(lock, MDS_INODELOCK_LAYOUT) ? lock : undefined);
  }

  learnLayout(ea: Uint8Array, lock: ClientLock | undefined): void {
    this.#layoutLock = lock;
    this.#layoutLearned = true;
    try {
      this.#layout = ea.length === 0 ? undefined : decodeLayout(ea);
    } catch (error) {
      this.#layout = error as Error;
    }
  }

  /** All attributes are current. */
  get attributesValid(): boolean {
    return isValid(this.#attributesLock);
  }

  /** Mode and owner are current. */
  get permissionsValid(): boolean {
    return isValid(this.#permissionLock);
  }

  /** The layout may be used: its lock is still there, or the server gave none that could be taken back. */
  get layoutValid(): boolean {
    return this.#layoutLearned && (this.#layoutLock === undefined || isValid(this.#layoutLock));
  }

  /** Undefined where the file has no objects. Throws what was wrong with the layout. */
  get layout(): Raid0Layout | undefined {
    if (this.#layout instanceof Error) {
      const { code, message, errno } = this.#layout as LustreError;
      throw new LustreError(code, message.replace(/^E[A-Z]+: /, ''), { fid: formatFid(this.fid) }, errno);
    }
    return this.#layout;
  }

  /** Forgets that attributes are current: after our own change of them. */
  expire(): void {
    this.#attributesLock = undefined;
  }
}

export class InodeCache {
  readonly #inodes = new Map<string, Inode>();
  /** Objects in use: there is never a second Inode of one of them, whatever is forgotten. */
  readonly #pinned = new Map<string, { readonly inode: Inode; users: number }>();
  readonly #names = new Map<string, { readonly inode: Inode; readonly lock: ClientLock }>();

  /** The object of a reply; makes it known or brings it up to date. Throws EPROTO for a body without type. */
  learn(mdt: MetadataTarget, learned: Learned): Inode {
    checkBody(learned.body, mdt.name);
    const key = fidKey(learned.body.mbo_fid1);
    const inode = this.#pinned.get(key)?.inode ?? this.#inodes.get(key) ?? new Inode(mdt, learned.body);
    inode.learn(learned);
    this.#touch(this.#inodes, key, inode, INODES_MAX);
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
    const key = `${parent.key}/${name}`;
    if (lock !== undefined && covers(lock, InodeBit.MDS_INODELOCK_LOOKUP))
      this.#touch(this.#names, key, { inode, lock }, NAMES_MAX);
    else this.#names.delete(key);
  }

  /** What a name leads to, if that is certain. */
  lookup(parent: Inode, name: string): Inode | undefined {
    const key = `${parent.key}/${name}`;
    const entry = this.#names.get(key);
    if (entry === undefined) return undefined;
    if (isValid(entry.lock)) return entry.inode;
    this.#names.delete(key);
    return undefined;
  }

  forgetName(parent: Inode, name: string): void {
    this.#names.delete(`${parent.key}/${name}`);
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
