/** What a unit is about, in the terms of people: opcode, intent, FID and name, status, transaction, how long it took. */
import type { PtlrpcBody } from '../../wire/format.ts';
import { LockMode, LockType } from '../../wire/ldlm-constants.ts';
import type { LdlmLockDesc } from '../../wire/ldlm-structs.ts';
import { Portal } from '../../wire/opcodes.ts';
import { MsgType } from '../../wire/ptlrpc-constants.ts';
import type { StructValue } from '../../wire/struct.ts';
import type { Unit } from './conversation.ts';
import { requestName } from './rpc-tracker.ts';
import { fidText, isFid, isZeroFid } from './values.ts';

export interface Summary {
  readonly target: string;
  readonly service: string;
  /** `LDLM_ENQUEUE open|creat`; empty where the unit belongs to no RPC. */
  readonly operation: string;
  readonly fids: readonly string[];
  readonly names: readonly string[];
  /** Lock mode and range, ranges of file data; empty where there are none. */
  readonly detail: string;
  readonly xid: bigint | undefined;
  readonly transno: bigint | undefined;
  readonly status: number | undefined;
  /** Bytes on the wire, and of them payload. */
  readonly size: number;
  readonly payload: number;
  /** Microseconds since the request. */
  readonly after: number | undefined;
}

type Values = { readonly [key: string]: unknown };

const portalNames = new Map(
  Object.entries(Portal).map(([name, value]) => [
    value as number,
    name.replace(/_PORTAL$/, '').toLowerCase(),
  ]),
);

export function summarize(unit: Unit): Summary {
  const { rpc, request, header } = unit;
  const body = rpc?.body;
  const opcode = request?.opcode ?? body?.pb_opc;
  const answers = unit.kind !== 'request' && request !== undefined;
  return {
    target: request?.target ?? '',
    service: header === undefined || header.portal === 0 ? '' : portalName(header.portal),
    operation: opcode === undefined ? '' : requestName(opcode, rpc?.variant ?? request?.variant),
    fids: rpc === undefined ? [] : fidsOf(rpc.values),
    names: rpc === undefined ? [] : namesOf(rpc.values),
    detail:
      rpc === undefined
        ? ''
        : [lockText(rpc.values), rangesText(rpc.values)].filter((t) => t !== '').join(' '),
    xid: request?.xid ?? (rpc === undefined ? undefined : header?.matchBits),
    transno: body === undefined || body.pb_transno === 0n ? undefined : body.pb_transno,
    status: body === undefined || rpc?.side === 'request' ? undefined : statusOf(body),
    size: unit.bytes.length,
    payload: header?.payloadLength ?? 0,
    after: answers ? Number((unit.time - request.time) / 1000n) : undefined,
  };
}

function statusOf(body: PtlrpcBody): number {
  return body.pb_type === MsgType.PTL_RPC_MSG_ERR && body.pb_status === 0 ? -22 : body.pb_status;
}

export function portalName(portal: number): string {
  return portalNames.get(portal) ?? `portal ${portal}`;
}

/** Names of the reint structs' FID fields differ by their prefix only. */
const fidFields = /^(mbo_fid[12]|[a-z]{2}_fid[12]?|f_oid)$/;

function fidsOf(values: Values): string[] {
  const found: string[] = [];
  const add = (value: unknown): void => {
    if (isFid(value) && !isZeroFid(value) && !found.includes(fidText(value))) found.push(fidText(value));
  };
  for (const key of ['mdt_body', 'rec_reint', 'fid'] as const) {
    const value = values[key];
    if (isFid(value)) add(value);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) if (fidFields.test(name)) add(inner);
    }
  }
  for (const id of objectIds(values)) found.push(id);
  return found;
}

interface ObjectId {
  oi: { oi_id: bigint; oi_seq: bigint };
  oi_fid: { f_seq: bigint; f_oid: number; f_ver: number };
}

