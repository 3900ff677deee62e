/** The decoder of captures under damage: an account that balances, or CaptureError; never anything else. */
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { dissectContent } from '../../lib/cli/decode/buffer-content.ts';
import { dissectBulk } from '../../lib/cli/decode/bulk-content.ts';
import { Conversation } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import { Dissection } from '../../lib/cli/decode/dissection.ts';
import { dissectKib } from '../../lib/cli/decode/kib-messages.ts';
import { dissectAcl, dissectLayout } from '../../lib/cli/decode/layout-content.ts';
import { dissectConfigCommand, dissectLogBlock } from '../../lib/cli/decode/llog-content.ts';
import { type CapturedFrame, CaptureError, readCaptureBytes } from '../../lib/cli/decode/pcap.ts';
import { fieldLines, unitLine, unitObject } from '../../lib/cli/decode/print.ts';
import { reencode } from '../../lib/cli/decode/reencode.ts';
import { SocklndStream } from '../../lib/cli/decode/socklnd-stream.ts';
import { fuzzParameters, fuzzTimeout } from './budget.ts';
import { damaged, ownMessages, realFrames, realUnits, spoil } from './corpus.ts';

/** Originals by what they are: the bytes of the parts below a name of the path, and those of whole units. */
const originals = {
  layout: [] as Uint8Array[],
  log: [] as Uint8Array[],
  config: [] as Uint8Array[],
  pages: [] as Uint8Array[],
  kib: [] as Uint8Array[],
  units: [...ownMessages] as Uint8Array[],
};
let frames: CapturedFrame[] = [];
let roceFrames: CapturedFrame[] = [];

function run(bytes: Uint8Array, dissect: (d: Dissection) => unknown): void {
  const d = new Dissection(bytes);
  d.within('all', bytes.length, (inner) => {
    dissect(inner);
  });
  const total = d.parts.reduce((sum, part) => sum + part.bytes.length, 0);
  expect(total).toBe(bytes.length);
  const again = reencode(bytes, d.parts);
  expect(again.unexplained).toEqual([]);
  expect(Buffer.compare(again.bytes, bytes)).toBe(0);
}

async function* each(items: readonly CapturedFrame[]): AsyncGenerator<CapturedFrame> {
  for (const item of items) yield await Promise.resolve(item);
}

/** Decodes and prints; the account must balance. */
async function decodeAll(items: AsyncIterable<CapturedFrame>): Promise<void> {
  const ledger = await decodeCapture(items, (unit) => {
    unitLine(unit);
    JSON.stringify(unitObject(unit, true));
    for (const line of fieldLines(unit)) expect(line).not.toBe('');
    expect(reencode(unit.bytes, unit.parts).unexplained).toEqual([]);
  });
  expect(ledger.accounted).toBe(ledger.delivered);
}

