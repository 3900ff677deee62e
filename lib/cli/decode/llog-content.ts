/** Log blocks (guide 14): records with header and tail, configuration commands (guide 05 §5), changelog records. */
import { ConfigCommand } from '../../wire/connection-constants.ts';
import { CfgMarker, LmvDesc, LovDesc, LustreCfg } from '../../wire/connection-structs.ts';
import { ChangelogExtraFlag, ChangelogFlag, LlogRecType } from '../../wire/llog-constants.ts';
import {
  ChangelogExtExtraFlags,
  ChangelogExtNid,
  ChangelogExtOpenmode,
  ChangelogExtRename,
  ChangelogExtUidgid,
  ChangelogRec,
  LlogGenRec,
  LlogLogHdr,
  LlogLogidRec,
  LlogRecHdr,
  LlogRecTail,
  LlogSetattr64Rec,
  LlogSetattr64RecV2,
  LlogUnlink64Rec,
} from '../../wire/llog-structs.ts';
import { LnetNid } from '../../wire/lnet-structs.ts';
import { WireError } from '../../wire/struct.ts';
import type { AnyStruct, Dissection } from './dissection.ts';

const fixedRecords: Record<number, AnyStruct | undefined> = {
  [LlogRecType.LLOG_LOGID_MAGIC]: LlogLogidRec as AnyStruct,
  [LlogRecType.LLOG_GEN_REC]: LlogGenRec as AnyStruct,
  [LlogRecType.MDS_UNLINK64_REC]: LlogUnlink64Rec as AnyStruct,
};

/** A block of a log: whole records, then zeroes. */
export function dissectLogBlock(d: Dissection): void {
  while (d.left >= LlogRecHdr.size) {
    const length = d.word();
    if (length === 0) break;
    if (length < LlogRecHdr.size + LlogRecTail.size || length % 8 !== 0)
      throw new WireError('llog_rec_hdr', `a record claims ${length} bytes`);
    const index = d.word(4);
    d.within(`rec[${index}]`, length, dissectRecord);
  }
  if (d.peek().every((byte) => byte === 0)) d.raw('padding', 'unused');
}

/** The header of a log, 8192 bytes or a larger chunk whose bitmap is longer. */
export function dissectLogHeader(d: Dissection): void {
  if (d.left === LlogLogHdr.size) d.struct('llog_log_hdr', LlogLogHdr);
  else throw new WireError('llog_log_hdr', `${d.left} bytes are no log header`);
}

function dissectRecord(d: Dissection): void {
  const length = d.left;
  const type = d.word(8);
  const setattr = length === LlogSetattr64RecV2.size ? LlogSetattr64RecV2 : LlogSetattr64Rec;
  const fixed = type === LlogRecType.MDS_SETATTR64_REC ? (setattr as AnyStruct) : fixedRecords[type];
  if (type === LlogRecType.LLOG_HDR_MAGIC) {
    dissectLogHeader(d);
    return;
  }
  if (fixed !== undefined && fixed.size === length) {
    d.struct(fixed.name, fixed);
    return;
  }
  d.struct('hdr', LlogRecHdr);
  const body = length - LlogRecHdr.size - LlogRecTail.size;
  if (type === LlogRecType.OBD_CFG_REC) d.within('lustre_cfg', body, dissectConfigCommand);
  else if (type === LlogRecType.CHANGELOG_REC) d.within('changelog', body, dissectChangelog);
  else if (type === LlogRecType.LLOG_PAD_MAGIC) d.raw('padding', 'pad', body);
  else d.raw('value', 'body', body);
  d.struct('tail', LlogRecTail);
}

/** A configuration command: header, lengths, buffers padded to 8. */
export function dissectConfigCommand(d: Dissection): void {
  const start = d.at;
  const config = d.struct('lustre_cfg', LustreCfg);
  if (config.lcfg_bufcount > 8) throw new WireError('lustre_cfg', `has ${config.lcfg_bufcount} buffers`);
  const lengths = d.numbers('lcfg_buflens', 4, config.lcfg_bufcount);
  d.align(8, start);
  lengths.forEach((length, i) => {
    d.within(`buf[${i}]`, Number(length), (inner) => dissectConfigBuffer(inner, config.lcfg_command, i));
    d.align(8, start);
  });
  if (d.peek().every((byte) => byte === 0)) d.raw('padding', 'padding');
}

function dissectConfigBuffer(d: Dissection, command: number, index: number): void {
  if (command === ConfigCommand.LCFG_MARKER && index === 1 && d.left === CfgMarker.size) {
    d.struct('cfg_marker', CfgMarker);
  } else if (command === ConfigCommand.LCFG_SETUP && index === 1 && d.left === LovDesc.size) {
    // Both descriptions have one size; only the lov's has a pattern and a magic (guide 14 §5).
    const magic = d.word(4);
    if (magic !== 0) d.struct('lov_desc', LovDesc);
    else d.struct('lmv_desc', LmvDesc);
  } else if (d.left > 0 && d.peek().at(-1) === 0) d.text('text', d.left);
  else d.raw('value', 'value');
}

/** A changelog record without llog header and tail: fixed part, extensions by its flags, names, padding (guide 14 §8). */
export function dissectChangelog(d: Dissection): void {
  const record = d.struct('changelog_rec', ChangelogRec);
  const flags = record.cr_flags;
  if (flags & ChangelogFlag.CLF_RENAME) d.struct('rename', ChangelogExtRename);
  if (flags & ChangelogFlag.CLF_JOBID) d.text('jobid', 32);
  if (flags & ChangelogFlag.CLF_EXTRA_FLAGS) {
    const extra = Number(d.struct('extra_flags', ChangelogExtExtraFlags).cr_extra_flags & 0xffffffffn);
    if (extra & ChangelogExtraFlag.CLFE_UIDGID) d.struct('uidgid', ChangelogExtUidgid);
    if (extra & ChangelogExtraFlag.CLFE_NID) {
      if (extra & ChangelogExtraFlag.CLFE_NID_BE) {
        d.struct('nid', LnetNid);
        d.raw('padding', 'padding', ChangelogExtNid.size - LnetNid.size);
      } else d.struct('nid', ChangelogExtNid);
    }
    if (extra & ChangelogExtraFlag.CLFE_OPEN) d.struct('open', ChangelogExtOpenmode);
    if (extra & ChangelogExtraFlag.CLFE_XATTR) d.text('xattr', 256);
  }
  d.text('name', record.cr_namelen);
  d.raw('padding', 'padding', d.left);
}
