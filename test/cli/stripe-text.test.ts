/** What `lfs getstripe -v` printed in the notes of capture 04, from the extended attributes in its packets. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseComponents } from '../../lib/cli/stripe-options.ts';
import { directoryStripeText, fileStripeText } from '../../lib/cli/stripe-text.ts';
import { describeDefault, describeLayout } from '../../lib/layout/description.ts';
import { decodeLayout } from '../../lib/layout/layout-ea.ts';
import { encodeStriping } from '../../lib/layout/striping.ts';
import * as captured from '../layout/captured-layouts.ts';

const notes = new URL('../data/04-layouts.md', import.meta.url);

describe('lfs getstripe', () => {
  const text = readFileSync(notes, 'utf8');
  it.each([
    ['data on the MDT, new', '/mnt/lustre/dom', captured.domNew],
    ['data on the MDT, with objects behind', '/mnt/lustre/dom', captured.domFilled],
    ['components, new', '/mnt/lustre/pfl', captured.pflNew],
    ['components with all objects', '/mnt/lustre/pfl', captured.pflFilled],
    ['mirrors', '/mnt/lustre/flr', captured.mirroredInStep],
    ['several stripes on an OST', '/mnt/lustre/over', captured.overstriped],
  ])('%s', (_, path, ea) => {
    const ours = fileStripeText(path, describeLayout(decodeLayout(ea)), true);
    expect(text.includes(`\n${ours.trimEnd()}\n`), ours).toBe(true);
  });

  it('a directory', () => {
    const layout = describeDefault(encodeStriping({ stripeCount: 2, stripeSize: 262144 }));
    const ours = directoryStripeText('/mnt/lustre/dd', layout, true, '[0x200000405:0x8:0x0]');
    expect(text.includes(`\n${ours.trimEnd()}\n`), ours).toBe(true);
  });
});

describe('the options of lfs setstripe', () => {
  const hex = (ea: Uint8Array): string => Buffer.from(ea).toString('hex');
  const bytes = (line: string): string => hex(encodeStriping(parseComponents(line.split(' '))));

  it('mean what lfs sent for them (capture 04)', () => {
    const zeroIds = (ea: Buffer, parts: readonly number[]): string => {
      const copy = Buffer.from(ea);
      for (const at of parts) copy.fill(0, at + 8, at + 24);
      return copy.toString('hex');
    };
    expect(bytes('-E 64K -L mdt -E -1 -c 2 -S 1M')).toBe(zeroIds(captured.domWish, [128, 160]));
    expect(bytes('-E 256K -c 1 -S 64K -E 512K -c 2 -S 64K -E -1 -c -1 -S 128K')).toBe(
      zeroIds(captured.pflWish, [176, 208, 240]),
    );
    expect(bytes('-N -c 1 -o 0 -N -c 1 -o 1')).toBe(zeroIds(captured.mirroredWish, [128, 160]));
    expect(bytes('-C 4 -S 64K')).toBe(hex(captured.overstripedWish));
    expect(bytes('-c 2 -S 256K')).toBe('d00bd10b0100000000000000000000000000000000000000000004000200ffff');
  });

  it('stand in any of their forms', () => {
    expect(parseComponents(['--component-end=1M', '--stripe-count=2', '-Eeof', '-pflash'])).toEqual({
      components: [
        { end: 1 << 20, stripeCount: 2 },
        { end: Number.POSITIVE_INFINITY, pool: 'flash' },
      ],
    });
    expect(
      parseComponents(['-N2', '-E', '1M', '-E', '-1', '-c', '4']).components?.map((c) => c.newMirror),
    ).toEqual([undefined, undefined, true, undefined]);
    expect(parseComponents(['-o', '0,3-5'])).toEqual({ osts: [0, 3, 4, 5] });
    expect(parseComponents(['-E', '1G', '-z', '64M', '-c', '1'])).toEqual({
      components: [{ end: 1 << 30, extensionSize: 64 << 20, stripeCount: 1 }],
    });
  });

  it.each(['-E', '-c x', '-S 1000', '-E 1000', '-L jazz', '-Q 1', '-N0'])('refuses %s', (line) => {
    expect(() => bytes(line)).toThrow();
  });
});
