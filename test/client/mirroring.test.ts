/** Changing where the data of a file lie: requests as a kernel client sends them, and the copying, on a made-up file. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Attributes, Engine, LayoutChange } from '../../lib/client/engine.ts';
import { resyncRequest } from '../../lib/client/mdc/reint-resync.ts';
import { Mirroring } from '../../lib/client/mirroring.ts';
import { Operations } from '../../lib/client/operations.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import type { ComponentDescription } from '../../lib/layout/description.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import * as formats from '../../lib/wire/formats.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { withCluster } from './sim-cluster.ts';

const root = { uid: 0, gid: 0, groups: [], umask: 0o022 };

it('asks to synchronise as a kernel client does (04 pkt 2484)', () => {
  const what = {
    fid: parseFid('[0x200000405:0x5:0x0]'),
    lease: 0x12a02812f77ce31fn,
    cancels: [0x12a02812f77ce293n, 0x12a02812f77ce2a8n],
  };
  const ours = encoded(formats.RQF_MDS_REINT_RESYNC, resyncRequest(what, root));
  expect(ours).toEqual(buffersOf(capturedMessage('04-layouts', 2484, 36)));
});

it('is refused by servers without leases, and for files without mirrors', () =>
  withCluster(async ({ mount }) => {
    const fs = await mount();
    await fs.writeFile('/f', 'data');
    await expect(fs.extendMirror('/f', { stripeCount: 1 })).rejects.toMatchObject({
      code: 'EOPNOTSUPP',
      path: '/f',
    });
    await expect(fs.migrate('/f', { stripeCount: 1 })).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    for (const work of [
      fs.resyncMirrors('/f'),
      fs.verifyMirrors('/f'),
      fs.splitMirror('/f', 1, { into: '/other' }),
    ])
      await expect(work).rejects.toMatchObject({ code: 'EINVAL', message: /It has no mirrors/ });
    await expect(fs.stat('/other')).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await fs.readFile('/f', 'utf8')).toBe('data');
  }));

const SIZE = 64;
const STRIPING = {
  pattern: ['raid0'],
  stripeCount: 1,
  stripeSize: 65536,
  stripeOffset: 0,
  pool: undefined,
  generation: 0,
  objects: [],
};

/** A file with its mirrors in memory: null where one has nothing. It knows only what `Mirroring` asks for. */
class MirroredFile {
  readonly changes: LayoutChange[] = [];
  readonly mirrors: (number | null)[][];
  readonly #components: readonly ComponentDescription[];
  readonly #handles = new Map<number, (number | null)[]>();
  readonly #size: number;
  #next = 3;
  broken = false;

  constructor(mirrors: (number | null)[][], components: readonly ComponentDescription[], size: number) {
    this.mirrors = mirrors;
    this.#components = components;
    this.#size = size;
  }

