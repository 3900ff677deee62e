/** Capture files of every form, damaged ones, and streams in disorder. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import {
  type CapturedFrame,
  CaptureError,
  readCapture,
  readCaptureBytes,
} from '../../lib/cli/decode/pcap.ts';
import { unitLine } from '../../lib/cli/decode/print.ts';
import { capture, captures } from './captures.ts';

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function* each(frames: readonly CapturedFrame[]): AsyncGenerator<CapturedFrame> {
  for (const frame of frames) yield await Promise.resolve(frame);
}

/** Kind, request and XID of each RPC unit, sorted: what must not depend on how the segments came. */
async function rpcsOf(frames: readonly CapturedFrame[]): Promise<{ rpcs: string[]; units: Unit[] }> {
  const units: Unit[] = [];
  const ledger = await decodeCapture(each(frames), (unit) => units.push(unit));
  expect(ledger.accounted).toBe(ledger.delivered);
  const rpcs = units
    .filter((unit) => unit.rpc !== undefined)
    .map((unit) => `${unit.kind} ${unit.rpc!.body.pb_opc} ${unit.header!.matchBits}`);
  return { rpcs: rpcs.sort(), units };
}

/** A pcap file of one frame. */
function pcapOf(options: { little?: boolean; nano?: boolean; length?: number } = {}): Uint8Array {
  const { little = true, nano = false, length = 60 } = options;
  const bytes = new Uint8Array(24 + 16 + 60);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nano ? 0xa1b23c4d : 0xa1b2c3d4, little);
  view.setUint32(20, 1, little);
  view.setUint32(24, 1000, little);
  view.setUint32(28, 5, little);
  view.setUint32(32, length, little);
  view.setUint32(36, length, little);
  return bytes;
}

/** Frames as a pcapng file: section, interface, enhanced packets. */
function pcapngOf(frames: readonly CapturedFrame[], little: boolean): Uint8Array {
  const block = (type: number, body: Uint8Array): Uint8Array => {
    const size = 12 + ((body.length + 3) & ~3);
    const out = new Uint8Array(size);
    const view = new DataView(out.buffer);
    view.setUint32(0, type, little);
    view.setUint32(4, size, little);
    out.set(body, 8);
    view.setUint32(size - 4, size, little);
    return out;
  };
  const words = (...values: number[]): Uint8Array => {
    const out = new Uint8Array(values.length * 4);
    values.forEach((value, i) => {
      new DataView(out.buffer).setUint32(4 * i, value, little);
    });
    return out;
  };
  const linkType = new Uint8Array(16);
  new DataView(linkType.buffer).setUint16(0, 1, little);
  // if_tsresol: nanoseconds.
  new DataView(linkType.buffer).setUint16(8, 9, little);
  new DataView(linkType.buffer).setUint16(10, 1, little);
  linkType[12] = 9;
  const packets = frames.map((frame) => {
    const head = words(
      0,
      Number(frame.time >> 32n),
      Number(frame.time & 0xffffffffn),
      frame.data.length,
      frame.wireLength,
    );
    return block(6, Buffer.concat([head, frame.data]));
  });
  return Buffer.concat([
    block(0x0a0d0d0a, words(0x1a2b3c4d, 1, 0xffffffff, 0xffffffff)),
    block(1, linkType),
    ...packets,
  ]);
}

