/**
 * What can be asked and said about ranges of an open file beside their bytes (guide 12 §4, §9; guide 17 §12, §13): where
 * data and holes are, reserving and freeing space, extents on the servers' disks, advice, and the version of the data.
 */
import { formatFid } from '../../fid/fid.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { Fiemap } from '../../wire/ost-constants.ts';
import type { Extent } from '../engine.ts';
import { dataVersion as mdtDataVersion } from '../mdc/data-version.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import { settle } from '../objects/direct-io.ts';
import {
  type HeldLock,
  lockAhead,
  lockExtent,
  lockIfHeld,
  objectAttributes,
  unlock,
} from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { dataVersion, type VersionFlush } from '../osc/data-version.ts';
import { type FallocateMode, fallocate, fallocateOnMdtRequest, fallocateRequest } from '../osc/fallocate.ts';
import { fiemap, type ObjectExtent } from '../osc/fiemap.ts';
import { type Advice, ladvise } from '../osc/ladvise.ts';
import { type SeekWhat, seek } from '../osc/seek.ts';
import type { Session } from '../session.ts';
import type { LayoutInUse } from './file-layouts.ts';
import type { Files } from './files.ts';
import { checkData, type OpenFile } from './open-file.ts';

export interface Range {
  readonly start: number;
  /** Past the last byte; Infinity for all that follow. */
  readonly end: number;
}

const MASK_64 = 0xffff_ffff_ffff_ffffn;

/** `FIEMAP_EXTENT_` bits by what their names say. */
const EXTENT_FLAGS = Object.entries(Fiemap).flatMap(([name, bit]) =>
  name.startsWith('FIEMAP_EXTENT_') ? [[name.slice(14).toLowerCase(), Number(bit)] as const] : [],
);

export class FileRanges {
  readonly #session: Session;
  readonly #files: Files;

  constructor(session: Session, files: Files) {
    this.#session = session;
    this.#files = files;
  }

