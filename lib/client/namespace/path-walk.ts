/** From paths to objects, one component at a time (guide 10). The client follows symlinks; servers never do. */
import { formatFid } from '../../fid/fid.ts';
import { placeOfName } from '../../layout/directory-layout.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { textByteLength } from '../../wire/text.ts';
import type { Attributes } from '../engine.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { readlink } from '../mdc/getattr.ts';
import { type LookupResult, lookup } from '../mdc/intent-getattr.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import { mdtOf, type Session } from '../session.ts';
import { isDirectory, isSymlink, mergeAttributes, mergeShards } from './attributes.ts';
import { type Inode, InodeCache } from './inodes.ts';
import { permits, X_OK } from './permission.ts';

const NAME_MAX = 255;
const PATH_MAX = 4096;
const SYMLINKS_MAX = 40;

export interface WalkContext {
  readonly syscall: string;
  readonly path: string;
  readonly signal?: AbortSignal;
}

/** A name in a directory that exists; whether the name does is another matter. */
export interface Place {
  readonly parent: Inode;
  /** '' for the root itself. */
  readonly name: string;
  /** The path ended in a slash: only a directory will do. */
  readonly directory: boolean;
  /** Directories from the root to `parent`. */
  readonly trail: readonly Step[];
}

/** A directory passed on the way, and the name that led to it. */
export interface Step {
  readonly inode: Inode;
  readonly name: string;
}

/** What attributes are needed for: `lookup` when only the object matters. */
export type Freshness = 'lookup' | 'getattr';

export class PathWalker {
  readonly #session: Session;
  readonly cache = new InodeCache();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The object at a path. Rejects with ENOENT, ENOTDIR, ELOOP, EACCES, ENAMETOOLONG. */
  async resolve(path: string, follow: boolean, freshness: Freshness, context: WalkContext): Promise<Inode> {
    return this.#retryStale(async () => (await this.#resolve(path, follow, freshness, context)).inode);
  }

