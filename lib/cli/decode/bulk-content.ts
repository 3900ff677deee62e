/** Bulk payloads that are not file data: directory pages (guide 09 §5.5), index pages, the MGS's NID table (guide 05 §7). */
import { MgsNidtblEntry } from '../../wire/connection-structs.ts';
import { LnetNid } from '../../wire/lnet-structs.ts';
import { Dir } from '../../wire/mds-constants.ts';
import { LuDirent, LuDirpage, LudaType, LuIdxpage } from '../../wire/mds-structs.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { WireError } from '../../wire/struct.ts';
import type { Dissection } from './dissection.ts';
import { dissectBatch } from './message-buffers.ts';

/** Takes the bulk payload of an RPC apart; file data stays what it is. */
export function dissectBulk(d: Dissection, opcode: number): void {
  if (opcode === Opcode.MDS_READPAGE) inPages(d, dissectDirectoryPage);
  else if (opcode === Opcode.OBD_IDX_READ) inPages(d, dissectIndexPage);
  else if (opcode === Opcode.MGS_CONFIG_READ) inPages(d, dissectNidTable);
  else if (opcode === Opcode.OST_READ || opcode === Opcode.OST_WRITE) d.raw('bulk', 'data');
  else if (opcode === Opcode.MDS_BATCH) dissectBatch(d);
  else d.raw('value', 'bulk');
}

function inPages(d: Dissection, page: (d: Dissection) => void): void {
  for (let i = 0; d.left > 0; i++) d.within(`page[${i}]`, Math.min(Dir.LU_PAGE_SIZE, d.left), page);
}

/** lu_dirpage and its entries, little-endian; what is behind the last entry is left over from other pages. */
export function dissectDirectoryPage(d: Dissection): void {
  d.littleEndian = true;
  const page = d.struct('lu_dirpage', LuDirpage);
  for (let i = 0; (page.ldp_flags & Dir.LDF_EMPTY) === 0; i++) {
    const start = d.at;
    const entry = d.struct(`lu_dirent[${i}]`, LuDirent);
    d.text('lde_name', entry.lde_namelen);
    if (entry.lde_attrs & Dir.LUDA_TYPE) {
      d.align(2, start);
      d.struct('luda_type', LudaType);
    }
    if (entry.lde_reclen === 0) break;
    const used = d.at - start;
    if (entry.lde_reclen < used)
      throw new WireError('lu_dirent', `${entry.lde_reclen} bytes are too few for its name`);
    d.raw('padding', 'padding', entry.lde_reclen - used);
  }
  d.raw('padding', 'unused');
}

function dissectIndexPage(d: Dissection): void {
  d.struct('lu_idxpage', LuIdxpage);
  d.raw('value', 'entries');
}

function dissectNidTable(d: Dissection): void {
  while (d.left >= MgsNidtblEntry.size) {
    const entry = MgsNidtblEntry.decode(d.peek(MgsNidtblEntry.size), 0, d.littleEndian);
    const size = MgsNidtblEntry.size + entry.mne_nid_count * entry.mne_nid_size;
    if (entry.mne_length < size || entry.mne_length > d.left)
      throw new WireError('mgs_nidtbl_entry', `claims ${entry.mne_length} bytes`);
    d.struct('mgs_nidtbl_entry', MgsNidtblEntry);
    if (entry.mne_nid_type === 0) d.numbers('nids', 8, entry.mne_nid_count);
    else if (entry.mne_nid_size === LnetNid.size) d.structs('nidlist', LnetNid, entry.mne_nid_count);
    else d.raw('value', 'nidlist', entry.mne_nid_count * entry.mne_nid_size);
    d.raw('padding', 'padding', entry.mne_length - size);
  }
  d.raw('padding', 'unused');
}
