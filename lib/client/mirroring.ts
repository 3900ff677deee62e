/**
 * Where the data of files lie, changed while they keep their bytes (guide 17 §10, §11): mirrors made, split off,
 * brought up to date and compared, and files moved to another layout. Each works under a lease of the file, so it rejects
 * with EBUSY, and changes nothing, when somebody has the file open or opens it meanwhile.
 */
import { constants } from 'node:fs';
import type { ComponentDescription } from '../layout/description.ts';
import { Errno, errnoError } from '../runtime/errors.ts';
import { Administration, text } from './administration.ts';
import { copyRange } from './copy.ts';
import type { Engine, LayoutChange, StripingOptions } from './engine.ts';
import { FileHandle } from './file-handle.ts';
import type { PathLike } from './filesystem-options.ts';
import type { Operations, SignalOption } from './operations.ts';
import type { Stats } from './stats.ts';

/** Of work that copies a file's data. */
export interface MirrorOptions extends SignalOption {
  /** Called with the bytes of each piece that is copied or compared. */
  readonly onProgress?: (bytes: number) => void;
}

export interface ResyncOptions extends MirrorOptions {
  /** Only these mirrors, also those that are never synchronised by themselves. */
  readonly only?: readonly number[];
}

/** What a comparison of mirrors found. */
export interface MirrorComparison {
  /** Mirrors that were compared. */
  readonly mirrors: readonly number[];
  /** Mirrors of which something is known to be out of date: that was not compared. */
  readonly stale: readonly number[];
  /** Where mirrors that should be the same are not: byte ranges of the file. */
  readonly differences: readonly {
    readonly start: number;
    readonly end: number;
    readonly mirrors: readonly number[];
  }[];
}

/** Bytes that are compared at a time. */
const COMPARED = 4 << 20;

export class Mirroring extends Administration {
  readonly #engine: Engine;
  readonly #operations: Operations;

  constructor(engine: Engine, operations: Operations) {
    super(engine, operations);
    this.#engine = engine;
    this.#operations = operations;
  }

