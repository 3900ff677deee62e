/** What is inside the buffers that the request formats leave as bytes: layouts, ACLs, log blocks, lists, file data. */

import { FidArray, GetinfoFid2path, LuFid, LuSeqRange, LuSeqRangeArray } from '../../wire/fid-structs.ts';
import { LquotaLvb, OstLvb, OstLvbV1 } from '../../wire/ldlm-structs.ts';
import { ChangelogSetinfo, LlogCookie } from '../../wire/llog-structs.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { Fiemap, FiemapExtent, NiobufRemote } from '../../wire/ost-structs.ts';
import type { SidedContext } from './content-context.ts';
import type { Dissection } from './dissection.ts';
import { dissectAcl, dissectLayout, isLayout } from './layout-content.ts';
import { dissectLogBlock } from './llog-content.ts';

const zero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** Takes the content of a buffer of raw bytes apart, all of it. */
export function dissectContent(d: Dissection, key: string, context: SidedContext): void {
  switch (key) {
    case 'mdt_md':
    case 'default_mdt_md':
      dissectLayoutOrZero(d, false);
      return;
    case 'eadata':
      dissectEadata(d, context);
      return;
    case 'acl':
      if (zero(d.peek())) d.raw('padding', 'unused');
      else dissectAcl(d);
      return;
    case 'dlm_lvb':
      dissectValueBlock(d, context);
      return;
    case 'logcookies':
      if (zero(d.peek())) d.raw('padding', 'unused');
      else d.structs('cookie', LlogCookie, Math.floor(d.left / LlogCookie.size));
      return;
    case 'niobuf_inline':
      d.struct('niobuf', NiobufRemote);
      d.raw('bulk', 'data');
      return;
    case 'short_io':
      d.raw('bulk', 'data');
      return;
    case 'fid_array':
      dissectFids(d);
      return;
    case 'generic_data':
      if (context.opcode === Opcode.FLD_READ) {
        const { lsra_count } = d.struct('lu_seq_range_array', LuSeqRangeArray, true);
        d.structs('lsra_lsr', LuSeqRange, Math.min(lsra_count, Math.floor(d.left / LuSeqRange.size)), true);
      }
      d.raw('value', 'value');
      return;
    case 'fiemap_val': {
      const { fm_mapped_extents } = d.struct('fiemap', Fiemap);
      d.structs(
        'fm_extents',
        FiemapExtent,
        Math.min(fm_mapped_extents, Math.floor(d.left / FiemapExtent.size)),
      );
      if (zero(d.peek())) d.raw('padding', 'unused');
      return;
    }
    case 'getinfo_key':
    case 'getinfo_val':
    case 'setinfo_key':
    case 'setinfo_val':
      dissectInfo(d, key, context);
      return;
    default:
      d.raw('value', 'value');
  }
}

function dissectLayoutOrZero(d: Dissection, asked: boolean): void {
  if (isLayout(d.peek())) dissectLayout(d, asked);
  else if (zero(d.peek())) d.raw('padding', 'unused');
  // A symlink's target stands where a file has its layout.
  else if (d.peek().indexOf(0) === d.left - 1) d.text('target', d.left);
  else d.raw('value', 'value');
}

function dissectEadata(d: Dissection, { opcode, side, detail }: SidedContext): void {
  if (opcode >= Opcode.LLOG_ORIGIN_HANDLE_CREATE && opcode < Opcode.LLOG_LAST_OPC) {
    dissectLogBlock(d);
  } else if (detail === 'intent getxattr' && side === 'reply') {
    dissectNames(d);
  } else if (opcode === Opcode.MDS_GETXATTR || detail === 'intent getxattr') {
    d.raw('value', 'value');
  } else dissectLayoutOrZero(d, side === 'request');
}

/** Names of extended attributes, each with its NUL. */
function dissectNames(d: Dissection): void {
  for (let i = 0; d.left > 0; i++) {
    const nul = d.peek().indexOf(0);
    if (nul === -1) {
      d.raw('value', 'rest');
      return;
    }
    d.text(`name[${i}]`, nul + 1);
  }
}

/** A lock value block: sizes and times of an object, a layout, or quota (guide 08 §7). */
function dissectValueBlock(d: Dissection, { detail }: SidedContext): void {
  if (isLayout(d.peek())) dissectLayout(d, false);
  else if (d.left === OstLvb.size) d.struct('ost_lvb', OstLvb);
  else if (d.left === LquotaLvb.size && detail.includes('quota')) d.struct('lquota_lvb', LquotaLvb);
  else if (d.left === OstLvbV1.size) d.struct('ost_lvb_v1', OstLvbV1);
  else d.raw('value', 'value');
}

/** FIDs, with their count before them or without. */
function dissectFids(d: Dissection): void {
  const count = d.word();
  if (d.left === FidArray.size + count * LuFid.size && d.left > LuFid.size) d.struct('fid_array', FidArray);
  d.structs('fid', LuFid, Math.floor(d.left / LuFid.size));
}

function dissectInfo(d: Dissection, field: string, { key, side }: SidedContext): void {
  const padded = (length: number): number => (length + 8) & ~7;
  const name = side === 'request' && field.endsWith('_key') ? d.peek() : undefined;
  if (name !== undefined) {
    const end = name.indexOf(0);
    const length = end === -1 ? name.length : end;
    const rest = name.length - padded(length);
    if (rest < GetinfoFid2path.size) {
      d.text('key', d.left);
      return;
    }
    // fid2path: the key's text, padded, then what is asked for and the mount's root.
    d.text('key', padded(length));
    d.struct('getinfo_fid2path', GetinfoFid2path);
    if (d.left === LuFid.size) d.struct('gf_root_fid', LuFid);
    else d.raw('value', 'value');
    return;
  }
  if (key === 'fid2path' && side === 'reply' && d.left >= GetinfoFid2path.size) {
    d.struct('getinfo_fid2path', GetinfoFid2path);
    d.text('gf_path', d.left);
  } else if (field === 'setinfo_val' && d.left === ChangelogSetinfo.size) {
    d.struct('changelog_setinfo', ChangelogSetinfo);
  } else d.raw('value', 'value');
}
