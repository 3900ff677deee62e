/**
 * A second reader: Wireshark's lnet and lustre dissectors, which none of us wrote. Their reading of a capture is compared
 * with ours message by message, at the byte: opcode, status, transno, FIDs and names, matched by the LNet header.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { LustreError } from '../../runtime/errors.ts';
import { decodeText } from '../../wire/text.ts';
import type { Unit } from './conversation.ts';
import { decodeCapture } from './decode-capture.ts';
import type { Part } from './dissection.ts';
import { readCapture } from './pcap.ts';
import { opcodeName } from './rpc-variants.ts';
import { fidText, isFid } from './values.ts';

/** One thing on which the two readings differ. `message` names the message for people. */
export interface Disagreement {
  readonly frame: number;
  readonly message: string;
  readonly what: 'message' | 'opcode' | 'status' | 'transno' | 'fid' | 'name';
  readonly ours: string;
  readonly theirs: string;
}

export interface CompareOptions {
  /** Ports of LNet beside 988. */
  readonly ports?: readonly number[] | undefined;
}

/** An LNet message as tshark reads it. Offsets are from the beginning of the lustre_msg. */
export interface TsharkMessage {
  readonly frame: number;
  readonly key: string;
  /** `PUT portal 26 MGS_CONNECT request`: for counting kinds. */
  readonly kind: string;
  readonly opcode: number | undefined;
  readonly status: number | undefined;
  readonly transno: bigint | undefined;
  readonly fids: readonly (readonly [offset: number, fid: string])[];
  readonly names: readonly (readonly [offset: number, name: string])[];
  /** What it flags, numbers as N. */
  readonly flags: readonly string[];
}

/** Whether tshark can be run. */
export async function hasTshark(): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('tshark', ['--version'], { stdio: 'ignore' });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

/** Compares both readings of a capture. Empty: they agree on everything that tshark shows. */
export async function compareWithTshark(pcap: string, options: CompareOptions = {}): Promise<Disagreement[]> {
  return (await readBoth(pcap, options)).disagreements;
}

