/** Reading a log of many chunks over a caller, from the start and from where one left off; and from servers that lie. */
import { describe, expect, it } from 'vitest';
import { headerStruct } from '../../lib/llog/header.ts';
import {
  appendRecords,
  cancelRecord,
  createLog,
  nextBlock,
  readHeader,
  readRecords,
} from '../../lib/llog/plain-log.ts';
import { LLOG_CHUNK_SIZE } from '../../lib/llog/record.ts';
import { readRemoteLog } from '../../lib/llog/remote-log.ts';
import type { Caller, Reply } from '../../lib/rpc/rpc.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import type { Format, ReplyValues, RequestInputs } from '../../lib/wire/format.ts';
import { LlogRecType } from '../../lib/wire/llog-constants.ts';
import type { LlogdBody } from '../../lib/wire/llog-structs.ts';
import { memoryTable } from './memory-table.ts';

type Body = Partial<LlogdBody>;

function endAt(body: Body, offset: bigint): void {
  body.lgd_cur_offset = offset;
}

/** A server's log behind the three requests; `twist` changes what NEXT_BLOCK answers. */
function served(o: {
  records: number;
  twist?: (body: Body, bytes: Uint8Array) => void;
  between?: () => void;
}) {
  const table = memoryTable();
  const log = createLog(table, 'x', 0n);
  const add = (from: number, to: number) =>
    appendRecords(
      table,
      log,
      Array.from({ length: to - from }, (_, i) => ({
        type: LlogRecType.OBD_CFG_REC,
        payload: new Uint8Array(504).fill((from + i) & 255),
      })),
    );
  add(0, o.records);
  let blocks = 0;
  const answer = (opcode: number, body: Body): object => {
    if (opcode === 501) return { llogd_body: { lgd_logid: {} } };
    if (opcode === 503) return { llog_log_hdr: headerStruct(readHeader(table, log)) };
    blocks += 1;
    const block = nextBlock(table, log, body.lgd_index ?? 0, Number(body.lgd_cur_offset));
    if (block === undefined) throw errnoError(53);
    if (blocks === 1) o.between?.();
    const reply = { ...body, lgd_saved_index: block.savedIndex, lgd_cur_offset: BigInt(block.offset) };
    const bytes = block.bytes.slice();
    o.twist?.(reply, bytes);
    return { llogd_body: reply, eadata: bytes };
  };
  const caller: Caller = {
    async call<F extends Format>(format: F, request: RequestInputs<F>): Promise<Reply<F>> {
      const body = (request as { llogd_body?: Body }).llogd_body ?? {};
      const values = answer(format.opcodes[0]!, body) as ReplyValues<F>;
      return { values, status: 0, xid: 1, transno: 0n, bulkBytes: 0 };
    },
  };
  return { caller, table, log, add, blocks: () => blocks };
}

const payloads = (records: readonly { payload: Uint8Array }[]) => records.map((r) => r.payload[0]);

describe('a remote log', () => {
  it('is read over many chunks, and later from where one left off', async () => {
    const server = served({ records: 50 });
    const all = await readRemoteLog(server.caller, { name: 'x' });
    expect(payloads(all.records)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    server.add(50, 55);
    cancelRecord(server.table, server.log, 54);
    const more = await readRemoteLog(server.caller, { name: 'x', after: all.lastIndex });
    const live = [...readRecords(server.table, server.log)].map((r) => r.index);
    expect(more.records.map((r) => r.index)).toEqual(live.filter((index) => index > all.lastIndex));
    expect(more.records.at(-1)!.payload[0]).toBe(54);
    const nothing = await readRemoteLog(server.caller, { name: 'x', after: more.lastIndex });
    expect(nothing).toMatchObject({ exists: true, records: [], lastIndex: more.lastIndex });
  });

  it('gives records that came while it was read', async () => {
    let add = (): void => undefined;
    const server = served({ records: 3, between: () => add() });
    add = () => void server.add(3, 5);
    const { records } = await readRemoteLog(server.caller, { name: 'x' });
    expect(payloads(records)).toEqual([0, 1, 2, 3, 4]);
  });

  it('is empty when it is not there', async () => {
    const caller: Caller = { call: () => Promise.reject(errnoError(2)) };
    expect(await readRemoteLog(caller, { name: 'x' })).toMatchObject({
      exists: false,
      records: [],
      lastIndex: 0,
    });
  });

  it.each([
    ['an offset behind', (body: Body) => endAt(body, 100n)],
    ['an offset beyond all bounds', (body: Body) => endAt(body, 1n << 63n)],
    ['a record of another index', (_: Body, bytes: Uint8Array) => void bytes.set([9, 0, 0, 0], 4)],
    ['a record longer than the chunk', (_: Body, bytes: Uint8Array) => void bytes.set([0, 0, 1, 0], 0)],
    ['a record of no log type', (_: Body, bytes: Uint8Array) => void bytes.set([0, 0, 0, 0x77], 8)],
  ])('that has %s is refused', async (_, twist) => {
    const { caller } = served({ records: 3, twist });
    await expect(readRemoteLog(caller, { name: 'x' })).rejects.toMatchObject({ code: 'ERR_LUSTRE_LLOG' });
  });

  it('that never grows but claims to is not read for ever', async () => {
    const server = served({
      records: 3,
      twist: (body) => endAt(body, BigInt(2 * LLOG_CHUNK_SIZE)),
    });
    const { records } = await readRemoteLog(server.caller, { name: 'x' });
    expect(records).toHaveLength(3);
    expect(server.blocks()).toBeLessThan(5);
  });
});