  /** The first data or hole at or after `offset`; undefined where there is none before the end, which counts as a hole. */
  async seek(
    file: OpenFile,
    offset: number,
    what: SeekWhat,
    context: WalkContext,
  ): Promise<number | undefined> {
    this.#check(file, { start: offset, end: Number.POSITIVE_INFINITY }, context);
    return this.#files.layouts.usingData(file, context, async (objects) => {
      if (objects === undefined) return undefined;
      // Servers know only of what they have.
      await this.#files.cache.flushFile(file.inode.key);
      const attributes = await objectAttributes(objects, options(context));
      const sizes = attributes.map(({ size }) => size);
      const size = objects.map.fileSize(sizes);
      if (offset >= size) return undefined;
      const ranges = objects.map.ranges(offset, size);
      const found = await this.#underLocks(file, ranges, objects, 'read', context, async (stripe, range) => {
        const at = await seek(
          stripe.ost,
          stripe.object,
          sizes[range.index]!,
          range.start,
          what,
          options(context),
        );
        return at === undefined ? size : objects.map.fileOffset(range.index, at);
      });
      const first = Math.min(size, ...found);
      return what === 'data' && first === size ? undefined : first;
    });
  }

  /** Reserves or frees space. */
  async fallocate(file: OpenFile, mode: FallocateMode, range: Range, context: WalkContext): Promise<void> {
    if (!file.writable) throw errnoError(Errno.EBADF, options(context).context);
    if (range.end > Number.MAX_SAFE_INTEGER) throw errnoError(Errno.EFBIG, options(context).context);
    this.#check(file, range, context);
    if (range.end <= range.start) throw errnoError(Errno.EINVAL, options(context).context);
    await this.#files.dropSetIds(file.inode, context);
    file.modified = true;
    const need = { kind: 'write', ...range } as const;
    await this.#files.layouts.usingToWrite(file, need, context, async (objects) => {
      const ranges = objects.map.ranges(range.start, range.end);
      await this.#underLocks(
        file,
        ranges,
        objects,
        'write',
        context,
        async (stripe, { start, end }, lock) => {
          const seconds = Math.floor(this.#session.runtime.wallTime() / 1000);
          const what = { mode, start, end };
          const request = stripe.onMdt
            ? fallocateOnMdtRequest(stripe.object, what, BigInt(seconds), lock.lock.serverHandle)
            : fallocateRequest(stripe.object, what, this.#session.owner);
          const cached = this.#files.cache.hold(stripe, file.inode.key);
          try {
            const work = async (): Promise<void> => {
              const { o_size, o_blocks } = await fallocate(stripe.ost, request, options(context));
              stripe.ost.known.reserved(stripe.key, Number(o_size), seconds, Number(o_blocks));
            };
            await cached.around(start, end, work, 'pages');
          } finally {
            this.#files.cache.letGo(cached);
          }
        },
      );
    });
    file.inode.expire();
  }

  /** Extents of all objects that have something of a range, object after object. */
  async extents(file: OpenFile, range: Range, context: WalkContext): Promise<Extent[]> {
    this.#check(file, range, context);
    return this.#files.layouts.usingData(file, context, async (objects) => {
      if (objects === undefined) return [];
      await this.#files.cache.flushFile(file.inode.key);
      const sizes = (await objectAttributes(objects, options(context))).map(({ size }) => size);
      const fileSize = objects.map.fileSize(sizes);
      const ranges = objects.map.ranges(range.start, Math.min(range.end, fileSize));
      const found = await Promise.all(
        ranges.map(async ({ index, start, end }) => {
          const stripe = objects.stripes[index]!;
          const there = { start, end: Math.min(end, sizes[index]!) };
          if (there.start >= there.end) return [];
          const extents = await this.#objectExtents(file, stripe, there, fileSize, context);
          return extents.map((extent) => describe(objects, index, extent));
        }),
      );
      return found.flat();
    });
  }

  async #objectExtents(
    { group }: OpenFile,
    stripe: Stripe,
    { start, end }: Range,
    fileSize: number,
    context: WalkContext,
  ): Promise<ObjectExtent[]> {
    // An MDT says nothing of where on its disk it keeps data.
    if (stripe.onMdt)
      return [{ offset: start, length: end - start, physical: 0, flags: Fiemap.FIEMAP_EXTENT_UNKNOWN }];
    const held = lockIfHeld(stripe, start, end);
    try {
      const what = { start, end, fileSize, locked: held !== undefined || group !== undefined };
      return await fiemap(stripe.ost, stripe.object, what, options(context));
    } finally {
      if (held !== undefined) unlock([held]);
    }
  }

  /** Tells the servers what will happen to a range, or locks it ahead where nobody is in the way. */
  async advise(
    file: OpenFile,
    advice: Advice,
    range: Range,
    background: boolean,
    context: WalkContext,
  ): Promise<void> {
    this.#check(file, range, context);
    if (range.end <= range.start) throw errnoError(Errno.EINVAL, options(context).context);
    await this.#files.layouts.usingData(file, context, async (objects) => {
      if (objects === undefined) return;
      await settle(
        objects.map.ranges(range.start, range.end).map(({ index, start, end }) => {
          const stripe = objects.stripes[index]!;
          if (advice === 'lockread' || advice === 'lockwrite')
            return lockAheadOf(stripe, advice, { start, end }, context);
          return ladvise(stripe.ost, stripe.object, { advice, start, end, background }, options(context));
        }),
      );
    });
  }

  /** A number that changes whenever the data do: the sum of those of the objects. 0 where there are none. */
  async dataVersion(file: OpenFile, flush: VersionFlush, context: WalkContext): Promise<bigint> {
    checkData(file, options(context).context);
    return this.inodeVersion(file.inode, flush, context);
  }

  async inodeVersion(inode: Inode, flush: VersionFlush, context: WalkContext): Promise<bigint> {
    return this.#files.layouts.using(inode, context, async (objects) => {
      if (objects === undefined) return 0n;
      const versions = await Promise.all(
        objects.stripes.map(({ onMdt, ost, object }) =>
          onMdt
            ? mdtDataVersion(inode.mdt, inode.fid, flush, options(context))
            : dataVersion(ost, object, flush, options(context)),
        ),
      );
      return versions.reduce((sum, version) => (sum + version) & MASK_64, 0n);
    });
  }

  #check(file: OpenFile, { start, end }: Range, context: WalkContext): void {
    checkData(file, options(context).context);
    const isOffset = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;
    if (!isOffset(start) || !(isOffset(end) || end === Number.POSITIVE_INFINITY))
      throw errnoError(Errno.EINVAL, options(context).context);
  }

  /** Runs `work` on each range while all of them are locked, in stripe order. */
  async #underLocks<T>(
    { group }: OpenFile,
    ranges: readonly (Range & { readonly index: number })[],
    objects: LayoutInUse,
    mode: 'read' | 'write',
    context: WalkContext,
    work: (stripe: Stripe, range: Range & { readonly index: number }, lock: HeldLock) => Promise<T>,
  ): Promise<T[]> {
    const held: HeldLock[] = [];
    try {
      for (const { index, start, end } of ranges)
        held.push(
          await lockExtent(objects.stripes[index]!, mode, start, end, { ...options(context), group }),
        );
      objects.check();
      const results = await Promise.allSettled(
        ranges.map((range, i) => work(held[i]!.stripe, range, held[i]!)),
      );
      return results.map((result) => {
        if (result.status === 'rejected') throw result.reason;
        return result.value;
      });
    } finally {
      unlock(held);
    }
  }
}

function describe({ map, stripes }: LayoutInUse, index: number, extent: ObjectExtent): Extent {
  const { object, ost, onMdt } = stripes[index]!;
  return {
    offset: map.fileOffset(index, extent.offset),
    length: extent.length,
    target: ost.name,
    ...(!onMdt && { ostIndex: ost.index }),
    object: formatFid(object.fid),
    objectOffset: extent.offset,
    physical: extent.physical,
    flags: EXTENT_FLAGS.filter(([, bit]) => (extent.flags & bit) !== 0).map(([name]) => name),
  };
}

async function lockAheadOf(
  stripe: Stripe,
  advice: 'lockread' | 'lockwrite',
  { start, end }: Range,
  context: WalkContext,
): Promise<void> {
  // One lock covers all that an MDT keeps.
  if (!stripe.onMdt)
    await lockAhead(stripe, advice === 'lockread' ? 'read' : 'write', start, end, options(context));
}