describe('capture files', () => {
  it('reads both byte orders and both resolutions', async () => {
    for (const little of [true, false]) {
      for (const nano of [true, false]) {
        const [frame] = await collect(readCaptureBytes('x', pcapOf({ little, nano })));
        expect(frame).toMatchObject({
          number: 1,
          time: 1000n * 10n ** 9n + (nano ? 5n : 5000n),
          linkType: 1,
        });
        expect(frame!.data.length).toBe(60);
      }
    }
  });

  it.each([
    ['nothing', new Uint8Array(0), 0],
    ['text', Buffer.from('no capture at all'), 0],
    ['half a file header', pcapOf().subarray(0, 15), 4],
    ['half a record header', pcapOf().subarray(0, 30), 24],
    ['half a frame', pcapOf().subarray(0, 70), 24],
    ['a huge frame', pcapOf({ length: 0x7fffffff }), 24],
    ['half a pcapng block', pcapngOf([], true).subarray(0, 40), 28],
  ])('names the file and the offset: %s', async (_, bytes, offset) => {
    const error = await collect(readCaptureBytes('some.pcap', bytes)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(CaptureError);
    expect((error as CaptureError).offset).toBe(offset);
    expect((error as CaptureError).message).toMatch(/^some\.pcap, offset \d+: /);
  });
});

describe.skipIf(captures.length === 0)('streams in disorder', () => {
  let frames: CapturedFrame[] = [];
  let expected: string[] = [];

  beforeAll(async () => {
    frames = await collect(readCapture(capture('01')));
    expected = (await rpcsOf(frames)).rpcs;
    expect(expected.length).toBe(78);
  });

  it('puts segments in order', async () => {
    // Pairs of neighbours of one direction are swapped.
    const shuffled = [...frames];
    for (let i = 0; i + 3 < shuffled.length; i += 4)
      shuffled.splice(i, 4, ...shuffled.slice(i, i + 4).reverse());
    expect((await rpcsOf(shuffled)).rpcs).toEqual(expected);
  });

  it('takes retransmitted segments once', async () => {
    const twice = frames.flatMap((frame, i) =>
      i % 3 === 0 && i > 5 ? [frame, frames[i - 5]!, frame] : [frame],
    );
    const result = await rpcsOf(twice);
    expect(result.rpcs).toEqual(expected);
    expect(result.units.flatMap((unit) => unit.problems)).toEqual([]);
  });

  it('goes on after the beginning and after a hole', async () => {
    const late = await rpcsOf(frames.slice(60));
    expect(late.rpcs.length).toBeGreaterThan(50);
    const holed = frames.filter((_, i) => i !== 80 && i !== 120);
    const { rpcs, units } = await rpcsOf(holed);
    expect(rpcs.length).toBeGreaterThan(expected.length - 12);
    expect(
      units.some((unit) => unit.problems.some((problem) => problem.includes('not in the capture'))),
    ).toBe(true);
  });

  it('reads Linux cooked frames, VLANs and pcapng alike', async () => {
    const cooked = frames.map((frame) => ({
      ...frame,
      linkType: 113,
      data: Buffer.concat([new Uint8Array(14), frame.data.subarray(12)]),
    }));
    expect((await rpcsOf(cooked)).rpcs).toEqual(expected);
    const tagged = frames.map((frame) => ({
      ...frame,
      data: Buffer.concat([
        frame.data.subarray(0, 12),
        Uint8Array.of(0x81, 0, 0, 7),
        frame.data.subarray(12),
      ]),
    }));
    expect((await rpcsOf(tagged)).rpcs).toEqual(expected);
    for (const little of [true, false]) {
      const again = await collect(readCaptureBytes('x.pcapng', pcapngOf(frames, little)));
      expect(again.map((frame) => frame.time)).toEqual(frames.map((frame) => frame.time));
      expect((await rpcsOf(again)).rpcs).toEqual(expected);
    }
  });

  it('survives frames cut short and bytes changed', async () => {
    for (let round = 0; round < 20; round++) {
      const damaged = frames.map((frame, i) => {
        const data = frame.data.slice(0, (i + round) % 11 === 0 ? 50 + round * 7 : undefined);
        if ((i * 7 + round) % 5 === 0) data[(i * 31 + round * 57) % data.length]! ^= 1 << (round % 8);
        return { ...frame, data };
      });
      const { units } = await rpcsOf(damaged);
      for (const unit of units) expect(unitLine(unit).length).toBeGreaterThan(0);
    }
  });

  it('prints no control characters of names', async () => {
    const evil = frames.map((frame) => {
      const data = Buffer.from(frame.data);
      const at = data.indexOf('lab-client');
      if (at !== -1) data.write('\u001b[2J\u0007', at, 'latin1');
      return { ...frame, data };
    });
    const { units } = await rpcsOf(evil);
    const text = units.map(unitLine).join('\n');
    expect(text).toContain('\\x1b[2J\\x07');
    expect(text).not.toContain('\u001b');
  });
});

describe.skipIf(captures.length === 0)('lustre decode', () => {
  const folder = mkdtempSync(join(tmpdir(), 'decode-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const script = join(folder, 'decode.mjs');
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const module = new URL('../../lib/cli/decode.ts', import.meta.url).href;
    writeFileSync(
      script,
      `import { decodeCommand } from ${JSON.stringify(module)};
       await decodeCommand().parseAsync(process.argv.slice(2), { from: 'user' });`,
    );
    const tsx = new URL('../../node_modules/tsx/dist/cli.mjs', import.meta.url).pathname;
    return spawnSync(process.execPath, [tsx, script, ...args], {
      encoding: 'utf8',
      timeout: 25_000,
      maxBuffer: 64 << 20,
    });
  };

  it('prints a conversation, and the account of its bytes', () => {
    const { stdout, status } = run('--account', capture('01'));
    expect(status).toBe(0);
    const lines = stdout.split('\n');
    expect(lines.find((line) => line.includes('LLOG_ORIGIN_HANDLE_CREATE  "lab-client"'))).toMatch(
      /^\d\d:\d\d:\d\d\.\d{6} {2}10\.0\.2\.16@tcp → 10\.0\.2\.15@tcp {2}REQUEST {2}MGS .* xid 0x[\da-f]+ {2}512 bytes$/,
    );
    expect(stdout).toMatch(/payload bytes +71888\n/);
    expect(stdout).toMatch(/accounted for +71888\n/);
  });

  it('prints objects, one a line, with every field', () => {
    const { stdout } = run('--json', '-v', '--account', capture('01'));
    const objects = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const connect = objects.find((o) => o.operation === 'MDS_CONNECT' && o.kind === 'request')!;
    expect(connect).toMatchObject({ target: 'lab-MDT0000', opcode: 38, source: '10.0.2.16@tcp', bytes: 616 });
    expect(objects.at(-1)).toMatchObject({
      account: { delivered: 71888, units: { request: 39, reply: 39 } },
    });
    expect((connect.parts as { name: string }[]).map((part) => part.name)).toContain('payload.connect_data');
  });

  it('fails with the file and the offset', () => {
    const file = join(folder, 'cut.pcap');
    writeFileSync(file, pcapOf().subarray(0, 70));
    const { status, stderr } = run(file);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`${file}, offset 24`);
  });
});
