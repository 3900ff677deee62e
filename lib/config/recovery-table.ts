/**
 * The imperative recovery table (guide 05 §7): which targets were started again, as which instance and at which NIDs, so
 * that clients come at once and to the right place. MGS_CONFIG_READ of `<fsname>-cliir`, pages by bulk.
 */
import type { Endpoint } from '../lnet/network.ts';
import { type Nid, nidFromBits, nidFromLarge } from '../lnet/nid.ts';
import type { Caller } from '../rpc/rpc.ts';
import { ProtocolError } from '../runtime/errors.ts';
import { ConfigType } from '../wire/connection-constants.ts';
import { MgsNidtblEntry } from '../wire/connection-structs.ts';
import { type RequestInputs, required } from '../wire/format.ts';
import { RQF_MGS_CONFIG_READ } from '../wire/formats.ts';
import { Portal } from '../wire/opcodes.ts';

export interface RecoveryEntry {
  readonly kind: 'mdt' | 'ost';
  readonly index: number;
  /** Grows with every start of the target. */
  readonly instance: number;
  readonly nids: readonly Nid[];
}

const PAGE_BITS = 12;
const PAGE = 1 << PAGE_BITS;
/** Pages of the first read, of the whole table, and of later ones, of what is new. */
const FIRST_PAGES = 256;
const LATER_PAGES = 4;
/** struct lnet_nid. */
const LARGE_NID = 20;
const NID4_SIZE = 8;
/** Reads of one change: a table is no longer than a file system has targets. */
const READS_MAX = 64;

export function recoveryRequest(fsname: string, known: bigint): RequestInputs<typeof RQF_MGS_CONFIG_READ> {
  return {
    mgs_config_body: {
      mcb_name: `${fsname}-cliir`,
      mcb_offset: known + 1n,
      mcb_type: ConfigType.MGS_CFG_T_RECOVER,
      mcb_rec_nid_size: LARGE_NID,
      mcb_bits: PAGE_BITS,
      mcb_units: known === 0n ? FIRST_PAGES : LATER_PAGES,
    },
  };
}

/** What is newer in the table than version `known`, and its version. */
export async function readRecoveryTable(
  mgs: Caller,
  endpoint: Endpoint,
  fsname: string,
  known: bigint,
): Promise<{ readonly entries: readonly RecoveryEntry[]; readonly version: bigint }> {
  const entries: RecoveryEntry[] = [];
  let version = known;
  for (let reads = 0; reads < READS_MAX; reads++) {
    const request = recoveryRequest(fsname, version);
    const length = (version === 0n ? FIRST_PAGES : LATER_PAGES) * PAGE;
    const memory = endpoint.allocate(length);
    try {
      const segments = [{ memory, offset: 0, length }];
      const reply = await mgs.call(RQF_MGS_CONFIG_READ, request, {
        bulk: { direction: 'sink', portal: Portal.MGS_BULK_PORTAL, segments },
      });
      const { mcr_offset: offset, mcr_size: size } = required(reply.values, 'mgs_config_res');
      if (offset > size) throw bad(`at ${offset} of ${size}`);
      entries.push(...decodeRecoveryPages(memory.bytes.subarray(0, reply.bulkBytes), version, offset));
      if (offset < version) throw bad(`went back from ${version} to ${offset}`);
      const end = offset >= size || offset === version;
      version = offset;
      if (end) break;
    } finally {
      memory.release();
    }
  }
  return { entries, version };
}

/** Checks what guide 05 §7 demands: entries within their page, versions that grow, up to that of the reply. */
export function decodeRecoveryPages(bytes: Uint8Array, known: bigint, latest: bigint): RecoveryEntry[] {
  const entries: RecoveryEntry[] = [];
  let version = known;
  for (let at = 0; at + MgsNidtblEntry.size <= bytes.length; ) {
    const entry = MgsNidtblEntry.decode(bytes, at);
    const { mne_length: length, mne_nid_count: count, mne_nid_size: size } = entry;
    const large = entry.mne_nid_type === 1;
    const room = Math.min(PAGE - (at % PAGE), bytes.length - at);
    if (size !== (large ? LARGE_NID : NID4_SIZE)) throw bad(`has NIDs of ${size} bytes`);
    if (count === 0 || length < MgsNidtblEntry.size + count * size || length > room)
      throw bad(`has an entry of ${length} bytes with ${count} NIDs`);
    if (entry.mne_version <= version || entry.mne_version > latest)
      throw bad(`goes from version ${version} to ${entry.mne_version} of ${latest}`);
    version = entry.mne_version;
    const first = at + MgsNidtblEntry.size;
    const view = new DataView(bytes.buffer, bytes.byteOffset + first, count * size);
    const nids = Array.from({ length: count }, (_, i) =>
      large ? nidFromLarge(bytes, first + i * size) : nidFromBits(view.getBigUint64(i * size, true)),
    );
    const kind = entry.mne_type === 1 ? 'mdt' : entry.mne_type === 2 ? 'ost' : undefined;
    if (kind !== undefined) {
      const known = nids.filter((nid) => nid !== undefined);
      entries.push({ kind, index: entry.mne_index, instance: entry.mne_instance, nids: known });
    }
    at += length;
  }
  return entries;
}

/** `demo-OST0001`. */
export function targetName(fsname: string, kind: 'mdt' | 'ost', index: number): string {
  return `${fsname}-${kind.toUpperCase()}${index.toString(16).padStart(4, '0')}`;
}

const bad = (what: string): ProtocolError =>
  new ProtocolError('EPROTO', `the table of restarted targets ${what}`, { opcode: 'MGS_CONFIG_READ' });
