/** Layout attributes (guide 13; striped directories: guide 09 §6) and ACLs, always little-endian. */
import { LuFid } from '../../wire/fid-structs.ts';
import { LmvConstant, LovConstant } from '../../wire/layout-constants.ts';
import {
  LmvForeignMd,
  LmvMdsMdV1,
  LmvUserMdsData,
  LmvUserMdV1,
  LovCompMdEntryV1,
  LovCompMdV1,
  LovForeignMd,
  LovMdsMdV1,
  LovMdsMdV3,
  LovOstDataV1,
} from '../../wire/layout-structs.ts';
import { PosixAclXattrEntry, PosixAclXattrHeader } from '../../wire/mds-structs.ts';
import { WireError } from '../../wire/struct.ts';
import type { Dissection } from './dissection.ts';

const layoutMagics: readonly number[] = [
  LovConstant.LOV_MAGIC_V1,
  LovConstant.LOV_MAGIC_V3,
  LovConstant.LOV_MAGIC_SPECIFIC,
  LovConstant.LOV_MAGIC_V1_DEFINED,
  LovConstant.LOV_MAGIC_V3_DEFINED,
  LovConstant.LOV_MAGIC_COMP_V1,
  LovConstant.LOV_MAGIC_COMP_V1_DEFINED,
  LovConstant.LOV_MAGIC_SEL,
  LovConstant.LOV_MAGIC_FOREIGN,
  LmvConstant.LMV_MAGIC_V1,
  LmvConstant.LMV_MAGIC_STRIPE,
  LmvConstant.LMV_MAGIC_FOREIGN,
  LmvConstant.LMV_USER_MAGIC,
];

/** Whether a layout attribute starts with these bytes. */
export function isLayout(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && layoutMagics.includes(firstWord(bytes));
}

function firstWord(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

/** Takes a layout attribute apart. `asked`: it is in a request, where the user's structures are meant. */
export function dissectLayout(d: Dissection, asked: boolean): void {
  d.littleEndian = true;
  const magic = d.word();
  switch (magic) {
    case LovConstant.LOV_MAGIC_V1:
    case LovConstant.LOV_MAGIC_V1_DEFINED: {
      const { lmm_stripe_count: count } = d.struct('lov_mds_md_v1', LovMdsMdV1);
      dissectObjects(d, count);
      return;
    }
    case LovConstant.LOV_MAGIC_V3:
    case LovConstant.LOV_MAGIC_V3_DEFINED:
    case LovConstant.LOV_MAGIC_SPECIFIC: {
      const { lmm_stripe_count: count } = d.struct('lov_mds_md_v3', LovMdsMdV3);
      dissectObjects(d, count);
      return;
    }
    case LovConstant.LOV_MAGIC_COMP_V1:
    case LovConstant.LOV_MAGIC_COMP_V1_DEFINED:
    case LovConstant.LOV_MAGIC_SEL:
      dissectComposite(d, asked);
      return;
    case LovConstant.LOV_MAGIC_FOREIGN: {
      const { lfm_length } = d.struct('lov_foreign_md', LovForeignMd);
      d.raw('value', 'lfm_value', lfm_length);
      dissectEnd(d);
      return;
    }
    case LmvConstant.LMV_MAGIC_FOREIGN: {
      const { lfm_length } = d.struct('lmv_foreign_md', LmvForeignMd);
      d.raw('value', 'lfm_value', lfm_length);
      dissectEnd(d);
      return;
    }
    default:
      dissectDirectoryLayout(d, magic, asked);
      return;
  }
}

/** A component that is not yet instantiated has its stripe count and no objects. */
function dissectObjects(d: Dissection, count: number): void {
  d.structs('lmm_objects', LovOstDataV1, Math.min(count, Math.floor(d.left / LovOstDataV1.size)));
  dissectEnd(d);
}

function dissectDirectoryLayout(d: Dissection, magic: number, asked: boolean): void {
  if (magic === LmvConstant.LMV_USER_MAGIC || (asked && magic === LmvConstant.LMV_USER_MAGIC_SPECIFIC)) {
    const { lum_stripe_count: count } = d.struct('lmv_user_md_v1', LmvUserMdV1);
    d.structs('lum_objects', LmvUserMdsData, Math.min(count, Math.floor(d.left / LmvUserMdsData.size)));
  } else if (magic === LmvConstant.LMV_MAGIC_V1 || magic === LmvConstant.LMV_MAGIC_STRIPE) {
    const { lmv_stripe_count: count } = d.struct('lmv_mds_md_v1', LmvMdsMdV1);
    d.structs('lmv_stripe_fids', LuFid, Math.min(count, Math.floor(d.left / LuFid.size)));
  } else throw new WireError('layout', `unknown magic 0x${magic.toString(16)}`);
  dissectEnd(d);
}

function dissectComposite(d: Dissection, asked: boolean): void {
  const start = d.at;
  const header = d.struct('lov_comp_md_v1', LovCompMdV1);
  const entries = d.structs('lcm_entries', LovCompMdEntryV1, header.lcm_entry_count);
  for (const entry of [...entries].sort((a, b) => a.lcme_offset - b.lcme_offset)) {
    // A request to delete or change components names them without contents.
    if (entry.lcme_size === 0) continue;
    const hole = start + entry.lcme_offset - d.at;
    if (hole < 0) throw new WireError('lov_comp_md_v1', 'components overlap');
    d.raw('padding', 'hole', hole);
    d.within(`component[0x${entry.lcme_id.toString(16)}]`, entry.lcme_size, (inner) =>
      dissectLayout(inner, asked),
    );
  }
  dissectEnd(d);
}

/** Buffers are sized before their content is known: zeroes behind it say nothing. */
function dissectEnd(d: Dissection): void {
  if (d.peek().every((byte) => byte === 0)) d.raw('padding', 'unused');
}

/** An ACL in its extended attribute's form. */
export function dissectAcl(d: Dissection): void {
  d.struct('posix_acl_xattr_header', PosixAclXattrHeader);
  d.structs('e', PosixAclXattrEntry, Math.floor(d.left / PosixAclXattrEntry.size));
}
