/** Messages inside a security mechanism's message (guide 15): GSS with services that leave them readable, and plain. */
import { decodeMessage, type Message } from '../../wire/message.ts';
import { Magic } from '../../wire/ptlrpc-constants.ts';
import { PtlrpcBodyV2, PtlrpcBodyV3 } from '../../wire/ptlrpc-structs.ts';
import { SecPolicy } from '../../wire/security-constants.ts';
import {
  GssErrHeader,
  GssHeader,
  GssRepHeader,
  PlainBulkToken,
  PlainHeader,
  PtlrpcBulkSecDesc,
  PtlrpcUserDesc,
} from '../../wire/security-structs.ts';
import type { Dissection } from './dissection.ts';
import { dissectMessageHeader } from './message-buffers.ts';
import { dissectMessage, type FindRequest, type RpcMessage } from './rpc-messages.ts';

/** A payload of a request or reply portal: its RPC where it can be read, and how it is protected. */
export interface SecureMessage {
  readonly rpc: RpcMessage | undefined;
  /** Empty for flavour null. */
  readonly security: string;
  /** Flags of the outer message: they tell where replies go (guide 04 §4.1). */
  readonly flags: number;
}

const PLAIN_HAS_USER = 1;
const PLAIN_HAS_BULK = 2;
const GSS_HAS_BULK = 1;
const GSS_HAS_USER = 2;
const GSS_PROCEDURES = ['data', 'init', 'continue', 'destroy', 'error'];
const GSS_SERVICES = ['null', 'auth', 'integrity', 'privacy'];

/** Takes a request's or reply's payload apart. Throws WireError where there is no message at all. */
export function dissectSecure(d: Dissection, find: FindRequest): SecureMessage {
  const outer = decodeMessage(d.peek());
  const policy = outer.secflvr & 15;
  if (policy === SecPolicy.SPTLRPC_POLICY_GSS) return dissectGss(d, outer, find);
  if (policy === SecPolicy.SPTLRPC_POLICY_PLAIN) return dissectPlain(d, outer, find);
  return { rpc: dissectMessage(d, find), security: '', flags: outer.flags };
}

/** Buffers of the outer message, each with its padding. */
function eachBuffer(d: Dissection, outer: Message, take: (d: Dissection, i: number) => void): void {
  const start = d.at;
  dissectMessageHeader(d, outer);
  outer.buffers.forEach((buffer, i) => {
    if (buffer.length > 0) d.within(`security_${i}`, buffer.length, (inner) => take(inner, i));
    d.align(8, start);
  });
  if (d.left > 0) d.raw('undecoded', 'behind_message');
}

function startsMessage(bytes: Uint8Array | undefined): boolean {
  if (bytes === undefined || bytes.length < 40) return false;
  const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
  return magic === Magic.LUSTRE_MSG_MAGIC_V2 || magic === Magic.LUSTRE_MSG_MAGIC_V2_SWABBED;
}

function dissectUser(d: Dissection): void {
  const { pud_ngroups } = d.struct('user_desc', PtlrpcUserDesc);
  d.numbers('pud_groups', 4, Math.min(pud_ngroups, Math.floor(d.left / 4)));
}

function dissectBulkDescriptor(d: Dissection): void {
  d.struct('bulk_sec_desc', PtlrpcBulkSecDesc);
  d.raw('opaque', 'bsd_data');
}