describe('decode', () => {
  beforeAll(async () => {
    const collect = (
      list: Uint8Array[],
      parts: readonly { path: readonly string[]; bytes: Uint8Array }[],
      name: string,
    ) => {
      const inside = parts.filter((part) => part.path.includes(name)).map((part) => part.bytes);
      if (inside.length > 0 && list.length < 40) list.push(Buffer.concat(inside));
    };
    for (const unit of await realUnits()) {
      originals.units.push(unit.bytes);
      for (const name of ['mdt_md', 'default_mdt_md', 'acl']) collect(originals.layout, unit.parts, name);
      if (unit.rpc?.body.pb_opc === 502) collect(originals.log, unit.parts, 'eadata');
      collect(originals.config, unit.parts, 'lustre_cfg');
      collect(originals.pages, unit.parts, 'page[0]');
      collect(originals.kib, unit.parts, 'kib');
    }
    frames = await realFrames('05', 400);
    roceFrames = await realFrames('09', 320);
  });

  it.each([
    ['layouts', 'layout', (d: Dissection) => dissectLayout(d, false)],
    ['layouts of requests', 'layout', (d: Dissection) => dissectLayout(d, true)],
    ['ACLs', 'layout', dissectAcl],
    ['log blocks', 'log', dissectLogBlock],
    ['configuration commands', 'config', dissectConfigCommand],
    ['directory pages', 'pages', (d: Dissection) => dissectBulk(d, 37)],
    ['NID tables', 'pages', (d: Dissection) => dissectBulk(d, 256)],
    ['batches', 'units', (d: Dissection) => dissectBulk(d, 63)],
    ['o2iblnd messages', 'kib', dissectKib],
  ] as const)('%s', { timeout: fuzzTimeout }, (_, corpus, dissect) => {
    const property = fc.property(damaged(originals[corpus]), (bytes) => run(bytes, dissect));
    fc.assert(property, fuzzParameters());
  });

  it('buffers of any field', { timeout: fuzzTimeout }, () => {
    const keys = [
      'mdt_md',
      'eadata',
      'acl',
      'dlm_lvb',
      'logcookies',
      'niobuf_inline',
      'fid_array',
      'generic_data',
    ];
    const infos = ['fiemap_val', 'getinfo_key', 'getinfo_val', 'setinfo_key', 'setinfo_val', 'eavals'];
    const context = fc.record({
      opcode: fc.constantFrom(7, 33, 36, 46, 49, 53, 101, 502, 901),
      detail: fc.constantFrom('', 'intent getxattr', 'intent quota_dqacq', 'key fid2path'),
      key: fc.constantFrom('', 'fid2path'),
      side: fc.constantFrom('request' as const, 'reply' as const),
    });
    const property = fc.property(
      damaged([...originals.layout, ...originals.log]),
      fc.constantFrom(...keys, ...infos),
      context,
      (bytes, key, about) => run(bytes, (d) => dissectContent(d, key, about)),
    );
    fc.assert(property, fuzzParameters());
  });

  it('socklnd streams, in pieces of any size', { timeout: fuzzTimeout }, () => {
    const property = fc.property(
      fc.array(damaged(originals.units), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }),
      fc.boolean(),
      (pieces, sizes, known) => {
        const conversation = new Conversation();
        const bytes = Buffer.concat(pieces);
        let given = 0;
        const stream = new SocklndStream(known, (unit) => {
          given += unit.bytes.length;
          conversation.socklnd(unit, 'a', 'b');
        });
        stream.start(true);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length]!;
          stream.bytes(bytes.subarray(at, at + size), 0n, 1);
          at += size;
        }
        stream.end();
        expect(given + stream.foreign).toBe(bytes.length);
      },
    );
    fc.assert(property, fuzzParameters());
  });

  it('capture files', { timeout: fuzzTimeout }, async () => {
    const header = Buffer.from(
      'd4c3b2a1020004000000000000000000000004000100000001000000000000003c0000003c000000',
      'hex',
    );
    const ng = Buffer.from(
      '0a0d0d0a1c0000004d3c2b1a01000000ffffffffffffffff1c00000001000000140000000100000000000400140000000600000020000000',
      'hex',
    );
    const whole = frames
      .slice(0, 40)
      .flatMap((frame) => [header.subarray(24, 32), lengthOf(frame), frame.data]);
    const files = [
      Buffer.concat([header.subarray(0, 24), ...whole]),
      Buffer.concat([ng, new Uint8Array(64)]),
    ];
    const property = fc.asyncProperty(damaged(files), async (bytes) => {
      try {
        await decodeAll(readCaptureBytes('fuzz', bytes));
      } catch (error) {
        if (!(error instanceof CaptureError)) throw error;
      }
    });
    await fc.assert(property, fuzzParameters());
  });

  it.each(['tcp', 'roce'] as const)('frames: %s', { timeout: fuzzTimeout }, async (which) => {
    const all = which === 'tcp' ? frames : roceFrames;
    const edits = fc.array(
      fc.tuple(
        fc.nat(Math.max(0, all.length - 1)),
        fc.nat(),
        fc.constantFrom('bit', 'word', 'cut', 'repeat'),
        fc.nat(0xffffffff),
      ),
      { maxLength: 40 },
    );
    const order = fc.array(
      fc.tuple(fc.nat(Math.max(0, all.length - 1)), fc.nat(Math.max(0, all.length - 1))),
      { maxLength: 30 },
    );
    const property = fc.asyncProperty(edits, order, async (list, swaps) => {
      const mine = [...all];
      for (const [i, at, kind, value] of list) {
        const frame = mine[i];
        if (frame !== undefined) mine[i] = { ...frame, data: spoil(frame.data, [{ at, kind, value }]) };
      }
      for (const [a, b] of swaps) if (mine[a] && mine[b]) [mine[a], mine[b]] = [mine[b], mine[a]];
      await decodeAll(each(mine));
    });
    await fc.assert(property, fuzzParameters());
  });
});

function lengthOf(frame: CapturedFrame): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, frame.data.length, true);
  new DataView(bytes.buffer).setUint32(4, frame.data.length, true);
  return bytes;
}