  /** Adds a mirror with a layout of its own, and copies the data to it. */
  async extendMirror(
    path: PathLike,
    striping: StripingOptions = {},
    options: MirrorOptions = {},
  ): Promise<void> {
    await this.#moved(path, composite(striping), options, async (handle) => ({
      kind: 'merge',
      with: handle,
    }));
  }

  /** Copies a file's data to where `striping` says; the file stays the same. */
  async migrate(path: PathLike, striping: StripingOptions = {}, options: MirrorOptions = {}): Promise<void> {
    await this.#moved(path, striping, options, async (handle, version) => ({
      kind: 'swap',
      with: handle,
      versions: [version, await this.#engine.handleDataVersion(handle, 'read')],
    }));
  }

  /** Copies to a new layout, and changes the file's with it. */
  async #moved(
    path: PathLike,
    striping: StripingOptions,
    options: MirrorOptions,
    change: (handle: number, version: bigint) => Promise<LayoutChange>,
  ): Promise<void> {
    await this.#leased(path, constants.O_RDONLY, false, options, async (file) => {
      const stats = await file.stat();
      const version = await file.dataVersion();
      const fd = await this.#operations.run(options, (op) => this.#engine.openUnnamed(file.fd, striping, op));
      await using other = new FileHandle(this.#engine, this.#operations, fd, constants.O_RDWR);
      await copyRange(file, other, { start: 0, end: stats.size }, { ...options, holes: 'left' });
      await other.truncate(stats.size);
      await other.sync();
      await other.utimes(stats.atimeMs / 1000, stats.mtimeMs / 1000);
      if ((await file.dataVersion()) !== version)
        throw errnoError(Errno.EBUSY, { path: text(path), hint: 'The file was written meanwhile' });
      await this.#engine.changeLayout(file.fd, await change(fd, version));
    });
  }

  /** Takes a mirror away from a file: to a new file `into`, or with its objects. Rejects with EINVAL for the last mirror and
   * for one that it does not have, EUCLEAN for the last one that is up to date. */
  async splitMirror(
    path: PathLike,
    mirror: number,
    options: SignalOption & { readonly into?: PathLike } = {},
  ): Promise<void> {
    const { into } = options;
    const check = async (): Promise<void> => {
      const ids = [...new Set((await this.#components(path)).map(({ mirrorId }) => mirrorId))];
      if (ids.includes(mirror)) return;
      const hint = `There is no mirror ${mirror}: it has ${ids.join(', ')}`;
      throw errnoError(Errno.EINVAL, { syscall: 'mirror', path: text(path), hint });
    };
    await check();
    await this.#leased(path, constants.O_RDWR, false, options, async (file) => {
      // Others may have changed them before the lease was there.
      await check();
      const split = (fid: string): Promise<void> =>
        this.#engine.changeLayout(file.fd, { kind: 'split', mirror, into: fid });
      if (into === undefined) {
        // 2.17 refuses a mirror that goes nowhere, as older servers do: it goes to a file that goes.
        const fd = await this.#engine.openUnnamed(file.fd, undefined);
        try {
          await split((await this.#engine.handleStat(fd)).fid);
        } finally {
          await this.#engine.close(fd);
        }
        return;
      }
      const target = text(into);
      const { mode } = await file.stat();
      // A regular file of mknod has no layout.
      await this.#engine.mknod(target, constants.S_IFREG | (mode & 0o7777), 0);
      try {
        await split(await this.#engine.fid(target, false));
      } catch (error) {
        await this.#engine.unlink(target).catch(() => undefined);
        throw error;
      }
    });
  }

  /** Brings stale mirrors up to date. Resolves with the ids of the components that were stale; none: there was nothing to
   * do. */
  async resyncMirrors(path: PathLike, options: ResyncOptions = {}): Promise<number[]> {
    const findStale = async (): Promise<ComponentDescription[]> =>
      (await this.#components(path)).filter(
        ({ flags, mirrorId }) =>
          flags.includes('stale') && (options.only?.includes(mirrorId) ?? !flags.includes('nosync')),
      );
    if ((await findStale()).length === 0) return [];
    let components: number[] = [];
    await this.#leased(path, constants.O_RDWR, true, options, async (file) => {
      // Which are is certain only under the lease.
      const stale = await findStale();
      components = stale.map(({ id }) => id);
      const stats = await file.stat();
      try {
        for (const mirror of new Set(stale.map(({ mirrorId }) => mirrorId))) {
          const ranges = stale.filter(({ mirrorId }) => mirrorId === mirror);
          await this.#resync(file, mirror, ranges, stats, options);
        }
      } catch (error) {
        // The lease has to say that it is over.
        await this.#engine.changeLayout(file.fd, { kind: 'resynced', components: [] }).catch(() => undefined);
        throw error;
      }
      await this.#engine.changeLayout(file.fd, { kind: 'resynced', components });
    });
    return components;
  }

  async #resync(
    from: FileHandle,
    id: number,
    stale: readonly ComponentDescription[],
    { size, atimeMs, mtimeMs }: Stats,
    options: MirrorOptions,
  ): Promise<void> {
    await using mirror = await this.#mirror(from, id, options);
    for (const { start, end } of stale) {
      const there = { start, end: Math.min(end, size) };
      if (there.start < there.end) await copyRange(from, mirror, there, { ...options, holes: 'made' });
    }
    // What the mirror has behind the end of the file goes, where it was the stale one that had it.
    if (stale.some(({ end }) => end > size)) await mirror.truncate(size);
    await mirror.datasync();
    await mirror.utimes(atimeMs / 1000, mtimeMs / 1000);
  }

  /** Reads mirrors that should be the same, and says where they are not. */
  async verifyMirrors(path: PathLike, options: ResyncOptions = {}): Promise<MirrorComparison> {
    const components = await this.#components(path);
    const wanted = [...new Set(components.map(({ mirrorId }) => mirrorId))].filter(
      (id) => options.only?.includes(id) ?? true,
    );
    const isStale = (id: number, start: number, end: number): boolean =>
      components.some(
        (c) => c.mirrorId === id && c.flags.includes('stale') && c.start < end && start < c.end,
      );
    const differences: { start: number; end: number; mirrors: number[] }[] = [];
    await this.#leased(path, constants.O_RDONLY, false, options, async (file) => {
      const { size } = await file.stat();
      const copies: Copy[] = [];
      try {
        for (const id of wanted) {
          const buffer = Buffer.allocUnsafeSlow(Math.min(COMPARED, Math.max(size, 1)));
          copies.push({ id, file: await this.#mirror(file, id, options), buffer });
        }
        for (const { start, end } of piecesOf(size, components)) {
          const current = copies.filter(({ id }) => !isStale(id, start, end));
          const mirrors = await unlike(current, start, end, options);
          if (mirrors.length > 0) differences.push({ start, end, mirrors });
          options.onProgress?.(end - start);
        }
      } finally {
        await Promise.all(copies.map((copy) => copy.file.close()));
      }
    });
    const stale = wanted.filter((id) => isStale(id, 0, Number.POSITIVE_INFINITY));
    return { mirrors: wanted, stale, differences };
  }

  async #components(path: PathLike): Promise<readonly ComponentDescription[]> {
    const layout = await this.#engine.getLayout(text(path));
    const composite = layout?.composite;
    if (composite === undefined || composite.mirrorCount < 2)
      throw errnoError(Errno.EINVAL, { syscall: 'mirror', path: text(path), hint: 'It has no mirrors' });
    return composite.components;
  }

  async #mirror(file: FileHandle, id: number, options: SignalOption): Promise<FileHandle> {
    const fd = await this.#operations.run(options, (op) => this.#engine.openMirror(file.fd, id, op));
    return new FileHandle(this.#engine, this.#operations, fd, constants.O_RDWR);
  }

  /** Runs `work` with a file that is open under a lease; `work` gives that back with a change, or it is given back. */
  async #leased(
    path: PathLike,
    flags: number,
    resync: boolean,
    options: SignalOption,
    work: (file: FileHandle) => Promise<void>,
  ): Promise<void> {
    const fd = await this.#operations.run(options, (op) =>
      this.#engine.openLeased(text(path), flags, resync, op),
    );
    const file = new FileHandle(this.#engine, this.#operations, fd, flags);
    try {
      await work(file);
    } finally {
      await file.close().catch((error: unknown) => {
        // A change has closed it.
        if ((error as NodeJS.ErrnoException).code !== 'EBADF') throw error;
      });
    }
  }
}