  get engine(): Engine {
    const engine: Partial<Engine> = {
      getLayout: async () => ({
        ...STRIPING,
        fid: undefined,
        composite: { state: '0', mirrorCount: this.mirrors.length, components: this.#components },
        released: false,
        foreign: undefined,
      }),
      openLeased: async () => this.#open(this.mirrors[0]!),
      openMirror: async (_handle: number, id: number) => this.#open(this.mirrors[id - 1]!),
      handleStat: async () => ({ size: this.#size, atimeMs: 1000, mtimeMs: 2000 }) as Attributes,
      handleSetattr: async () => undefined,
      handleSync: async () => undefined,
      handleSeek: async (handle: number, offset: number, what: 'data' | 'hole') => {
        const bytes = this.#handles.get(handle)!.slice(0, this.#size);
        const at = bytes.findIndex((byte, i) => i >= offset && (byte === null) === (what === 'hole'));
        if (at !== -1) return at;
        return what === 'hole' ? this.#size : undefined;
      },
      read: async (handle: number, [buffer]: readonly Uint8Array[], position: number) => {
        const bytes = this.#handles.get(handle)!.slice(position, position + buffer!.length);
        bytes.forEach((byte, i) => {
          buffer![i] = byte ?? 0;
        });
        return bytes.length;
      },
      write: async (handle: number, [buffer]: readonly Uint8Array[], position: number) => {
        const bytes = this.#handles.get(handle)!;
        while (bytes.length < position) bytes.push(null);
        buffer!.forEach((byte, i) => {
          bytes[position + i] = byte;
        });
        return buffer!.length;
      },
      handleFallocate: async (handle: number, _mode: string, start: number, end: number) => {
        const bytes = this.#handles.get(handle)!;
        bytes.fill(null, start, Math.min(end, bytes.length));
      },
      handleTruncate: async (handle: number, size: number) => {
        const bytes = this.#handles.get(handle)!;
        bytes.length = Math.min(size, bytes.length);
      },
      changeLayout: async (handle: number, change: LayoutChange) => {
        this.#handles.delete(handle);
        if (this.broken) throw errnoError(16);
        this.changes.push(change);
      },
      close: async (handle: number) => {
        if (!this.#handles.delete(handle)) throw errnoError(9);
      },
    };
    return engine as Engine;
  }

  get open(): number {
    return this.#handles.size;
  }

  #open(bytes: (number | null)[]): number {
    this.#handles.set(this.#next, bytes);
    return this.#next++;
  }
}

/** Two mirrors of two components each, cut at `cut`; which of the second mirror are stale. */
function components(cut: number, stale: readonly boolean[]): ComponentDescription[] {
  return [1, 2].flatMap((mirrorId) =>
    [0, 1].map((i) => ({
      ...STRIPING,
      id: (mirrorId << 16) | (i + 1),
      mirrorId,
      flags: mirrorId === 2 && stale[i] === true ? ['init', 'stale'] : ['init'],
      start: i === 0 ? 0 : cut,
      end: i === 0 ? cut : Number.POSITIVE_INFINITY,
      extensionSize: undefined,
    })),
  );
}

const mirroring = (file: MirroredFile): Mirroring => {
  const { engine } = file;
  return new Mirroring(
    engine,
    new Operations(engine, { now: () => 0, after: () => ({ cancel: () => undefined }) }),
  );
};
const byte = fc.option(fc.integer({ min: 1, max: 255 }), { freq: 2 });
const bytes = fc.array(byte, { maxLength: SIZE });

describe('mirrors', () => {
  it('are the same where they were stale, holes and ends too, and untouched elsewhere', () =>
    fc.assert(
      fc.asyncProperty(
        bytes,
        bytes,
        fc.integer({ min: 1, max: SIZE - 1 }),
        fc.boolean(),
        fc.boolean(),
        async (good, old, cut, first, second) => {
          const file = new MirroredFile(
            [good.slice(), old.slice()],
            components(cut, [first, second]),
            good.length,
          );
          const ids = await mirroring(file).resyncMirrors('/f');
          expect(ids).toEqual([...(first ? [0x20001] : []), ...(second ? [0x20002] : [])]);
          expect(file.changes).toEqual(ids.length === 0 ? [] : [{ kind: 'resynced', components: ids }]);
          expect(file.open).toBe(0);
          for (let i = 0; i < SIZE; i++) {
            const stale = i < cut ? first : second;
            const gone = i >= good.length && (second || (first && cut > good.length));
            const wanted = stale || gone ? good[i] : old[i];
            expect(file.mirrors[1]![i] ?? 0, `byte ${i}`).toBe(wanted ?? 0);
          }
        },
      ),
      { numRuns: 200 },
    ));

  it('that differ are found, and the stale ones named', () =>
    fc.assert(
      fc.asyncProperty(bytes, bytes, fc.integer({ min: 1, max: SIZE - 1 }), async (one, two, cut) => {
        const file = new MirroredFile([one, two], components(cut, [false, true]), one.length);
        const { differences, stale, mirrors } = await mirroring(file).verifyMirrors('/f');
        expect([mirrors, stale]).toEqual([[1, 2], [2]]);
        const end = Math.min(cut, one.length);
        const differ = one.slice(0, end).some((value, i) => (value ?? 0) !== (two[i] ?? 0));
        expect(differences).toEqual(differ ? [{ start: 0, end, mirrors: [1, 2] }] : []);
        expect([file.open, file.changes]).toEqual([0, []]);
      }),
      { numRuns: 100 },
    ));

  it('stay stale when the lease is broken', async () => {
    const file = new MirroredFile([[1], [2]], components(8, [true, false]), 1);
    file.broken = true;
    await expect(mirroring(file).resyncMirrors('/f')).rejects.toMatchObject({ code: 'EBUSY' });
    expect([file.open, file.changes]).toEqual([0, []]);
  });
});
