/** One record of a changelog (guide 14 §8): a fixed part, extensions that its flags name, the name of what was changed. */
import { type Fid, formatFid, ZERO_FID } from '../fid/fid.ts';
import { type Nid, nidFromBits, nidFromLarge } from '../lnet/nid.ts';
import { ProtocolError } from '../runtime/errors.ts';
import { ChangelogFlag as F, ChangelogExtraFlag as X } from '../wire/llog-constants.ts';
import {
  ChangelogExtExtraFlags,
  ChangelogExtJobid,
  ChangelogExtNid,
  ChangelogExtOpenmode,
  ChangelogExtRename,
  ChangelogExtUidgid,
  ChangelogExtXattr,
  ChangelogRec,
} from '../wire/llog-structs.ts';
import { decodeText } from '../wire/text.ts';

/** As `lfs changelog` names them, by number. */
const TYPES = [
  ...[
    'MARK',
    'CREAT',
    'MKDIR',
    'HLINK',
    'SLINK',
    'MKNOD',
    'UNLNK',
    'RMDIR',
    'RENME',
    'RNMTO',
    'OPEN',
    'CLOSE',
  ],
  ...[
    'LYOUT',
    'TRUNC',
    'SATTR',
    'XATTR',
    'HSM',
    'MTIME',
    'CTIME',
    'ATIME',
    'MIGRT',
    'FLRW',
    'RESYNC',
    'GXATR',
  ],
  'NOPEN',
] as const;

export interface ChangelogRecord {
  /** Its number in the changelog of its MDT: what the next read goes on from, and what `clear` takes. */
  readonly index: bigint;
  /** `CREAT`, `MKDIR`, `UNLNK`, `RENME`, `CLOSE`, `SATTR`, `XATTR`, `HSM` ...; the number where it has no name. */
  readonly type: string;
  readonly typeNumber: number;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  /** Nanoseconds within the second. */
  readonly nanoseconds: number;
  /** Bits whose meaning depends on the type: `UNLNK` 1, the last name went. */
  readonly flags: number;
  /** FID of what was changed. */
  readonly target: string;
  /** FID of the directory and name in it, of what changes names. */
  readonly parent?: string;
  readonly name?: string;
  /** Of a rename: what it was called before. `fid` is zero where nothing was replaced. */
  readonly source?: { readonly fid: string; readonly parent: string; readonly name: string };
  /** Job that did it. */
  readonly jobid?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Of the client that did it. */
  readonly nid?: Nid;
  /** Of an open. */
  readonly openFlags?: number;
  /** Name of an extended attribute. */
  readonly xattr?: string;
  /** Which of these the server keeps: CLFE_ bits. */
  readonly extraFlags?: number;
}

/** `payload` is a record of a log without header and tail. Throws ERR_LUSTRE_LLOG for one that reaches out of itself. */
export function decodeChangelogRecord(payload: Uint8Array): ChangelogRecord {
  const cursor = new Cursor(payload);
  const rec = cursor.take(ChangelogRec);
  const { cr_flags: flags, cr_time: time } = rec;
  const rename = (flags & F.CLF_RENAME) === 0 ? undefined : cursor.take(ChangelogExtRename);
  const jobid = (flags & F.CLF_JOBID) === 0 ? undefined : cursor.take(ChangelogExtJobid).cr_jobid;
  const extra = (flags & F.CLF_EXTRA_FLAGS) === 0 ? undefined : extraOf(cursor);
  const [name = '', before = ''] = decodeText(cursor.bytes(rec.cr_namelen)).split('\0');
  const names = rec.cr_namelen > 0;
  return {
    index: rec.cr_index,
    type: TYPES[rec.cr_type] ?? String(rec.cr_type),
    typeNumber: rec.cr_type,
    timeMs: Number(time >> 30n) * 1000 + Number(time & 0x3fff_ffffn) / 1e6,
    nanoseconds: Number(time & 0x3fff_ffffn),
    flags: flags & F.CLF_FLAGMASK,
    target: formatFid(rec.cr_tfid),
    ...(names && { parent: formatFid(rec.cr_pfid), name }),
    ...(rename !== undefined &&
      !isZero(rename.cr_spfid) && {
        source: { fid: formatFid(rename.cr_sfid), parent: formatFid(rename.cr_spfid), name: before },
      }),
    ...(jobid !== undefined && jobid !== '' && { jobid }),
    ...extra,
  };
}

function extraOf(cursor: Cursor): Partial<ChangelogRecord> {
  const extraFlags = Number(cursor.take(ChangelogExtExtraFlags).cr_extra_flags & 0xffff_ffffn);
  const has = (bit: number): boolean => (extraFlags & bit) !== 0;
  const ids = has(X.CLFE_UIDGID) ? cursor.take(ChangelogExtUidgid) : undefined;
  const nidBytes = has(X.CLFE_NID) ? cursor.bytes(ChangelogExtNid.size) : undefined;
  const nid =
    nidBytes === undefined
      ? undefined
      : has(X.CLFE_NID_BE)
        ? nidFromLarge(nidBytes)
        : nidFromBits(ChangelogExtNid.decode(nidBytes).cr_nid);
  const openFlags = has(X.CLFE_OPEN) ? cursor.take(ChangelogExtOpenmode).cr_openflags : undefined;
  const xattr = has(X.CLFE_XATTR) ? cursor.take(ChangelogExtXattr).cr_xattr : undefined;
  return {
    extraFlags,
    ...(ids !== undefined && { uid: Number(ids.cr_uid), gid: Number(ids.cr_gid) }),
    ...(nid !== undefined && { nid }),
    ...(openFlags !== undefined && { openFlags }),
    ...(xattr !== undefined && xattr !== '' && { xattr }),
  };
}

const isZero = (fid: Fid): boolean => fid.f_seq === ZERO_FID.f_seq && fid.f_oid === ZERO_FID.f_oid;

/** Takes a record apart from its beginning on. */
class Cursor {
  readonly #payload: Uint8Array;
  #at = 0;

  constructor(payload: Uint8Array) {
    this.#payload = payload;
  }

  bytes(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#payload.length) {
      const what = `A changelog record of ${this.#payload.length} bytes says that it has ${end}`;
      throw new ProtocolError('ERR_LUSTRE_LLOG', what);
    }
    const bytes = this.#payload.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  take<T>(type: { readonly size: number; decode(bytes: Uint8Array): T }): T {
    return type.decode(this.bytes(type.size));
  }
}
