/** The codecs under bytes of any kind: a value or WireError, nothing else. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { decodeBuffers } from '../../lib/wire/format.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { WireError } from '../../lib/wire/struct.ts';
import { decodeText, encodeText } from '../../lib/wire/text.ts';
import { allFormats, allStructs } from '../wire/reference.ts';
import { fuzzParameters, fuzzTimeout } from './budget.ts';
import { damaged, ownMessages, realUnits } from './corpus.ts';

let messages: Uint8Array[] = [...ownMessages];

function onlyWireErrors<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return undefined;
  }
}

describe('codecs', () => {
  beforeAll(async () => {
    const units = await realUnits();
    messages.push(
      ...units.filter((u) => u.rpc !== undefined).map((u) => u.bytes.subarray(-u.rpc!.message.size)),
    );
    messages = messages.map((bytes) => bytes.slice());
  });

  it('messages and formats', { timeout: fuzzTimeout }, () => {
    const sides = allFormats.flatMap(([, format]) => [format.request, format.reply]);
    const property = fc.property(damaged(messages), fc.nat(sides.length - 1), (bytes, side) => {
      const message = onlyWireErrors(() => decodeMessage(bytes));
      if (message === undefined) return;
      expect(message.size).toBeLessThanOrEqual(bytes.length);
      onlyWireErrors(() => decodeBuffers(sides[side]!, message));
    });
    fc.assert(property, fuzzParameters());
  });

  it('structs', { timeout: fuzzTimeout }, () => {
    const property = fc.property(
      fc.nat(allStructs.length - 1),
      fc.uint8Array({ maxLength: 600 }),
      fc.integer({ min: -8, max: 600 }),
      fc.boolean(),
      (i, bytes, offset, little) => {
        const type = allStructs[i]![1];
        const value = onlyWireErrors(() => type.decode(bytes, offset, little));
        if (value !== undefined) expect(type.decode(type.encode(value, little), 0, little)).toEqual(value);
      },
    );
    fc.assert(property, fuzzParameters());
  });

  it('text', { timeout: fuzzTimeout }, () => {
    const property = fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(Buffer.compare(encodeText(decodeText(bytes)), bytes)).toBe(0);
    });
    fc.assert(property, fuzzParameters());
  });
});
