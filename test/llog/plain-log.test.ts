import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigInterpreter } from '../../lib/config/client-config.ts';
import { configMarker, decodeConfigRecord } from '../../lib/config/config-record.ts';
import { decodeHeader, encodeHeader, isLive } from '../../lib/llog/header.ts';
import {
  appendRecords,
  cancelRecord,
  createLog,
  findLog,
  nextBlock,
  readHeader,
  readRecords,
  replaceRecord,
} from '../../lib/llog/plain-log.ts';
import { isPad, LLOG_CHUNK_SIZE, recordsOf } from '../../lib/llog/record.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { LlogRecType } from '../../lib/wire/llog-constants.ts';
import { LlogdBody } from '../../lib/wire/llog-structs.ts';
import { capturedReplies } from './captured-log.ts';
import { memoryTable } from './memory-table.ts';

const { OBD_CFG_REC } = LlogRecType;

describe('the configuration log of a kernel MGS', () => {
  it('is read, and written again it is the same bytes', () => {
    const header = decodeHeader(capturedReplies(503)[0]![0]!);
    expect(header).toMatchObject({
      count: 36,
      smallestRecord: 80,
      flags: 4,
      owner: 'config_uuid',
      lastIndex: 35,
    });
    expect(encodeHeader(header)).toEqual(new Uint8Array(capturedReplies(503)[0]![0]!));

    const [body, chunk] = capturedReplies(502)[0]!;
    expect(LlogdBody.decode(body!)).toMatchObject({ lgd_saved_index: 35, lgd_cur_offset: 13864n });
    const records = [...recordsOf(chunk!)];
    expect(records).toHaveLength(35);

    const table = memoryTable();
    const log = createLog(table, 'lab-client', header.createdAt);
    expect(log).toBe(3n);
    appendRecords(
      table,
      log,
      records.map(({ type, payload }) => ({ type, payload })),
    );
    expect(encodeHeader(readHeader(table, log))).toEqual(encodeHeader(header));
    const block = nextBlock(table, log, 1, LLOG_CHUNK_SIZE)!;
    expect(block.bytes).toEqual(new Uint8Array(chunk!));
    expect(block).toMatchObject({ savedIndex: 35, offset: 13864 });
    expect(nextBlock(table, log, 35, LLOG_CHUNK_SIZE)).toEqual(block);
    expect(nextBlock(table, log, 36, LLOG_CHUNK_SIZE)).toBeUndefined();
  });

  it('describes the file system that the client then mounted', () => {
    const records = [...recordsOf(capturedReplies(502)[0]![1]!)];
    const interpreter = new ConfigInterpreter('lab-client', nodeRuntime().log);
    interpreter.run(records);
    const target = (name: string, index: number) => ({
      name,
      index,
      uuid: `${name}_UUID`,
      nids: [['10.0.2.15@tcp']],
      active: true,
    });
    expect(interpreter.config('lab')).toMatchObject({
      profile: 'lab-client',
      mdts: [target('lab-MDT0000', 0), target('lab-MDT0001', 1)],
      osts: [target('lab-OST0000', 0), target('lab-OST0001', 1)],
      lovDesc: {
        ld_default_stripe_size: 4194304n,
        ld_default_stripe_count: 1,
        ld_default_stripe_offset: -1n,
      },
    });
    const steps = records.map(decodeConfigRecord).filter((r) => r.command === 0xcf010);
    expect(steps.every((r) => configMarker(r).cm_vers === 0x02110000)).toBe(true);
  });
});

describe('a plain log', () => {
  it('pads chunks, keeps indices consecutive and finds each record by NEXT_BLOCK', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 8, max: 3000 }), { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        (sizes, step) => {
          const table = memoryTable();
          const log = createLog(table, 'x', 0n);
          for (let i = 0; i < sizes.length; i += step) {
            const part = sizes.slice(i, i + step);
            appendRecords(
              table,
              log,
              part.map((size, j) => ({
                type: OBD_CFG_REC,
                payload: new Uint8Array(size).fill((i + j) & 0xff),
              })),
            );
          }
          const header = readHeader(table, log);
          const seen: number[] = [];
          let offset = LLOG_CHUNK_SIZE;
          let last = 0;
          while (last < header.lastIndex) {
            const block = nextBlock(table, log, last + 1, offset)!;
            for (const record of recordsOf(block.bytes)) {
              expect(record.index).toBe(last + 1);
              last = record.index;
              expect(isLive(header, record.index)).toBe(!isPad(record));
              if (!isPad(record)) seen.push(record.payload[0]!);
            }
            expect(block.savedIndex).toBe(last);
            offset = block.offset;
          }
          expect(seen).toEqual(sizes.map((_, i) => i & 0xff));
          expect(header.count).toBe(sizes.length + 1);
          expect([...readRecords(table, log)].map((r) => r.payload[0])).toEqual(seen);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('cancels and replaces records in place', () => {
    const table = memoryTable();
    const log = createLog(table, 'x', 0n);
    appendRecords(
      table,
      log,
      [1, 2, 3].map((n) => ({ type: OBD_CFG_REC, payload: new Uint8Array(16).fill(n) })),
    );
    expect(cancelRecord(table, log, 2)).toBe(true);
    expect(cancelRecord(table, log, 2)).toBe(false);
    expect(cancelRecord(table, log, 9)).toBe(false);
    replaceRecord(table, log, 3, new Uint8Array(16).fill(7));
    expect([...readRecords(table, log)].map((r) => [r.index, r.payload[0]])).toEqual([
      [1, 1],
      [3, 7],
    ]);
    expect(readHeader(table, log).count).toBe(3);
    expect(() => replaceRecord(table, log, 3, new Uint8Array(8))).toThrow(/16 bytes/);
    expect(() => createLog(table, 'x', 0n)).toThrow(/EEXIST/);
    expect(findLog(table, 'y')).toBeUndefined();
  });

  it('refuses bytes that are no records', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 24, maxLength: 256 }), (bytes) => {
        try {
          for (const record of recordsOf(bytes)) expect(record.payload.length % 8).toBe(0);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_LUSTRE_LLOG' });
        }
      }),
    );
    expect(() => decodeHeader(new Uint8Array(8192))).toThrow(/header/);
  });
});
