/** Which portal a request goes to and which its reply comes to (guide 04 §2). */
import { Opcode, Portal } from '../wire/opcodes.ts';

export type TargetKind = 'mgs' | 'mdt' | 'ost';

/** Kernel headers call portal 25 the MGC's reply portal; 27 is unused. */
const replyPortals: { readonly [requestPortal: number]: number } = {
  [Portal.MGS_REQUEST_PORTAL]: Portal.MGC_REPLY_PORTAL,
  [Portal.MDS_REQUEST_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.MDS_READPAGE_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.MDS_IO_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.SEQ_METADATA_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.SEQ_CONTROLLER_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.FLD_REQUEST_PORTAL]: Portal.MDC_REPLY_PORTAL,
  [Portal.OUT_PORTAL]: Portal.OSC_REPLY_PORTAL,
  [Portal.OST_REQUEST_PORTAL]: Portal.OSC_REPLY_PORTAL,
  [Portal.OST_CREATE_PORTAL]: Portal.OSC_REPLY_PORTAL,
  [Portal.OST_IO_PORTAL]: Portal.OSC_REPLY_PORTAL,
  [Portal.SEQ_DATA_PORTAL]: Portal.OSC_REPLY_PORTAL,
  [Portal.LDLM_CANCEL_REQUEST_PORTAL]: Portal.LDLM_CANCEL_REPLY_PORTAL,
  [Portal.LDLM_CB_REQUEST_PORTAL]: Portal.LDLM_CB_REPLY_PORTAL,
};

/** The reply portal of the service behind a request portal. */
export function replyPortalOf(requestPortal: number): number {
  return replyPortals[requestPortal] ?? Portal.CONNMGR_REPLY_PORTAL;
}

const mainPortal = {
  mgs: Portal.MGS_REQUEST_PORTAL,
  mdt: Portal.MDS_REQUEST_PORTAL,
  ost: Portal.OST_REQUEST_PORTAL,
} as const;

const mdtPortals = new Map<number, number>([
  [Opcode.MDS_READPAGE, Portal.MDS_READPAGE_PORTAL],
  [Opcode.MDS_CLOSE, Portal.MDS_READPAGE_PORTAL],
  [Opcode.MDS_GETATTR, Portal.MDS_READPAGE_PORTAL],
  [Opcode.MDS_GETXATTR, Portal.MDS_READPAGE_PORTAL],
  [Opcode.OST_READ, Portal.MDS_IO_PORTAL],
  [Opcode.OST_WRITE, Portal.MDS_IO_PORTAL],
  [Opcode.OST_PUNCH, Portal.MDS_IO_PORTAL],
  [Opcode.OST_FALLOCATE, Portal.MDS_IO_PORTAL],
  [Opcode.MDS_BATCH, Portal.OUT_PORTAL],
  [Opcode.OUT_UPDATE, Portal.OUT_PORTAL],
  [Opcode.SEQ_QUERY, Portal.SEQ_METADATA_PORTAL],
  [Opcode.FLD_QUERY, Portal.FLD_REQUEST_PORTAL],
  [Opcode.FLD_READ, Portal.FLD_REQUEST_PORTAL],
]);
const ostPortals = new Map<number, number>([
  [Opcode.OST_READ, Portal.OST_IO_PORTAL],
  [Opcode.OST_WRITE, Portal.OST_IO_PORTAL],
  [Opcode.OST_DESTROY, Portal.OST_IO_PORTAL],
  [Opcode.OST_PUNCH, Portal.OST_IO_PORTAL],
  [Opcode.OST_LADVISE, Portal.OST_IO_PORTAL],
  [Opcode.OST_FALLOCATE, Portal.OST_IO_PORTAL],
  [Opcode.OST_CREATE, Portal.OST_CREATE_PORTAL],
  [Opcode.OST_STATFS, Portal.OST_CREATE_PORTAL],
  [Opcode.SEQ_QUERY, Portal.SEQ_DATA_PORTAL],
]);

/** The portal that a kernel server of this kind serves the opcode on. */
export function requestPortalOf(kind: TargetKind, opcode: number): number {
  if (opcode === Opcode.LDLM_CANCEL || opcode === Opcode.LDLM_CONVERT)
    return Portal.LDLM_CANCEL_REQUEST_PORTAL;
  const byOpcode = kind === 'mdt' ? mdtPortals : kind === 'ost' ? ostPortals : undefined;
  return byOpcode?.get(opcode) ?? mainPortal[kind];
}

const opcodeNames = new Map<number, string>(
  Object.entries(Opcode)
    .filter(([name]) => !name.endsWith('_FIRST_OPC') && !name.endsWith('_LAST_OPC'))
    .map(([name, code]) => [code, name]),
);

/** `MDS_GETATTR`, or `opcode 4242` for one that has no name. */
export function opcodeName(opcode: number): string {
  return opcodeNames.get(opcode) ?? `opcode ${opcode}`;
}

export function isConnect(opcode: number): boolean {
  return opcode === Opcode.OST_CONNECT || opcode === Opcode.MDS_CONNECT || opcode === Opcode.MGS_CONNECT;
}

export function isDisconnect(opcode: number): boolean {
  return (
    opcode === Opcode.OST_DISCONNECT || opcode === Opcode.MDS_DISCONNECT || opcode === Opcode.MGS_DISCONNECT
  );
}