/** Objects of an OST: a FID where the first word is a sequence, otherwise an id and its group (guide 07 §6). */
function objectIds({ ost_body, obd_ioobj, dlm_req, mdt_body, rec_reint }: Values): string[] {
  const ids: string[] = [];
  const add = ({ oi, oi_fid }: ObjectId): void => {
    const isId = oi_fid.f_seq < 0x1_0000_0000n;
    const text = isId ? `0x${oi.oi_seq.toString(16)}:${oi.oi_id}` : fidText(oi_fid);
    if ((oi.oi_id !== 0n || oi.oi_seq !== 0n) && !ids.includes(text)) ids.push(text);
  };
  if (ost_body !== undefined) add((ost_body as { oa: { o_oi: ObjectId } }).oa.o_oi);
  for (const object of (obd_ioobj ?? []) as { ioo_oid: ObjectId }[]) add(object.ioo_oid);
  if (dlm_req !== undefined && mdt_body === undefined && rec_reint === undefined)
    ids.push(resourceText(dlm_req));
  return ids;
}

type LockDesc = Pick<StructValue<typeof LdlmLockDesc>, 'l_resource' | 'l_req_mode' | 'l_policy_data'>;

function lockOf(values: Values): LockDesc | undefined {
  const request = values.dlm_req as { lock_desc: LockDesc } | undefined;
  return request?.lock_desc.l_resource.lr_type === 0 ? undefined : request?.lock_desc;
}

/** The FID of a lock's resource; of a configuration lock its log: the name is the first word's bytes (guide 05 §4). */
function resourceText(request: unknown): string {
  const { l_resource } = (request as { lock_desc: LockDesc }).lock_desc;
  const [seq = 0n, oid = 0n, third = 0n] = l_resource.lr_name.name;
  if (seq === 0n && oid === 0n) return '';
  const letters = Buffer.alloc(8);
  letters.writeBigUInt64LE(seq);
  const name = /^([\w-]{2,8})\0*$/.exec(letters.toString('latin1'))?.[1];
  if (l_resource.lr_type === LockType.LDLM_PLAIN && third === 0n && name !== undefined)
    return `config ${name} ${oid}`;
  return `[0x${seq.toString(16)}:0x${(oid & 0xffffffffn).toString(16)}:0x${(oid >> 32n).toString(16)}]`;
}

const modeNames = new Map(
  Object.entries(LockMode).map(([name, value]) => [value as number, name.replace(/^LCK_/, '')]),
);

function lockText(values: Values): string {
  const lock = lockOf(values);
  if (lock === undefined) return '';
  const mode = modeNames.get(lock.l_req_mode) ?? `mode ${lock.l_req_mode}`;
  const { l_extent, l_inodebits, l_flock } = lock.l_policy_data;
  const { lr_type: type } = lock.l_resource;
  if (type === LockType.LDLM_EXTENT) return `${mode} ${l_extent.start}-${endText(l_extent.end)}`;
  if (type === LockType.LDLM_IBITS) return `${mode} bits 0x${l_inodebits.bits.toString(16)}`;
  if (type === LockType.LDLM_FLOCK) return `${mode} flock ${l_flock.lfw_start}-${endText(l_flock.lfw_end)}`;
  return mode;
}

const endText = (end: bigint): string => (end >= 0x7fff_ffff_ffff_ffffn ? 'end' : String(end));

function rangesText({ niobuf_remote }: Values): string {
  const ranges = (niobuf_remote ?? []) as { rnb_offset: bigint; rnb_len: number }[];
  const shown = ranges.slice(0, 4).map((range) => `${range.rnb_offset}+${range.rnb_len}`);
  return [...shown, ...(ranges.length > 4 ? [`and ${ranges.length - 4} more`] : [])].join(' ');
}

function namesOf(values: Values): string[] {
  const keys = ['name', 'symtgt', 'tgtuuid'] as const;
  const names = keys
    .map((key) => values[key])
    .filter((name): name is string => typeof name === 'string' && name !== '');
  const config = values.mgs_config_body as { mcb_name: string } | undefined;
  return config === undefined ? names : [...names, config.mcb_name];
}