  /** The object and the names of all directories above it, without symlinks. */
  async realpath(path: string, context: WalkContext): Promise<string> {
    return this.#retryStale(async () => {
      const { place } = await this.#resolve(path, true, 'lookup', context);
      const names = place.trail.slice(1).map((step) => step.name);
      return `/${[...names, place.name].filter((name) => name !== '').join('/')}`;
    });
  }

  /** Directory and name for an operation that makes, removes or moves a name. `.` and `..` as last name are refused. */
  async place(path: string, context: WalkContext): Promise<Place> {
    return this.#retryStale(async () => {
      const place = await this.#place(await this.root(context), [], path, context, { links: 0 });
      if (place.name === '') throw this.#error(Errno.EBUSY, context, 'The root of the file system stays');
      return place;
    });
  }

  /** Runs `work` once more with empty caches when an object turned out to be gone under us (guide 10 §10). */
  async #retryStale<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if ((error as LustreError).code !== 'ESTALE') throw error;
      this.cache.clear();
      return work();
    }
  }

  async root(context: WalkContext, freshness: Freshness = 'lookup'): Promise<Inode> {
    const known = this.cache.get(this.#session.root);
    if (known !== undefined && (freshness === 'lookup' || known.attributesValid)) return known;
    const mdt = await mdtOf(this.#session, this.#session.root);
    return this.refresh(mdt, this.#session.root, context);
  }

  /** Attributes by FID, with a lock. */
  async refresh(mdt: MetadataTarget, fid: Inode['fid'], context: WalkContext): Promise<Inode> {
    const begun = this.cache.begin();
    const found = await lookup(
      mdt,
      { parent: fid, child: fid, intent: 'getattr' },
      this.#session.who,
      options(context),
    );
    if (found === undefined) throw this.#error(Errno.ESTALE, context);
    return this.#keep(mdt, found, begun);
  }

  /** Current attributes of a known object. */
  async current(inode: Inode, context: WalkContext): Promise<Inode> {
    if (inode.attributesValid) return inode;
    return inode.isShard ? this.remote(inode.fid, context) : this.refresh(inode.mdt, inode.fid, context);
  }

  #keep(mdt: MetadataTarget, found: LookupResult, begun: number): Inode {
    try {
      return this.cache.learn(mdt, found, begun);
    } finally {
      if (found.lock !== undefined) mdt.locks.release(found.lock);
    }
  }

  /** What `name` leads to in `parent`; undefined when it is not there. `batched`: many names are asked for together. */
  async child(
    parent: Inode,
    name: string,
    freshness: Freshness,
    context: WalkContext,
    batched = false,
  ): Promise<Inode | undefined> {
    if (!isDirectory(parent.body.mbo_mode)) throw this.#error(Errno.ENOTDIR, context);
    for (const shard of await this.#shards(parent, name, context)) {
      const found = await this.#childOf(shard, name, freshness, context, batched);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** What `name` leads to in a directory, or in one shard of a striped one. */
  async #childOf(
    parent: Inode,
    name: string,
    freshness: Freshness,
    context: WalkContext,
    batched = false,
  ): Promise<Inode | undefined> {
    const cached = this.known(parent, name, context);
    if (cached === null) return undefined;
    if (cached !== undefined) return freshness === 'lookup' ? cached : this.current(cached, context);
    // A name that is not there can be remembered only under the directory's lock: one is asked for at the second miss.
    if (parent.misses > 0 && parent.updateLock === undefined)
      await this.refresh(parent.mdt, parent.fid, context);
    const guard = parent.updateLock;
    const { who } = this.#session;
    const group = supplementaryGroup(who, parent.body.mbo_gid);
    const begun = this.cache.begin();
    const found = await lookup(
      parent.mdt,
      { parent: parent.fid, name, intent: freshness, group, batched },
      who,
      options(context),
    );
    if (found === undefined) {
      parent.misses = guard === undefined ? 1 : 0;
      this.cache.noName(parent, name, guard);
      return undefined;
    }
    if ((found.body.mbo_valid & MdValid.OBD_MD_MDS) !== 0n) return this.#remote(parent, name, found, context);
    const inode = this.#keep(parent.mdt, found, begun);
    this.cache.name(parent, name, inode, found.lock);
    return inode;
  }

  /**
   * What the cache says of a name; null: it is not there. The client then has to check the permission that a server
   * would have checked.
   */
  known(parent: Inode, name: string, context: WalkContext): Inode | null | undefined {
    const cached = this.cache.lookup(parent, name);
    if (cached === undefined || this.#session.who.uid === 0) return cached;
    if (!parent.permissionsValid) return undefined;
    if (!permits(parent, this.#session.who, X_OK)) throw this.#error(Errno.EACCES, context);
    return cached;
  }

  /** The object lives on another MDT than its name: one lock protects the name, another the object (guide 10 §6). */
  async #remote(parent: Inode, name: string, found: LookupResult, context: WalkContext): Promise<Inode> {
    if (found.lock !== undefined) parent.mdt.locks.release(found.lock);
    const inode = await this.remote(found.body.mbo_fid1, context);
    this.cache.name(parent, name, inode, found.lock);
    return inode;
  }

  /** An object by FID, from the MDT that holds it. */
  async remote(fid: Inode['fid'], context: WalkContext): Promise<Inode> {
    const mdt = await mdtOf(this.#session, fid);
    const begun = this.cache.begin();
    const second = await lookup(
      mdt,
      { parent: fid, child: fid, crossReference: true, intent: 'getattr' },
      this.#session.who,
      options(context),
    );
    if (second === undefined || (second.body.mbo_valid & MdValid.OBD_MD_MDS) !== 0n)
      throw new LustreError(
        'EPROTO',
        `${formatFid(fid)} is on no MDT`,
        { ...context, target: mdt.name },
        -71,
      );
    return this.#keep(mdt, second, begun);
  }

  /** Where a name of a directory lies: the directory itself, or its shard for that name; while it is being spread over other
   * shards, the one where it may still be comes second. */
  async #shards(directory: Inode, name: string, context: WalkContext): Promise<Inode[]> {
    if (directory.directory === undefined) return [directory];
    const current = directory.permissionsValid ? directory : await this.current(directory, context);
    const layout = current.directory;
    if (layout === undefined) return [current];
    const { shard, old } = placeOfName(layout, name);
    const indices = old === undefined ? [shard] : [shard, old];
    return Promise.all(indices.map((index) => this.shard(layout.shards[index]!, context)));
  }

  /** A shard of a striped directory, as the directory that it is. */
  async shard(fid: Inode['fid'], context: WalkContext): Promise<Inode> {
    // Which one it is says the directory; its attributes are asked for by whoever needs them to be current.
    const shard = this.cache.get(fid) ?? (await this.remote(fid, context));
    shard.isShard = true;
    return shard;
  }

  /** A striped directory's attributes are those of its shards, taken together (guide 10 §7). */
  async shardAttributes(
    directory: Inode,
    fids: readonly Inode['fid'][],
    context: WalkContext,
  ): Promise<Attributes> {
    const shards = await Promise.all(
      fids.map(async (fid) => this.current(await this.shard(fid, context), context)),
    );
    const alone = ({ fid, body }: Inode): Attributes => mergeAttributes(fid, body, undefined, undefined);
    return mergeShards(alone(directory), shards.map(alone));
  }

  /** Where a name is, or is to be made. */
  async #shardOf(directory: Inode, name: string, context: WalkContext): Promise<Inode> {
    const [shard = directory, old] = await this.#shards(directory, name, context);
    if (old === undefined) return shard;
    const moved = await this.#childOf(shard, name, 'lookup', context);
    const left = moved === undefined ? await this.#childOf(old, name, 'lookup', context) : undefined;
    return left === undefined ? shard : old;
  }

  /** Where a symlink leads. */
  async readlink(inode: Inode, context: WalkContext): Promise<string> {
    if (!isSymlink(inode.body.mbo_mode)) throw this.#error(Errno.EINVAL, context);
    // A symlink's target never changes: another target is another object.
    inode.target ??= await readlink(
      inode.mdt,
      inode.fid,
      Number(inode.body.mbo_size),
      this.#session.who,
      options(context),
    );
    return inode.target;
  }

  async #resolve(
    path: string,
    follow: boolean,
    freshness: Freshness,
    context: WalkContext,
  ): Promise<{ inode: Inode; place: Place }> {
    const links = { links: 0 };
    let place = await this.#place(await this.root(context, freshness), [], path, context, links);
    for (;;) {
      if (place.name === '') return { inode: place.parent, place };
      const inode = await this.child(place.parent, place.name, freshness, context);
      if (inode === undefined) throw this.#error(Errno.ENOENT, context);
      const link = isSymlink(inode.body.mbo_mode);
      if (!link || (!follow && !place.directory)) {
        if (place.directory && !isDirectory(inode.body.mbo_mode)) throw this.#error(Errno.ENOTDIR, context);
        return { inode, place };
      }
      place = await this.follow(place, inode, context, links);
    }
  }

  /** The symlink at a place; throws `otherwise` when there is none. */
  async linkAt({ parent, name }: Place, otherwise: Error, context: WalkContext): Promise<Inode> {
    const inode = await this.child(parent, name, 'lookup', context);
    if (inode === undefined || !isSymlink(inode.body.mbo_mode)) throw otherwise;
    return inode;
  }

  /** The place that a symlink found at `place` stands for. Counts links: too many are ELOOP. */
  async follow(place: Place, link: Inode, context: WalkContext, count: { links: number }): Promise<Place> {
    if (++count.links > SYMLINKS_MAX) throw this.#error(Errno.ELOOP, context);
    const target = await this.readlink(link, context);
    const next = await this.#place(place.parent, place.trail, target, context, count);
    return place.directory && !next.directory ? { ...next, directory: true } : next;
  }

  /** Walks all but the last component. */
  async #place(
    start: Inode,
    startTrail: readonly Step[],
    path: string,
    context: WalkContext,
    count: { links: number },
  ): Promise<Place> {
    const names = this.#split(path, context);
    let trail: Step[] = path.startsWith('/') || startTrail.length === 0 ? [] : [...startTrail];
    if (trail.length === 0)
      trail.push({ inode: path.startsWith('/') ? await this.root(context) : start, name: '' });
    let directory = path.endsWith('/');
    while (names.length > 1 || names[0] === '.' || names[0] === '..') {
      const name = names.shift()!;
      if (name === '..' && trail.length > 1) trail.pop();
      if (names.length === 0) directory = true;
      if (name === '.' || name === '..') continue;
      const at = trail[trail.length - 1]!;
      const inode = await this.child(at.inode, name, 'lookup', context);
      if (inode === undefined) throw this.#error(Errno.ENOENT, context);
      if (isSymlink(inode.body.mbo_mode)) {
        const here = { parent: at.inode, name, directory: true, trail };
        const through = await this.follow(here, inode, context, count);
        trail = await this.#enter(through, context, count);
      } else if (isDirectory(inode.body.mbo_mode)) {
        trail.push({ inode, name });
      } else {
        throw this.#error(Errno.ENOTDIR, context);
      }
    }
    const place = this.#placeAt(trail, names[0], directory);
    if (place.name === '' || place.parent.directory === undefined) return place;
    return { ...place, parent: await this.#shardOf(place.parent, place.name, context) };
  }

  /** A path that ends in `.`, `..` or nothing names its directory by that one's own name. */
  #placeAt(trail: readonly Step[], name: string | undefined, directory: boolean): Place {
    const last = trail[trail.length - 1]!;
    if (name !== undefined) return { parent: last.inode, name, directory, trail };
    const above = trail[trail.length - 2];
    if (above === undefined) return { parent: last.inode, name: '', directory: true, trail };
    return { parent: above.inode, name: last.name, directory: true, trail: trail.slice(0, -1) };
  }

  /** The directory at a place, as the new end of the trail. */
  async #enter(place: Place, context: WalkContext, count: { links: number }): Promise<Step[]> {
    for (let at = place; ; ) {
      if (at.name === '') return [...at.trail];
      const inode = await this.child(at.parent, at.name, 'lookup', context);
      if (inode === undefined) throw this.#error(Errno.ENOENT, context);
      if (isDirectory(inode.body.mbo_mode)) return [...at.trail, { inode, name: at.name }];
      if (!isSymlink(inode.body.mbo_mode)) throw this.#error(Errno.ENOTDIR, context);
      at = await this.follow(at, inode, context, count);
    }
  }

  #split(path: string, context: WalkContext): string[] {
    if (path === '') throw this.#error(Errno.ENOENT, context);
    if (textByteLength(path) > PATH_MAX) throw this.#error(Errno.ENAMETOOLONG, context);
    const names = path.split('/').filter((name) => name !== '');
    if (names.some((name) => textByteLength(name) > NAME_MAX)) throw this.#error(Errno.ENAMETOOLONG, context);
    return names;
  }

  #error(errno: number, context: WalkContext, hint?: string): LustreError {
    return errnoError(errno, { syscall: context.syscall, path: context.path, hint });
  }
}

/** What a request needs of a walk's context. */
export function options(context: WalkContext): {
  context: { syscall: string; path: string };
  signal?: AbortSignal;
} {
  return {
    context: { syscall: context.syscall, path: context.path },
    ...(context.signal !== undefined && { signal: context.signal }),
  };
}
