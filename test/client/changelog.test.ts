/** Changelogs: requests and records of capture 05, logs that grow, are cleared or lie. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { changelogLine } from '../../lib/cli/changelog.ts';
import {
  ChangelogReader,
  clearChangelogRequest,
  whoBody,
} from '../../lib/client/administration/changelog-reader.ts';
import type { MetadataTarget } from '../../lib/client/mdc/target.ts';
import { decodeChangelogRecord } from '../../lib/llog/changelog-record.ts';
import { headerStruct } from '../../lib/llog/header.ts';
import { appendRecords, createLog, nextBlock, readHeader } from '../../lib/llog/plain-log.ts';
import { openRequest } from '../../lib/llog/remote-log.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import { decodeBuffers, type Format } from '../../lib/wire/format.ts';
import * as formats from '../../lib/wire/formats.ts';
import { LlogRecType } from '../../lib/wire/llog-constants.ts';
import { ChangelogRec, type LlogdBody, LlogLogid } from '../../lib/wire/llog-structs.ts';
import { memoryTable } from '../llog/memory-table.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { withCluster } from './sim-cluster.ts';

const root = { uid: 0, gid: 0, groups: [], umask: 0o022 };
const [CREATE, BLOCK, HEADER] = [501, 502, 503];
type Body = Partial<LlogdBody>;

/** An MDT whose log requests `answer` answers. */
function mdtOf(answer: (opcode: number, body: Body, named: boolean) => object): MetadataTarget {
  const call = async (format: Format, request: { llogd_body?: Body; name?: string }): Promise<object> => ({
    values: answer(format.opcodes[0]!, request.llogd_body ?? {}, request.name !== undefined),
  });
  return { name: 'lab-MDT0000', caller: { call } } as object as MetadataTarget;
}

describe('a changelog of a kernel server', () => {
  it('is opened, and cleared, as a kernel client does it (05 pkt 521, 538, 556)', () => {
    const open = openRequest(12, 'changelog_catalog', whoBody(root));
    expect(encoded(formats.RQF_LLOG_ORIGIN_HANDLE_CREATE, open)).toEqual(
      buffersOf(capturedMessage('05-attrs', 521, CREATE)),
    );
    const plain = LlogLogid.decode(capturedMessage('05-attrs', 538, CREATE).buffers[1]!);
    expect(encoded(formats.RQF_LLOG_ORIGIN_HANDLE_CREATE, openRequest(12, plain))).toEqual(
      buffersOf(capturedMessage('05-attrs', 538, CREATE)),
    );
    expect(encoded(formats.RQF_MDT_SET_INFO, clearChangelogRequest(1, 3n, root))).toEqual(
      buffersOf(capturedMessage('05-attrs', 556, 46)),
    );
  });

  it('reads as lfs changelog printed it (05 pkt 561 to 586)', async () => {
    const reply = (format: Format, frame: number, opcode: number): object =>
      decodeBuffers(format.reply, capturedMessage('05-attrs', frame, opcode));
    const asked: string[] = [];
    const mdt = mdtOf((opcode, body, named) => {
      const flags = body.lgd_llh_flags ?? 0;
      const plain = body.lgd_logid?.lgl_oi?.oi?.oi_seq === 1n;
      asked.push(`${opcode} ${flags.toString(16)} ${body.lgd_index ?? 0}`);
      if (opcode === CREATE) return reply(formats.RQF_LLOG_ORIGIN_HANDLE_CREATE, named ? 561 : 577, CREATE);
      if (opcode === BLOCK) return reply(formats.RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK, plain ? 583 : 570, BLOCK);
      const header = reply(formats.RQF_LLOG_ORIGIN_HANDLE_READ_HEADER, 579, HEADER) as {
        llog_log_hdr: ReturnType<typeof headerStruct>;
      };
      if (plain) return header;
      // The catalog's own header is spread over two frames: one record.
      const llh_tail = { ...header.llog_log_hdr.llh_tail, lrt_index: 1 };
      return { llog_log_hdr: { ...header.llog_log_hdr, llh_flags: 0x33fa, llh_bitmap: [3], llh_tail } };
    });
    const records = await new ChangelogReader(mdt, root, 1n).read();
    const notes = readFileSync(new URL('../data/05-attrs.md', import.meta.url), 'utf8');
    const printed = notes.split('\n').filter((line) => /^\d+ \d\d[A-Z]/.test(line));
    expect(records.map(changelogLine)).toEqual(printed.slice(3, 24));
    // Flags go along as a kernel has them; what was cleared before record 4 is not asked for.
    expect(asked.slice(1, 3)).toEqual(['503 13ea 0', '502 33fa 1']);
    expect(asked).toContain('503 33ed 0');
    expect(asked).toContain('502 33ed 4');
  });
});