function dissectGss(d: Dissection, outer: Message, find: FindRequest): SecureMessage {
  const first = outer.buffers[0] ?? new Uint8Array(0);
  const header = GssHeader.decode(first, 0, outer.littleEndian);
  const { gh_proc: procedure, gh_flags: flags, gh_svc: service } = header;
  const embedded = startsMessage(outer.buffers[1]);
  // The answer to a context's set-up has the procedure of an error, too; only it has a message and a token.
  const answer = procedure === 4;
  const setUp = answer && embedded && outer.buffers.length >= 3;
  const private_ = !answer && procedure === 0 && service === SecPolicy.SPTLRPC_SVC_PRIV;
  let rpc: RpcMessage | undefined;
  const optional: ((d: Dissection) => void)[] = [];
  if (!private_ && !answer && flags & GSS_HAS_USER) optional.push(dissectUser);
  if (!private_ && !answer && flags & GSS_HAS_BULK) optional.push(dissectBulkDescriptor);
  if (!answer && (procedure === 1 || procedure === 2)) optional.push(dissectContextRequest);
  eachBuffer(d, outer, (inner, i) => {
    if (i === 0) return dissectGssHeader(inner, setUp ? GssRepHeader : answer ? GssErrHeader : GssHeader);
    if (i === 1 && embedded) {
      rpc = dissectMessage(inner, find);
      return;
    }
    if (i === 1 && answer && inner.left >= PtlrpcBodyV2.size) return dissectBareBody(inner);
    const take = i === 1 ? undefined : optional[i - 2];
    if (take !== undefined) take(inner);
    else inner.raw('opaque', private_ ? 'wrap_token' : answer ? 'token' : 'mic');
  });
  const what = answer
    ? setUp
      ? 'context reply'
      : 'error'
    : (GSS_PROCEDURES[procedure] ?? `proc ${procedure}`);
  const mechanism = ['gssnull', 'krb5', 'sk'][(outer.secflvr >> 4) & 15] ?? 'gss';
  const protection = procedure === 0 ? ` ${GSS_SERVICES[service] ?? service} seq ${header.gh_seq}` : '';
  return {
    rpc,
    security: `${mechanism} ${what}${protection}`,
    flags: outer.flags | (rpc?.message.flags ?? 0),
  };
}

function dissectGssHeader(
  d: Dissection,
  type: typeof GssHeader | typeof GssRepHeader | typeof GssErrHeader,
): void {
  const { gh_handle } =
    type === GssRepHeader
      ? d.struct(type.name, GssRepHeader)
      : type === GssErrHeader
        ? d.struct(type.name, GssErrHeader)
        : d.struct('gss_header', GssHeader);
  d.raw('opaque', 'handle', Math.min(gh_handle.len, d.left));
  d.raw('padding', 'unused');
}

function dissectBareBody(d: Dissection): void {
  if (d.left >= PtlrpcBodyV3.size) d.struct('ptlrpc_body', PtlrpcBodyV3);
  else d.struct('ptlrpc_body', PtlrpcBodyV2);
}

/** Payload of a context's set-up request: little-endian lengths, strings padded to 4 (guide 15 §5). */
function dissectContextRequest(d: Dissection): void {
  const start = d.at;
  d.numbers('service', 4, 1, true);
  for (const name of ['target', 'reverse_handle', 'mechanism_token']) {
    const [length = 0] = d.numbers(`${name}_length`, 4, 1, true);
    if (name === 'target') d.text(name, Number(length));
    else d.raw('opaque', name, Number(length));
    d.align(4, start);
  }
}

function dissectPlain(d: Dissection, outer: Message, find: FindRequest): SecureMessage {
  let rpc: RpcMessage | undefined;
  let flags = 0;
  eachBuffer(d, outer, (inner, i) => {
    if (i === 0) flags = inner.struct('plain_header', PlainHeader).ph_flags;
    else if (i === 1) rpc = dissectMessage(inner, find);
    else if (i === 2 && flags & PLAIN_HAS_USER) dissectUser(inner);
    else if (i === 3 && flags & PLAIN_HAS_BULK) {
      inner.struct('bulk_sec_desc', PtlrpcBulkSecDesc);
      inner.struct('bulk_token', PlainBulkToken);
    } else inner.raw('opaque', 'token');
  });
  return { rpc, security: 'plain', flags: outer.flags | (rpc?.message.flags ?? 0) };
}
