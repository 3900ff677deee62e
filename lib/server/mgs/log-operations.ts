/** The llog requests (guide 14 §2): the MGS opens and closes the log in each of them and keeps no state between. */
import type { Call, Operation } from '../../connection/target.ts';
import { headerStruct } from '../../llog/header.ts';
import {
  findLog,
  LLOG_NAME_SEQUENCE,
  type LogBlock,
  type LogId,
  type LogTable,
  logExists,
  nextBlock,
  previousBlock,
  readHeader,
} from '../../llog/plain-log.ts';
import { LLOG_CHUNK_SIZE } from '../../llog/record.ts';
import { Errno } from '../../runtime/errors.ts';
import { type Format, required } from '../../wire/format.ts';
import {
  RQF_LLOG_ORIGIN_HANDLE_CREATE,
  RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK,
  RQF_LLOG_ORIGIN_HANDLE_PREV_BLOCK,
  RQF_LLOG_ORIGIN_HANDLE_READ_HEADER,
} from '../../wire/formats.ts';
import { LlogContext, LlogFlag } from '../../wire/llog-constants.ts';
import type { LlogdBody } from '../../wire/llog-structs.ts';
import { Opcode } from '../../wire/opcodes.ts';

function operation<F extends Format>(
  format: F,
  handle: (call: Call<F>) => void | Promise<void>,
): Operation<F> {
  return { format, handle };
}

/** The log a request names by id, or the errno of the refusal. */
function logOf(table: LogTable, body: LlogdBody): { log: LogId } | { errno: number } {
  const refused = contextErrno(body.lgd_ctxt_idx);
  if (refused !== 0) return { errno: refused };
  const { oi_id, oi_seq } = body.lgd_logid.lgl_oi.oi;
  if (oi_seq !== LLOG_NAME_SEQUENCE || oi_id === 0n) return { errno: Errno.EINVAL };
  if (!logExists(table, oi_id)) return { errno: Errno.ENOENT };
  return { log: oi_id };
}

function contextErrno(context: number): number {
  if (context >= LlogContext.LLOG_MAX_CTXTS) return Errno.EPROTO;
  return context === LlogContext.LLOG_CONFIG_ORIG_CTXT ? 0 : Errno.ENODEV;
}

function logid(log: LogId): LlogdBody['lgd_logid'] {
  const fid = { f_seq: log, f_oid: Number(LLOG_NAME_SEQUENCE), f_ver: 0 };
  return { lgl_oi: { oi: { oi_id: log, oi_seq: LLOG_NAME_SEQUENCE }, oi_fid: fid }, lgl_ogen: 0 };
}

/** CREATE (which opens), NEXT_BLOCK, PREV_BLOCK and READ_HEADER over a table of logs. */
export function logOperations(table: LogTable): [number, Operation][] {
  const open = operation(RQF_LLOG_ORIGIN_HANDLE_CREATE, (call) => {
    const body = required(call.values, 'llogd_body');
    const refused = contextErrno(body.lgd_ctxt_idx);
    if (refused !== 0) return call.fail(refused);
    if (body.lgd_logid.lgl_oi.oi.oi_id !== 0n) {
      const found = logOf(table, body);
      return 'errno' in found
        ? call.fail(found.errno)
        : call.reply({ llogd_body: { lgd_logid: logid(found.log) } });
    }
    if (call.values.name === undefined) return call.fail(Errno.EINVAL);
    const log = findLog(table, call.values.name);
    if (log === undefined) return call.fail(Errno.ENOENT);
    call.reply({ llogd_body: { lgd_logid: logid(log) } });
  });
  const header = operation(RQF_LLOG_ORIGIN_HANDLE_READ_HEADER, (call) => {
    const body = required(call.values, 'llogd_body');
    const found = logOf(table, body);
    if ('errno' in found) return call.fail(found.errno);
    if ((body.lgd_llh_flags & LlogFlag.LLOG_F_IS_CAT) !== 0) return call.fail(Errno.EINVAL);
    call.reply({ llog_log_hdr: headerStruct(readHeader(table, found.log)) });
  });
  const next = operation(RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK, (call) => {
    const body = required(call.values, 'llogd_body');
    if (body.lgd_cur_offset > 0xffff_ffffn) return call.fail(Errno.EINVAL);
    answerBlock(call, table, (log) => nextBlock(table, log, body.lgd_index, Number(body.lgd_cur_offset)));
  });
  const previous = operation(RQF_LLOG_ORIGIN_HANDLE_PREV_BLOCK, (call) => {
    const body = required(call.values, 'llogd_body');
    answerBlock(call, table, (log) => previousBlock(table, log, body.lgd_index));
  });
  return [
    [Opcode.LLOG_ORIGIN_HANDLE_CREATE, open],
    [Opcode.LLOG_ORIGIN_HANDLE_READ_HEADER, header],
    [Opcode.LLOG_ORIGIN_HANDLE_NEXT_BLOCK, next],
    [Opcode.LLOG_ORIGIN_HANDLE_PREV_BLOCK, previous],
  ] as [number, Operation][];
}

type BlockFormat = typeof RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK | typeof RQF_LLOG_ORIGIN_HANDLE_PREV_BLOCK;

function answerBlock(
  call: Call<BlockFormat>,
  table: LogTable,
  find: (log: LogId) => LogBlock | undefined,
): void {
  const body = required(call.values, 'llogd_body');
  const found = logOf(table, body);
  if ('errno' in found) return call.fail(found.errno);
  const block = find(found.log);
  // The end of the log is an error that carries the position all the same (guide 14 §2).
  if (block === undefined)
    return call.fail(Errno.EBADR, { llogd_body: body, eadata: new Uint8Array(LLOG_CHUNK_SIZE) });
  call.reply({
    llogd_body: { ...body, lgd_saved_index: block.savedIndex, lgd_cur_offset: BigInt(block.offset) },
    eadata: block.bytes,
  });
}