/** A changelog of our own making: a catalog and plain logs. */
function servedChangelog() {
  const catalogTable = memoryTable();
  const catalog = createLog(catalogTable, 'catalog', 0n);
  const plains = new Map<
    bigint,
    { table: ReturnType<typeof memoryTable>; log: ReturnType<typeof createLog> }
  >();
  let next = 1n;
  const addLog = (): bigint => {
    const id = BigInt(plains.size + 100);
    const table = memoryTable();
    plains.set(id, { table, log: createLog(table, 'plain', 0n) });
    const payload = new Uint8Array(40);
    payload.set(LlogLogid.encode({ lgl_oi: { oi: { oi_id: id, oi_seq: 1n } } }));
    appendRecords(catalogTable, catalog, [{ type: LlogRecType.LLOG_LOGID_MAGIC, payload }]);
    return id;
  };
  const add = (id: bigint, count: number): void => {
    const { table, log } = plains.get(id)!;
    appendRecords(
      table,
      log,
      Array.from({ length: count }, () => {
        const name = new TextEncoder().encode(`f${next}`);
        const payload = new Uint8Array(64 + name.length);
        payload.set(ChangelogRec.encode({ cr_namelen: name.length, cr_type: 1, cr_index: next++ }));
        payload.set(name, 64);
        return { type: LlogRecType.CHANGELOG_REC, payload };
      }),
    );
  };
  const mdt = mdtOf((opcode, body, named) => {
    const id = body.lgd_logid?.lgl_oi?.oi?.oi_id ?? 0n;
    if (opcode === CREATE && named)
      return { llogd_body: { lgd_logid: LlogLogid.decode(LlogLogid.encode({})) } };
    const here = id === 0n ? { table: catalogTable, log: catalog } : plains.get(id);
    if (here === undefined) throw errnoError(2);
    if (opcode === CREATE) return { llogd_body: { lgd_logid: body.lgd_logid } };
    if (opcode === HEADER) return { llog_log_hdr: headerStruct(readHeader(here.table, here.log)) };
    const block = nextBlock(here.table, here.log, body.lgd_index ?? 0, Number(body.lgd_cur_offset));
    if (block === undefined) throw errnoError(53);
    const llogd_body = { ...body, lgd_saved_index: block.savedIndex, lgd_cur_offset: BigInt(block.offset) };
    return { llogd_body, eadata: block.bytes.slice() };
  });
  return { mdt, addLog, add, drop: (id: bigint) => plains.delete(id) };
}

describe('a changelog', () => {
  it('is read over several logs, some chunks at a time, and later from where one left off', async () => {
    const server = servedChangelog();
    const reader = new ChangelogReader(server.mdt, root, 3n);
    expect(await reader.read()).toEqual([]);
    const first = server.addLog();
    server.add(first, 2000);
    const seen: bigint[] = [];
    let steps = 0;
    const drain = async (): Promise<void> => {
      for (;;) {
        const records = await reader.read();
        if (records.length === 0) return;
        steps++;
        seen.push(...records.map(({ index }) => index));
      }
    };
    await drain();
    expect(steps).toBeGreaterThan(2);
    server.add(first, 5);
    const second = server.addLog();
    server.add(second, 10);
    await drain();
    server.add(second, 1);
    await drain();
    expect(seen).toEqual(Array.from({ length: 2014 }, (_, i) => BigInt(i + 3)));
  });

  it('goes on behind logs that went away because all of their records were cleared', async () => {
    const server = servedChangelog();
    const logs = [server.addLog(), server.addLog(), server.addLog()];
    for (const log of logs) server.add(log, 3);
    server.drop(logs[0]!);
    server.drop(logs[1]!);
    const records = await new ChangelogReader(server.mdt, root, 1n).read();
    expect(records.map(({ name }) => name)).toEqual(['f7', 'f8', 'f9']);
  });

  it('has records of renames, jobs and opens', () => {
    const name = new TextEncoder().encode('new\0old');
    const fixed = ChangelogRec.encode({
      cr_namelen: name.length,
      cr_flags: 0xf001,
      cr_type: 8,
      cr_index: 7n,
      cr_time: (0x6b02b66en << 30n) | 5n,
    });
    const rename = new Uint8Array(32);
    rename[0] = 1;
    rename[8] = 2;
    rename[16] = 3;
    rename[24] = 4;
    const jobid = new Uint8Array(32);
    jobid.set(new TextEncoder().encode('mv.0'));
    const extra = new Uint8Array(8 + 4);
    extra[0] = 4;
    extra[8] = 3;
    const payload = Buffer.concat([fixed, rename, jobid, extra, name]);
    expect(changelogLine(decodeChangelogRecord(payload))).toBe(
      '7 08RENME 09:31:26.000000005 2026.11.22 0x1 t=[0x0:0x0:0x0] j=mv.0 ef=0x4 m=rw- p=[0x0:0x0:0x0] new ' +
        's=[0x1:0x2:0x0] sp=[0x3:0x4:0x0] old',
    );
    for (let length = 0; length < payload.length; length++)
      expect(() => decodeChangelogRecord(payload.subarray(0, length))).toThrow(/changelog record/);
  });

  it('is not kept by our own MDS, which says so', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const all = async (mdt: number | string): Promise<unknown[]> => {
        const records: unknown[] = [];
        for await (const record of fs.changelog({ mdt })) records.push(record);
        return records;
      };
      await expect(all('sim-MDT0000')).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
      await expect(all(7)).rejects.toMatchObject({ code: 'ENODEV' });
      await expect(fs.clearChangelog('cl1', 5)).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(fs.clearChangelog('somebody', 5)).rejects.toMatchObject({ code: 'EINVAL' });
    }));
});
