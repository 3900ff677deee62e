/**
 * Configuration records (guide 14 §4, guide 05 §5): a `lustre_cfg` is a command with up to seven buffers, buffer 0 the
 * device it is for. Used by the MGS to write them and by clients to read them.
 */

import type { LlogRecord } from '../llog/record.ts';
import { ProtocolError } from '../runtime/errors.ts';
import { ConfigOther } from '../wire/connection-constants.ts';
import { CfgMarker, LustreCfg } from '../wire/connection-structs.ts';
import { LlogRecType } from '../wire/llog-constants.ts';

/** A command as it stands in a log. */
export interface ConfigRecord {
  /** ConfigCommand. */
  readonly command: number;
  readonly number: number;
  /** A 64-bit NID, with ADD_UUID. */
  readonly nid: bigint;
  readonly buffers: readonly Uint8Array[];
}

const BUFFERS_MAX = ConfigOther.LUSTRE_CFG_MAX_BUFCOUNT;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const roundUp8 = (n: number): number => (n + 7) & ~7;

/** The payload of an OBD_CFG_REC. Text becomes NUL-terminated; undefined and '' are empty buffers. */
export function encodeConfigRecord(
  command: number,
  buffers: readonly (string | Uint8Array | undefined)[],
  extra: { nid?: bigint; number?: number } = {},
): Uint8Array {
  const parts = buffers.map((buffer) =>
    typeof buffer === 'string'
      ? buffer === ''
        ? new Uint8Array(0)
        : encoder.encode(`${buffer}\0`)
      : (buffer ?? new Uint8Array(0)),
  );
  const head = roundUp8(LustreCfg.size + 4 * parts.length);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + roundUp8(part.length), head));
  LustreCfg.encodeInto(bytes, 0, {
    lcfg_version: ConfigOther.LUSTRE_CFG_VERSION,
    lcfg_command: command,
    lcfg_num: extra.number,
    lcfg_nid: extra.nid,
    lcfg_bufcount: parts.length,
  });
  const view = new DataView(bytes.buffer);
  let at = head;
  parts.forEach((part, i) => {
    view.setUint32(LustreCfg.size + 4 * i, part.length, true);
    bytes.set(part, at);
    at += roundUp8(part.length);
  });
  return bytes;
}

/** Takes a log record's payload apart. Throws ERR_LUSTRE_CONFIG for a malformed one. */
export function decodeConfigRecord(record: LlogRecord): ConfigRecord {
  const bad = (what: string): ProtocolError =>
    new ProtocolError('ERR_LUSTRE_CONFIG', `Configuration record ${record.index} ${what}`);
  if (record.type !== LlogRecType.OBD_CFG_REC) throw bad(`has type 0x${record.type.toString(16)}`);
  const payload = record.payload;
  if (payload.length < LustreCfg.size) throw bad('is cut off');
  const header = LustreCfg.decode(payload);
  if (header.lcfg_version !== ConfigOther.LUSTRE_CFG_VERSION)
    throw bad(`has version 0x${header.lcfg_version.toString(16)}`);
  const count = header.lcfg_bufcount;
  let at = roundUp8(LustreCfg.size + 4 * count);
  if (count > BUFFERS_MAX || at > payload.length) throw bad(`claims ${count} buffers`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const buffers: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(LustreCfg.size + 4 * i, true);
    if (length > payload.length - at) throw bad(`claims ${length} bytes in buffer ${i}`);
    buffers.push(payload.subarray(at, at + length));
    at = Math.min(at + roundUp8(length), payload.length);
  }
  return { command: header.lcfg_command, number: header.lcfg_num, nid: header.lcfg_nid, buffers };
}

/** Buffer `i` as text, '' when it is absent. */
export function configText(record: ConfigRecord, i: number): string {
  const bytes = record.buffers[i];
  if (bytes === undefined) return '';
  const nul = bytes.indexOf(0);
  return decoder.decode(nul === -1 ? bytes : bytes.subarray(0, nul));
}

/** The marker in a LCFG_MARKER record. Throws ERR_LUSTRE_CONFIG when it is not there. */
export function configMarker(record: ConfigRecord): CfgMarker {
  const bytes = record.buffers[1];
  if (bytes === undefined || bytes.length < CfgMarker.size)
    throw new ProtocolError('ERR_LUSTRE_CONFIG', 'A configuration marker is cut off');
  return CfgMarker.decode(bytes);
}