/** A mirror that is compared with others. */
interface Copy {
  readonly id: number;
  readonly file: FileHandle;
  readonly buffer: Buffer;
}

/** The first of the mirrors and those that differ from it in a range; none when all are the same. */
async function unlike(
  copies: readonly Copy[],
  start: number,
  end: number,
  { signal }: SignalOption,
): Promise<number[]> {
  const read = await Promise.all(
    copies.map(async ({ id, file, buffer }) => {
      const { bytesRead } = await file.read(buffer, { position: start, length: end - start, signal });
      // Behind what a mirror has it reads as zeroes: the file is as long as its longest mirror.
      return { id, bytes: buffer.subarray(0, end - start).fill(0, bytesRead) };
    }),
  );
  const [first] = read;
  if (first === undefined) return [];
  const others = read.filter(({ bytes }) => !bytes.equals(first.bytes));
  return others.length === 0 ? [] : [first.id, ...others.map(({ id }) => id)];
}

/** A mirror is a composite layout, if of one component. */
function composite(striping: StripingOptions): StripingOptions {
  if (striping.components !== undefined) return striping;
  return { components: [{ ...striping, end: Number.POSITIVE_INFINITY }] };
}

/** Ranges of the file up to `size` in which no component begins or ends. */
function* piecesOf(
  size: number,
  components: readonly ComponentDescription[],
): Generator<{ readonly start: number; readonly end: number }> {
  const cuts = components.flatMap(({ start, end }) => [start, end]);
  for (let start = 0; start < size; ) {
    const end = Math.min(size, start + COMPARED, ...cuts.filter((cut) => cut > start));
    yield { start, end };
    start = end;
  }
}