/** How many messages of which kind tshark flags as malformed, by kind and what it says (numbers as N). */
export async function malformedKinds(
  pcap: string,
  options: CompareOptions = {},
): Promise<Map<string, number>> {
  const kinds = new Map<string, number>();
  for await (const message of readTshark(pcap, options)) {
    for (const flag of new Set(message.flags)) {
      const kind = `${message.kind}: ${flag}`;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  return kinds;
}

/** How much was compared, and the differences. */
export interface Comparison {
  readonly disagreements: Disagreement[];
  readonly messages: number;
  readonly rpcs: number;
  readonly fids: number;
  readonly names: number;
  /**
   * RPCs that it does not read, by portal: those of portals that it does not know, written by RDMA, or wrapped by a security
   * mechanism (it takes a wrapped message for a bare one).
   */
  readonly unread: ReadonlyMap<number, number>;
}

/** What of a unit is compared; copied, so that units need not be kept. */
interface Ours {
  readonly frame: number;
  readonly name: string;
  readonly portal: number;
  /** Inside a security mechanism's message. */
  readonly wrapped: boolean;
  readonly opcode: number | undefined;
  readonly status: number;
  readonly transno: bigint;
  readonly fids: ReadonlyMap<number, string>;
  readonly names: ReadonlyMap<number, string>;
}

export async function readBoth(pcap: string, options: CompareOptions = {}): Promise<Comparison> {
  const ours = new Map<string, Ours[]>();
  const take = (unit: Unit): void => {
    const key = keyOf(unit);
    if (key === undefined) return;
    const list = ours.get(key) ?? [];
    list.push(oursOf(unit));
    ours.set(key, list);
  };
  await decodeCapture(readCapture(pcap), take, { ports: options.ports });
  const disagreements: Disagreement[] = [];
  const counts = { messages: 0, rpcs: 0, fids: 0, names: 0 };
  const unread = new Map<number, number>();
  for await (const theirs of readTshark(pcap, options)) {
    counts.messages++;
    if (theirs.opcode !== undefined) counts.rpcs++;
    counts.fids += theirs.fids.length;
    counts.names += theirs.names.length;
    const mine = ours.get(theirs.key)?.shift();
    if (mine === undefined) disagreements.push(missing(theirs.frame, theirs.kind, 'not seen', theirs.key));
    else if (mine.opcode !== undefined && (theirs.opcode === undefined || mine.wrapped))
      unread.set(mine.portal, (unread.get(mine.portal) ?? 0) + 1);
    else disagreements.push(...compare(mine, theirs));
  }
  for (const [key, list] of ours)
    for (const mine of list) disagreements.push(missing(mine.frame, mine.name, key, 'not seen'));
  return { disagreements, ...counts, unread };
}

function missing(frame: number, message: string, ours: string, theirs: string): Disagreement {
  return { frame, message, what: 'message', ours, theirs };
}

function keyOf({ header, parts }: Unit): string | undefined {
  // What o2iblnd writes by RDMA has no header of its own on the wire; a PUT's was in its PUT_REQ.
  const written = parts[0]?.path[0] === 'payload' && parts[0].offset === 0;
  if (header === undefined || (written && header.type === 'REPLY')) return undefined;
  const { type, source, destination, matchBits, portal, offset, payloadLength } = header;
  const bits = type === 'REPLY' ? '' : matchBits;
  const where = type === 'PUT' || type === 'GET' ? `${portal} ${offset}` : '';
  return `${type} ${source} ${destination} ${bits} ${where} ${payloadLength}`;
}

function oursOf(unit: Unit): Ours {
  const { rpc } = unit;
  const fids = new Map<number, string>();
  const names = new Map<number, string>();
  if (rpc !== undefined) {
    const start = unit.bytes.length - (unit.header?.payloadLength ?? 0);
    for (const part of unit.parts) {
      if (part.kind === 'text') names.set(part.offset - start, part.value as string);
      else if (part.kind === 'struct')
        collect(part, part.value, part.type!.fields, part.offset - start, fids, names);
    }
  }
  return {
    frame: unit.frame,
    portal: unit.header?.portal ?? 0,
    wrapped: (unit.security ?? '') !== '',
    name: `${unit.kind} ${rpc === undefined ? '' : opcodeName(rpc.body.pb_opc)} ${rpc?.variant?.detail ?? ''}`.trim(),
    opcode: rpc?.body.pb_opc,
    status: rpc?.body.pb_status ?? 0,
    transno: rpc?.body.pb_transno ?? 0n,
    fids,
    names,
  };
}

type FieldTable = NonNullable<Part['type']>['fields'];

/** FIDs and texts of a struct by their offsets. */
function collect(
  part: Part,
  value: unknown,
  fields: FieldTable,
  at: number,
  fids: Map<number, string>,
  names: Map<number, string>,
): void {
  if (isFid(value)) {
    fids.set(at, fidText(value));
    return;
  }
  for (const [name, [offset, type]] of Object.entries(fields)) {
    const inner = (value as { [name: string]: unknown })[name];
    if (typeof inner === 'string') names.set(at + offset, inner);
    else if ('fields' in type) collect(part, inner, type.fields as FieldTable, at + offset, fids, names);
  }
}

/** What it shows where a newer struct has padding. */
const NO_FID = '[0x0:0x0:0x0]';

function compare(mine: Ours, theirs: TsharkMessage): Disagreement[] {
  const found: Disagreement[] = [];
  const differ = (what: Disagreement['what'], ours: string, their: string): void => {
    found.push({ frame: mine.frame, message: mine.name, what, ours, theirs: their });
  };
  if (mine.opcode !== theirs.opcode) differ('opcode', String(mine.opcode), String(theirs.opcode));
  if (mine.opcode === undefined || theirs.opcode === undefined) return found;
  if (theirs.status !== undefined && mine.status !== theirs.status)
    differ('status', String(mine.status), String(theirs.status));
  if (theirs.transno !== undefined && mine.transno !== theirs.transno)
    differ('transno', String(mine.transno), String(theirs.transno));
  for (const [offset, fid] of theirs.fids)
    if (mine.fids.get(offset) !== fid && !(fid === NO_FID && !mine.fids.has(offset)))
      differ('fid', `${mine.fids.get(offset) ?? 'none'} at ${offset}`, fid);
  for (const [offset, name] of theirs.names)
    if (mine.names.get(offset) !== name)
      differ('name', `${mine.names.get(offset) ?? 'none'} at ${offset}`, name);
  return found;
}

/** The messages of a capture as tshark reads them, in its order. Throws LustreError when tshark fails. */
export async function* readTshark(
  pcap: string,
  { ports = [] }: CompareOptions = {},
): AsyncGenerator<TsharkMessage> {
  const decodeAs = ports.flatMap((port) => ['-d', `tcp.port==${port},lnet`]);
  const child = spawn('tshark', ['-r', pcap, ...decodeAs, '-T', 'pdml', '-J', 'lnet lustre'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let failure: string | undefined;
  const closed = new Promise<void>((resolve) => {
    child.on('error', (error) => {
      failure = error.message;
      resolve();
    });
    child.on('close', (code) => {
      if (code !== 0) failure ??= `it ended with ${code}`;
      resolve();
    });
  });
  try {
    const reader = new PdmlReader();
    for await (const line of createInterface({ input: child.stdout })) {
      const message = reader.line(line);
      if (message !== undefined) yield message;
    }
    await closed;
    if (failure !== undefined)
      throw new LustreError('ERR_LUSTRE_TSHARK', `tshark cannot read '${pcap}': ${failure}`);
  } finally {
    child.kill();
  }
}

interface Building {
  frame: number;
  fields: Map<string, string>;
  /** By `lnet.src_nid` and `lnet.dest_nid`: address, net number, type. Of o2iblnd's and LNet's header the later ones count. */
  nids: Map<string, Map<string, string>>;
  nid: string;
  lustreAt: number;
  inLustre: boolean;
  pending: { offset: number; seq: string; oid: string } | undefined;
  fids: [number, string][];
  names: [number, string][];
  flags: string[];
}

const nameFields = [
  'lustre.filename',
  'lustre.name',
  'lustre.secctx_name',
  'lustre.xattr.name',
  'lustre.obd_uuid',
];
const netNames: Record<string, string> = { '2': 'tcp', '5': 'o2ib', '9': 'lo' };

/** PDML is one element a line; that is all of XML that is needed. */
class PdmlReader {
  private frame = 0;
  private message: Building | undefined;

  /** Takes a line; gives a message when that line shows that one is complete. */
  line(line: string): TsharkMessage | undefined {
    const tag = /^\s*<(\/?\w+)/.exec(line)?.[1];
    if (tag === 'proto') return this.proto(attribute(line, 'name'), line);
    if (tag === '/packet') return this.finish();
    if (tag === 'field') this.field(attribute(line, 'name'), line);
    return undefined;
  }

  private proto(name: string, line: string): TsharkMessage | undefined {
    const { message } = this;
    if (name === 'lnet') {
      const done = this.finish();
      this.message = {
        frame: this.frame,
        fields: new Map(),
        nids: new Map(),
        nid: '',
        lustreAt: 0,
        inLustre: false,
        pending: undefined,
        fids: [],
        names: [],
        flags: [],
      };
      return done;
    }
    if (name === 'lustre' && message !== undefined) {
      message.lustreAt = Number(attribute(line, 'pos'));
      message.inLustre = true;
    }
    if (name === '_ws.malformed') message?.flags.push('malformed');
    return undefined;
  }

  private field(name: string, line: string): void {
    if (name === 'num') this.frame = Number(attribute(line, 'show'));
    const { message } = this;
    if (message === undefined) return;
    // Records of logs have NIDs, too; those are not the message's.
    if ((name.startsWith('lnet.') && !message.inLustre) || name.startsWith('lustre.ptlrpc_body.')) {
      if (!message.fields.has(name)) message.fields.set(name, attribute(line, 'show'));
      if (name === 'lnet.src_nid' || name === 'lnet.dest_nid') {
        message.nid = name;
        message.nids.set(name, new Map());
      }
      if (name.startsWith('lnet.nid.')) message.nids.get(message.nid)?.set(name, attribute(line, 'show'));
    } else if (name === '_ws.expert.message') {
      message.flags.push(attribute(line, 'show').replace(/[\da-f]*\d[\da-f]*/g, 'N'));
    } else if (message.inLustre) lustreField(message, name, line);
  }

  private finish(): TsharkMessage | undefined {
    const { message } = this;
    this.message = undefined;
    const number = message?.fields.get('lnet.msg_type');
    return message === undefined || number === undefined ? undefined : messageOf(message, Number(number));
  }
}

function lustreField(message: Building, name: string, line: string): void {
  const offset = Number(attribute(line, 'pos')) - message.lustreAt;
  const value = attribute(line, 'show');
  if (name === 'lustre.lu_fid.f_seq') message.pending = { offset, seq: value, oid: '' };
  else if (name === 'lustre.ll_fid.f_oid' && message.pending !== undefined) message.pending.oid = value;
  else if (name === 'lustre.ll_fid.f_ver' && message.pending !== undefined) {
    const hex = (text: string): string => `0x${BigInt(text).toString(16)}`;
    message.fids.push([
      message.pending.offset,
      `[${hex(message.pending.seq)}:${hex(message.pending.oid)}:${hex(value)}]`,
    ]);
    message.pending = undefined;
  } else if (nameFields.includes(name)) {
    // Not what it shows, which is escaped, but the bytes.
    const bytes = Buffer.from(attribute(line, 'value'), 'hex');
    const nul = bytes.indexOf(0);
    message.names.push([offset, decodeText(nul === -1 ? bytes : bytes.subarray(0, nul))]);
  }
}

function messageOf(message: Building, typeNumber: number): TsharkMessage {
  const text = (name: string): string => message.fields.get(name) ?? '';
  const number = (name: string): number | undefined => {
    const value = message.fields.get(name);
    return value === undefined ? undefined : Number(value);
  };
  const type = ['ACK', 'PUT', 'GET', 'REPLY'][typeNumber] ?? String(typeNumber);
  const nid = (which: string): string => {
    const parts = message.nids.get(which);
    const net = parts?.get('lnet.nid.net_interface') ?? '0';
    const lnd = parts?.get('lnet.nid.type') ?? '';
    return `${parts?.get('lnet.nid.addr') ?? ''}@${netNames[lnd] ?? lnd}${net === '0' ? '' : net}`;
  };
  const bits = type === 'REPLY' ? '' : BigInt(text('lnet.msg_dst_match_bits') || 0);
  const portal = text('lnet.ptl_index');
  const offset = text(type === 'GET' ? 'lnet.src_offset' : 'lnet.offset');
  const where = type === 'PUT' || type === 'GET' ? `${portal} ${offset}` : '';
  const opcode = number('lustre.ptlrpc_body.pb_opc');
  const side = text('lustre.ptlrpc_body.pb_type') === '4711' ? 'request' : 'reply';
  const transno = message.fields.get('lustre.ptlrpc_body.pb_transno');
  return {
    frame: message.frame,
    key: `${type} ${nid('lnet.src_nid')} ${nid('lnet.dest_nid')} ${bits} ${where} ${text('lnet.payload_length')}`,
    kind:
      opcode === undefined
        ? `${type} portal ${portal}`
        : `${type} portal ${portal} ${opcodeName(opcode)} ${side}`,
    opcode,
    status: number('lustre.ptlrpc_body.pb_status'),
    transno: transno === undefined ? undefined : BigInt(transno),
    fids: message.fids,
    names: message.names,
    flags: message.flags,
  };
}

const entities: Record<string, string> = { quot: '"', amp: '&', lt: '<', gt: '>', apos: "'" };

function attribute(line: string, name: string): string {
  const found = new RegExp(` ${name}="([^"]*)"`).exec(line)?.[1] ?? '';
  return found.replace(/&(#x[\da-f]+|#\d+|\w+);/gi, (whole, entity: string) => {
    if (entity.startsWith('#x')) return String.fromCodePoint(Number.parseInt(entity.slice(2), 16));
    if (entity.startsWith('#')) return String.fromCodePoint(Number(entity.slice(1)));
    return entities[entity] ?? whole;
  });
}
