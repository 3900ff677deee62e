/** Which request format a message has: by opcode, and where several share one, by intent, reint, key or buffer count. */
import { LuSeqRange } from '../../wire/fid-structs.ts';
import type { Format } from '../../wire/format.ts';
import * as formats from '../../wire/formats.ts';
import { IntentOpcode } from '../../wire/ldlm-constants.ts';
import { Reint } from '../../wire/mds-constants.ts';
import type { Message } from '../../wire/message.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { decodeText } from '../../wire/text.ts';

/** What a request is: its format, and the intent, reint or key that its opcode does not tell. */
export interface Variant {
  readonly format: Format;
  readonly detail: string;
}

/** Opcodes with one format, and the format of those with several that the tests below do not single out. */
const byOpcode = new Map<number, Format>();
for (const format of Object.values(formats) as Format[]) {
  // Its opcode is that of a batch's part, not of a request.
  if (format === formats.RQF_BUT_GETATTR) continue;
  for (const opcode of format.opcodes) if (!byOpcode.has(opcode)) byOpcode.set(opcode, format);
}
const defaults: readonly Format[] = [
  formats.RQF_CONNECT,
  formats.RQF_MDS_DISCONNECT,
  formats.RQF_OBD_SET_INFO,
  formats.RQF_MDS_GET_INFO,
  formats.RQF_OST_GET_INFO,
  formats.RQF_MDS_STATFS,
  formats.RQF_MDS_CLOSE,
  formats.RQF_MDS_REINT,
  formats.RQF_LDLM_ENQUEUE_LVB,
  formats.RQF_MGS_TARGET_REG,
  formats.RQF_LDLM_CP_CALLBACK,
  formats.RQF_LDLM_BL_CALLBACK,
  formats.RQF_LDLM_GL_CALLBACK,
  formats.RQF_MDS_SYNC,
];
for (const format of defaults) for (const opcode of format.opcodes) byOpcode.set(opcode, format);

const opcodeNames = new Map(
  Object.entries(Opcode)
    .filter(([name]) => !/_(FIRST|LAST)_OPC$/.test(name))
    .map(([name, value]) => [value as number, name]),
);

/** `LDLM_ENQUEUE`, or the number where it has no name. */
export function opcodeName(opcode: number): string {
  return opcodeNames.get(opcode) ?? `opcode ${opcode}`;
}

const wordOf = (b: Uint8Array | undefined, at: number, little: boolean): number =>
  b === undefined || b.length < at + 4
    ? 0
    : new DataView(b.buffer, b.byteOffset, b.length).getUint32(at, little);

const keyOf = (b: Uint8Array | undefined): string => {
  const end = b?.indexOf(0) ?? 0;
  return b === undefined ? '' : decodeText(b.subarray(0, end === -1 ? b.length : end).subarray(0, 64));
};

/** What tells them apart. */
type Buffers = Pick<Message, 'buffers' | 'littleEndian'>;

/** The variant of a request; undefined for an opcode that has no format. */
export function requestVariant(opcode: number, message: Buffers): Variant | undefined {
  const { buffers, littleEndian: little } = message;
  switch (opcode) {
    case Opcode.LDLM_ENQUEUE:
      return enqueueVariant(message);
    case Opcode.MDS_REINT:
      return reintVariant(wordOf(buffers[1], 0, little), message);
    case Opcode.MDS_CLOSE:
      return {
        format: buffers.length > 4 ? formats.RQF_MDS_CLOSE_INTENT : formats.RQF_MDS_CLOSE,
        detail: '',
      };
    case Opcode.MDS_STATFS:
      return { format: buffers.length > 1 ? formats.RQF_MDS_STATFS_NEW : formats.RQF_MDS_STATFS, detail: '' };
    case Opcode.MGS_TARGET_REG: {
      const list = buffers.length > 2;
      return { format: list ? formats.RQF_MGS_TARGET_REG_NIDLIST : formats.RQF_MGS_TARGET_REG, detail: '' };
    }
    case Opcode.LDLM_GL_CALLBACK: {
      const described = buffers.length > 2;
      return {
        format: described ? formats.RQF_LDLM_GL_CALLBACK_DESC : formats.RQF_LDLM_GL_CALLBACK,
        detail: '',
      };
    }
    case Opcode.FLD_QUERY:
    case Opcode.SEQ_QUERY:
      return sequenceVariant(opcode, message);
    case Opcode.OST_GET_INFO:
    case Opcode.MDS_GET_INFO:
    case Opcode.OST_SET_INFO:
    case Opcode.MDS_SET_INFO:
      return keyVariant(opcode, keyOf(buffers[1]), message);
    default: {
      const format = byOpcode.get(opcode);
      return format === undefined ? undefined : { format, detail: '' };
    }
  }
}

const intentNames: readonly (readonly [number, string])[] = [
  [IntentOpcode.IT_OPEN, 'open'],
  [IntentOpcode.IT_CREAT, 'creat'],
  [IntentOpcode.IT_READDIR, 'readdir'],
  [IntentOpcode.IT_GETATTR, 'getattr'],
  [IntentOpcode.IT_LOOKUP, 'lookup'],
  [IntentOpcode.IT_GETXATTR, 'getxattr'],
  [IntentOpcode.IT_LAYOUT, 'layout'],
  [IntentOpcode.IT_QUOTA_DQACQ, 'quota_dqacq'],
  [IntentOpcode.IT_QUOTA_CONN, 'quota_conn'],
  [IntentOpcode.IT_GLIMPSE, 'glimpse'],
  [IntentOpcode.IT_BRW, 'brw'],
];

