/** MDS_READPAGE (guide 09 §8): a directory's entries in hash order, in pages that come by bulk. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import type { Endpoint } from '../../lnet/network.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDS_READPAGE } from '../../wire/formats.ts';
import { Dir, MdsStatus, MdValid } from '../../wire/mds-constants.ts';
import { LuDirent, LuDirpage } from '../../wire/mds-structs.ts';
import { decodeText } from '../../wire/text.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import { MDS_BULK_PORTAL, MDS_READPAGE_PORTAL, type MetadataTarget, type RequestOptions } from './target.ts';

export interface DirectoryEntry {
  readonly name: string;
  readonly fid: Fid;
  /** S_IFMT bits; 0 when the server did not say. */
  readonly type: number;
  readonly hash: bigint;
}

export interface DirectoryPages {
  readonly entries: readonly DirectoryEntry[];
  /** Where to go on; undefined at the end. */
  readonly next: bigint | undefined;
}

export const DIRECTORY_PAGE_SIZE = Dir.LU_PAGE_SIZE;
const NAME_MAX = 255;

export function readpageRequest(
  fid: Fid,
  hash: bigint,
  bytes: number,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_READPAGE> {
  return {
    mdt_body: {
      ...bodyCredentials(who),
      mbo_fid1: fid,
      mbo_valid: MdValid.OBD_MD_FLID,
      mbo_size: hash,
      mbo_mode: Dir.LUDA_FID | Dir.LUDA_TYPE,
      mbo_nlink: bytes,
      mbo_suppgid: NO_GROUP,
    },
  };
}

/** Reads up to `bytes` (a multiple of 4096) of pages from `hash` on. `.` and `..` are among the entries. */
export async function readpage(
  mdc: MetadataTarget,
  endpoint: Endpoint,
  fid: Fid,
  hash: bigint,
  bytes: number,
  who: Credentials,
  options: RequestOptions = {},
): Promise<DirectoryPages> {
  const memory = endpoint.allocate(bytes);
  try {
    const reply = await mdc.caller.call(RQF_MDS_READPAGE, readpageRequest(fid, hash, bytes, who), {
      requestPortal: MDS_READPAGE_PORTAL,
      bulk: {
        direction: 'sink',
        portal: MDS_BULK_PORTAL,
        segments: [{ memory, offset: 0, length: bytes }],
      },
      ...options,
    });
    const size = reply.bulkBytes;
    if (size % DIRECTORY_PAGE_SIZE !== 0 || size === 0 || size > bytes) {
      throw new ProtocolError('EPROTO', `a readpage reply brought ${size} bytes`, {
        fid: formatFid(fid),
        target: mdc.name,
      });
    }
    return decodePages(memory.bytes.subarray(0, size));
  } finally {
    memory.release();
  }
}

/** Reads pages as a server sent them. Throws EPROTO for entries that reach out of their page or have bad names. */
export function decodePages(bytes: Uint8Array): DirectoryPages {
  const entries: DirectoryEntry[] = [];
  let next: bigint | undefined;
  for (let at = 0; at < bytes.length; at += DIRECTORY_PAGE_SIZE) {
    const page = bytes.subarray(at, at + DIRECTORY_PAGE_SIZE);
    const head = LuDirpage.decode(page);
    if ((head.ldp_flags & Dir.LDF_EMPTY) === 0) decodeEntries(page, entries);
    next = head.ldp_hash_end === MdsStatus.MDS_DIR_END_OFF ? undefined : head.ldp_hash_end;
    if (next === undefined) break;
  }
  return { entries, next };
}

function decodeEntries(page: Uint8Array, entries: DirectoryEntry[]): void {
  for (let at = LuDirpage.size; ; ) {
    const entry = LuDirent.decode(page, at);
    const { lde_namelen: length, lde_reclen: record } = entry;
    const nameAt = at + LuDirent.size;
    const typed = (entry.lde_attrs & Dir.LUDA_TYPE) !== 0;
    const typeAt = nameAt + length + (length % 2);
    if (length > NAME_MAX || (typed ? typeAt + 2 : nameAt + length) > page.length) throw badEntry(at);
    // Entries without a name are there to be skipped.
    if (length > 0) {
      const name = decodeText(page.subarray(nameAt, nameAt + length));
      if (name.includes('/') || name.includes('\0')) throw badEntry(at);
      const type = typed ? (page[typeAt] ?? 0) | ((page[typeAt + 1] ?? 0) << 8) : 0;
      entries.push({ name, fid: entry.lde_fid, type, hash: entry.lde_hash });
    }
    if (record === 0) return;
    at += record;
    if (record < LuDirent.size || record % 8 !== 0 || at + LuDirent.size > page.length) throw badEntry(at);
  }
}

function badEntry(at: number): ProtocolError {
  return new ProtocolError('EPROTO', `a directory page is malformed at byte ${at}`);
}
