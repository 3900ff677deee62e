/** obd_connect_data: what a server may grant and what a client must refuse (guide 05 §2.1 to §2.3, guide 16 §3.2). */
import type { TargetKind } from '../rpc/portals.ts';
import { ProtocolError } from '../runtime/errors.ts';
import { ConnectFlag, ConnectFlag2 } from '../wire/connection-constants.ts';
import { ObdConnectData } from '../wire/connection-structs.ts';
import { MsgHeaderFlag } from '../wire/ptlrpc-constants.ts';
import type { ConnectGrant } from './target.ts';

const {
  OBD_CONNECT_FLAGS2,
  OBD_CONNECT_FULL20,
  OBD_CONNECT_FID,
  OBD_CONNECT_ATTRFID,
  OBD_CONNECT_BRW_SIZE,
  OBD_CONNECT_CKSUM,
  OBD_CONNECT_MULTIMODRPCS,
  OBD_CONNECT_PINGLESS,
} = ConnectFlag;

/** Linux pages; a client cannot do with less. */
const BRW_SIZE_MIN = 4096;

export function hasFlag(data: ObdConnectData, flag: bigint): boolean {
  return (data.ocd_connect_flags & flag) !== 0n;
}

/** A flag of the second word, which counts only with FLAGS2. */
export function hasFlag2(data: ObdConnectData, flag2: bigint): boolean {
  return hasFlag(data, OBD_CONNECT_FLAGS2) && (data.ocd_connect_flags2 & flag2) !== 0n;
}

export const repMbits = ConnectFlag2.OBD_CONNECT2_REP_MBITS;

/** All fields of a partial connect data, zero where it says nothing. */
export function connectData(partial: ConnectGrant): ObdConnectData {
  return ObdConnectData.decode(ObdConnectData.encode(partial));
}

/** What the target offers, masked with what was asked. Throws EPROTO where asked and offered cannot work together. */
export function grantConnect(asked: ObdConnectData, offered: ConnectGrant): ObdConnectData {
  const granted = connectData(offered);
  // We evict silent clients, so none may think that it need not ping.
  granted.ocd_connect_flags &= asked.ocd_connect_flags & ~OBD_CONNECT_PINGLESS;
  granted.ocd_connect_flags2 = hasFlag(granted, OBD_CONNECT_FLAGS2)
    ? granted.ocd_connect_flags2 & asked.ocd_connect_flags2
    : 0n;
  if (!hasFlag(asked, OBD_CONNECT_FULL20)) throw refusal('the client is older than Lustre 2.0');
  if (hasFlag(asked, OBD_CONNECT_BRW_SIZE) && asked.ocd_brw_size === 0)
    throw refusal('the client asks for a bulk size of zero');
  if (hasFlag(granted, OBD_CONNECT_CKSUM)) {
    granted.ocd_cksum_types &= asked.ocd_cksum_types;
    if (granted.ocd_cksum_types === 0) throw refusal('no checksum type in common');
  }
  return granted;
}

/** A client's refusals. Throws ERR_LUSTRE_CONNECT (EPROTO) for a grant that it cannot work with. */
export function checkGrant(
  kind: TargetKind,
  asked: ObdConnectData,
  granted: ObdConnectData,
  where: { target: string; nid: string },
): void {
  const fail = (message: string): never => {
    throw refusal(message, { ...where, hint: 'Client and server versions do not work together' });
  };
  const extra = granted.ocd_connect_flags & ~asked.ocd_connect_flags;
  if (extra !== 0n) fail(`the server granted flags 0x${extra.toString(16)} that were not asked for`);
  const extra2 = hasFlag(granted, OBD_CONNECT_FLAGS2)
    ? granted.ocd_connect_flags2 & ~asked.ocd_connect_flags2
    : 0n;
  if (extra2 !== 0n) fail(`the server granted second flags 0x${extra2.toString(16)} that were not asked for`);
  const needed =
    kind === 'mdt' ? OBD_CONNECT_FID | OBD_CONNECT_ATTRFID | OBD_CONNECT_FULL20 : OBD_CONNECT_FULL20;
  const missing = needed & asked.ocd_connect_flags & ~granted.ocd_connect_flags;
  if (missing !== 0n) fail(`the server did not grant 0x${missing.toString(16)} (FID, ATTRFID or FULL20)`);
  if (hasFlag(granted, OBD_CONNECT_CKSUM) && (granted.ocd_cksum_types & asked.ocd_cksum_types) === 0)
    fail('no checksum type in common');
  if (hasFlag(granted, OBD_CONNECT_BRW_SIZE) && granted.ocd_brw_size < BRW_SIZE_MIN)
    fail(`the server granted a bulk size of ${granted.ocd_brw_size} bytes`);
  if (hasFlag(granted, OBD_CONNECT_MULTIMODRPCS) && granted.ocd_maxmodrpcs === 0)
    fail('the server granted no modify slot');
}

function refusal(message: string, context = {}): ProtocolError {
  return new ProtocolError('ERR_LUSTRE_CONNECT', message, { syscall: 'connect', ...context });
}

/** How messages are made on a connection that granted these. */
export function grantedManners(granted: ObdConnectData): {
  readonly adaptive: boolean;
  /** lm_flags. */
  readonly headerFlags: number;
  readonly bulkMbits: boolean;
  readonly replyMbits: boolean;
} {
  const adaptive = hasFlag(granted, ConnectFlag.OBD_CONNECT_AT);
  return {
    adaptive,
    headerFlags: (adaptive ? MsgHeaderFlag.MSGHDR_AT_SUPPORT : 0) | MsgHeaderFlag.MSGHDR_CKSUM_INCOMPAT18,
    bulkMbits: hasFlag(granted, ConnectFlag.OBD_CONNECT_BULK_MBITS),
    replyMbits: hasFlag2(granted, repMbits),
  };
}

/** Modifying requests that go at a time. */
export function usableModifySlots(
  granted: ObdConnectData,
  { rpcsInFlightMax = 8, modifySlotsMax = Math.max(1, rpcsInFlightMax - 1) }: SlotWishes,
): number {
  return Math.min(modifySlotsMax, hasFlag(granted, OBD_CONNECT_MULTIMODRPCS) ? granted.ocd_maxmodrpcs : 1);
}

interface SlotWishes {
  readonly rpcsInFlightMax?: number;
  readonly modifySlotsMax?: number;
}