function enqueueVariant({ buffers, littleEndian }: Buffers): Variant {
  const intent = buffers[2];
  if (intent === undefined || intent.length < 8) return { format: formats.RQF_LDLM_ENQUEUE_LVB, detail: '' };
  const bits = wordOf(intent, littleEndian ? 0 : 4, littleEndian);
  const names = intentNames.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
  const detail = `intent ${names.length > 0 ? names.join('|') : `0x${bits.toString(16)}`}`;
  const has = (bit: number): boolean => (bits & bit) !== 0;
  if (has(IntentOpcode.IT_OPEN)) return { format: formats.RQF_LDLM_INTENT_OPEN, detail };
  if (has(IntentOpcode.IT_CREAT)) return { format: formats.RQF_LDLM_INTENT_CREATE, detail };
  if (has(IntentOpcode.IT_GETXATTR)) return { format: formats.RQF_LDLM_INTENT_GETXATTR, detail };
  if (has(IntentOpcode.IT_GETATTR | IntentOpcode.IT_LOOKUP | IntentOpcode.IT_READDIR))
    return { format: formats.RQF_LDLM_INTENT_GETATTR, detail };
  if (has(IntentOpcode.IT_LAYOUT)) return { format: formats.RQF_LDLM_INTENT_LAYOUT, detail };
  if (has(IntentOpcode.IT_QUOTA_DQACQ | IntentOpcode.IT_QUOTA_CONN))
    return { format: formats.RQF_LDLM_INTENT_QUOTA, detail };
  return { format: formats.RQF_LDLM_INTENT_BASIC, detail };
}

const reints: Record<number, readonly [string, Format] | undefined> = {
  [Reint.REINT_SETATTR]: ['setattr', formats.RQF_MDS_REINT_SETATTR],
  [Reint.REINT_CREATE]: ['create', formats.RQF_MDS_REINT_CREATE_ACL],
  [Reint.REINT_LINK]: ['link', formats.RQF_MDS_REINT_LINK],
  [Reint.REINT_UNLINK]: ['unlink', formats.RQF_MDS_REINT_UNLINK],
  [Reint.REINT_RENAME]: ['rename', formats.RQF_MDS_REINT_RENAME],
  [Reint.REINT_OPEN]: ['open', formats.RQF_MDS_REINT_OPEN],
  [Reint.REINT_SETXATTR]: ['setxattr', formats.RQF_MDS_REINT_SETXATTR],
  [Reint.REINT_RMENTRY]: ['rmentry', formats.RQF_MDS_REINT_UNLINK],
  [Reint.REINT_MIGRATE]: ['migrate', formats.RQF_MDS_REINT_MIGRATE],
  [Reint.REINT_RESYNC]: ['resync', formats.RQF_MDS_REINT_RESYNC],
};

/** A create's mode says whether the buffer behind the name is a symlink's target. */
const CREATE_MODE_OFFSET = 112;
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;

function reintVariant(opcode: number, { buffers, littleEndian }: Buffers): Variant {
  const found = reints[opcode];
  if (found === undefined) return { format: formats.RQF_MDS_REINT, detail: `reint ${opcode}` };
  const mode = wordOf(buffers[1], CREATE_MODE_OFFSET, littleEndian);
  const symlink = opcode === Reint.REINT_CREATE && (mode & S_IFMT) === S_IFLNK;
  return { format: symlink ? formats.RQF_MDS_REINT_CREATE_SYM : found[1], detail: `reint ${found[0]}` };
}

function sequenceVariant(opcode: number, { buffers, littleEndian }: Buffers): Variant {
  const which = wordOf(buffers[1], 0, littleEndian);
  if (opcode === Opcode.FLD_QUERY) {
    const range = buffers[2];
    const start =
      range !== undefined && range.length >= LuSeqRange.size
        ? LuSeqRange.decode(range, 0, littleEndian)
        : undefined;
    const detail = start === undefined ? '' : `sequence 0x${start.lsr_start.toString(16)}`;
    return { format: formats.RQF_FLD_QUERY, detail };
  }
  return {
    format: formats.RQF_SEQ_QUERY,
    detail: which === 0 ? 'meta' : which === 1 ? 'super' : `op ${which}`,
  };
}

function keyVariant(opcode: number, key: string, { buffers }: Buffers): Variant {
  const detail = `key ${key}`;
  if (opcode === Opcode.OST_SET_INFO) {
    return {
      format: key === 'grant_shrink' ? formats.RQF_OST_SET_GRANT_INFO : formats.RQF_OBD_SET_INFO,
      detail,
    };
  }
  if (opcode === Opcode.MDS_SET_INFO) {
    return { format: buffers.length > 3 ? formats.RQF_MDT_SET_INFO : formats.RQF_OBD_SET_INFO, detail };
  }
  if (key === 'fiemap') return { format: formats.RQF_OST_GET_INFO_FIEMAP, detail };
  if (key === 'fid2path') return { format: formats.RQF_MDS_FID2PATH, detail };
  if (opcode === Opcode.MDS_GET_INFO) return { format: formats.RQF_MDS_GET_INFO, detail };
  if (key === 'last_id') return { format: formats.RQF_OST_GET_INFO_LAST_ID, detail };
  if (key === 'last_fid') return { format: formats.RQF_OST_GET_INFO_LAST_FID, detail };
  return { format: formats.RQF_OST_GET_INFO, detail };
}
