/**
 * Servers are not trusted: their recorded replies and bulk arrive damaged here, bytes flipped, words made absurd, messages
 * cut. Each call ends with its result or a named error; nothing crashes, hangs or is left over.
 */
import { describe, expect, it } from 'vitest';
import { SeededRandom } from '../../lib/sim/random.ts';
import { capture } from '../cli/captures.ts';
import { RecordingEnds, type Replay, replay } from './replay.ts';
import { mountAndSpace } from './scripts/01-mount.ts';
import { namespace } from './scripts/02-namespace.ts';
import { stripeIo } from './scripts/03-stripe-io.ts';
import { checksummed } from './scripts/03b-checksums.ts';
import { layouts } from './scripts/04-layouts.ts';
import { attributes } from './scripts/05-attributes.ts';
import { directoriesOnManyMdts } from './scripts/07-dne.ts';

const ABSURD = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x100];

/** One of several damages that a hostile or broken server could do. */
function damage(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  if (bytes.length < 8) return bytes;
  const out = bytes.slice();
  const at = random.below(out.length - 4);
  const view = new DataView(out.buffer);
  switch (random.below(4)) {
    case 0:
      out[at] = out[at]! ^ (1 << random.below(8));
      return out;
    case 1:
      view.setUint32(at & ~3, ABSURD[random.below(ABSURD.length)]!, true);
      return out;
    case 2:
      return out.subarray(0, at + 1);
    default:
      view.setBigUint64(Math.min(at & ~7, out.length - 8), 0xffff_ffff_ffff_ffffn, true);
      return out;
  }
}

const scripts: readonly (readonly [string, number, (replay: Replay) => Promise<void>])[] = [
  ['01-mount-df-umount', 12, mountAndSpace],
  ['02-namespace', 4, namespace],
  ['03-stripe-io', 3, stripeIo],
  ['04-layouts', 3, layouts],
  ['05-attrs', 4, attributes],
  ['03b-checksums', 2, checksummed('crc32c')],
  ['07-dne', 4, directoriesOnManyMdts],
];

describe('damaged replies', () => {
  for (const [name, runs, script] of scripts) {
    it.skipIf(capture(name) === '')(`of ${name} end in a result or a named error`, async () => {
      const odd: string[] = [];
      for (let seed = 1; seed <= runs; seed++) {
        const random = new SeededRandom(seed, 0);
        let hurt = 0;
        try {
          await replay(capture(name), script, {
            damage: (bytes) => {
              if (random.below(12) !== 0) return bytes;
              hurt++;
              return damage(bytes, random);
            },
          });
        } catch (error) {
          const { code, stack } = error as NodeJS.ErrnoException;
          const named = error instanceof RecordingEnds || (typeof code === 'string' && code !== '');
          // What a script expects and does not get is a wrong result of a damaged value, not of ours.
          const wrong = (error as Error).name === 'AssertionError';
          if (!named && !wrong) odd.push(`seed ${seed}, ${hurt} damaged: ${stack}`);
        }
      }
      expect(odd).toEqual([]);
    });
  }
});
