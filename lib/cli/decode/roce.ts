/**
 * LNet over RoCE v2 (guide 03): packets to o2iblnd messages and RDMA writes, those to LNet messages. A packet's headers
 * are a unit of their own; its payload belongs to the message that it is a piece of.
 */
import { nidFromBits } from '../../lnet/nid.ts';
import { KibRej } from '../../wire/o2iblnd-structs.ts';
import { WireError } from '../../wire/struct.ts';
import { type Conversation, definedOnly, type Unit } from './conversation.ts';
import { Dissection } from './dissection.ts';
import { dissectKib, type KibMessage, type RdmaTarget } from './kib-messages.ts';
import type { Ledger } from './ledger.ts';
import type { UdpDatagram } from './link-layer.ts';
import type { LnetHeader } from './lnet-messages.ts';
import {
  Acknowledge,
  BaseTransport,
  CmAttribute,
  CmaHeader,
  ConnectionIds,
  ConnectReject,
  ConnectReply,
  ConnectRequest,
  DatagramExtended,
  DisconnectRequest,
  ICRC_SIZE,
  Immediate,
  MAD_CLASS_CM,
  ManagementHeader,
  padCount,
  RcOpcode,
  RdmaExtended,
} from './roce-packets.ts';
import { BoundedMap } from './rpc-tracker.ts';

export const ROCE_PORT = 4791;

/** Largest message put together; LNet's own limit is 1 MiB and a header. */
const MESSAGE_MAX = 2 << 20;
/** RDMA-written bytes kept until the message says what they are. */
const WRITTEN_MAX = 64 << 20;
const TRANSFERS_MAX = 4096;
const QUEUE_PAIRS_MAX = 4096;

/** One direction of a queue pair. */
interface Flow {
  expected: number | undefined;
  pieces: Uint8Array[];
  size: number;
  write: { key: number; address: bigint } | undefined;
}

interface Written {
  readonly address: bigint;
  readonly data: Uint8Array;
}

interface Transfer {
  readonly header: LnetHeader;
  target: RdmaTarget | undefined;
}

interface Seen {
  readonly time: bigint;
  readonly frame: number;
  readonly source: string;
  readonly destination: string;
}

const first: readonly number[] = [RcOpcode.SEND_FIRST, RcOpcode.WRITE_FIRST];
const middle: readonly number[] = [RcOpcode.SEND_MIDDLE, RcOpcode.WRITE_MIDDLE];
const only: readonly number[] = [
  RcOpcode.SEND_ONLY,
  RcOpcode.SEND_ONLY_IMMEDIATE,
  RcOpcode.SEND_ONLY_INVALIDATE,
  RcOpcode.WRITE_ONLY,
  RcOpcode.WRITE_ONLY_IMMEDIATE,
];
const withImmediate: readonly number[] = [
  RcOpcode.SEND_LAST_IMMEDIATE,
  RcOpcode.SEND_ONLY_IMMEDIATE,
  RcOpcode.WRITE_LAST_IMMEDIATE,
  RcOpcode.WRITE_ONLY_IMMEDIATE,
  RcOpcode.SEND_LAST_INVALIDATE,
  RcOpcode.SEND_ONLY_INVALIDATE,
];
const withAddress: readonly number[] = [
  RcOpcode.WRITE_FIRST,
  RcOpcode.WRITE_ONLY,
  RcOpcode.WRITE_ONLY_IMMEDIATE,
];
const isWrite = (opcode: number): boolean =>
  opcode >= RcOpcode.WRITE_FIRST && opcode <= RcOpcode.WRITE_ONLY_IMMEDIATE;
const isRequest = (opcode: number): boolean =>
  opcode <= RcOpcode.WRITE_ONLY_IMMEDIATE ||
  opcode === RcOpcode.SEND_LAST_INVALIDATE ||
  opcode === RcOpcode.SEND_ONLY_INVALIDATE;

export class RoceDecoder {
  private readonly conversation: Conversation;
  private readonly ledger: Ledger;
  private readonly give: (unit: Unit) => void;
  private readonly flows = new BoundedMap<string, Flow>(QUEUE_PAIRS_MAX);
  /** By destination and key. */
  private readonly written = new Map<string, Written[]>();
  private writtenBytes = 0;
  /** By `destination of the completion, its kind and cookie`. */
  private readonly transfers = new BoundedMap<string, Transfer>(TRANSFERS_MAX);

  constructor(conversation: Conversation, ledger: Ledger, give: (unit: Unit) => void) {
    this.conversation = conversation;
    this.ledger = ledger;
    this.give = give;
  }

  packet(datagram: UdpDatagram, time: bigint, frame: number): void {
    const { payload } = datagram;
    const seen = { time, frame, source: datagram.source, destination: datagram.destination };
    this.ledger.missing += datagram.missing;
    if (payload.length < BaseTransport.size + ICRC_SIZE || datagram.missing > 0) {
      this.ledger.delivered += payload.length;
      this.undecoded(seen, payload, 'a cut or too short packet');
      return;
    }
    const transport = BaseTransport.decode(payload);
    if (transport.opcode === RcOpcode.DATAGRAM) this.management(seen, payload);
    else this.reliable(seen, payload, transport);
  }

  /** What is left when the capture ends. */
  finish(): void {
    const seen = { time: 0n, frame: 0, source: '', destination: '' };
    for (const flow of this.flows.values()) this.dropPieces(flow, seen, 'the capture ends inside a message');
    for (const list of this.written.values())
      for (const { data } of list) this.undecoded(seen, data, 'written, but no message says what it is');
    this.written.clear();
  }

  private reliable(seen: Seen, payload: Uint8Array, { opcode, flags, destination_qp, psn }: BaseValue): void {
    let head = BaseTransport.size;
    if (withAddress.includes(opcode)) head += RdmaExtended.size;
    if (withImmediate.includes(opcode)) head += Immediate.size;
    if (opcode === RcOpcode.ACKNOWLEDGE) head += Acknowledge.size;
    const tail = ICRC_SIZE + padCount(flags);
    if (payload.length < head + tail) {
      this.ledger.delivered += payload.length;
      this.undecoded(seen, payload, 'a packet shorter than its headers');
      return;
    }
    const key = `${seen.source} ${seen.destination} ${destination_qp & 0xffffff}`;
    const flow = this.flowOf(key);
    const number = psn & 0xffffff;
    const repeated = isRequest(opcode) && this.isRepeated(flow, number, seen);
    if (repeated) {
      this.ledger.retransmitted += payload.length;
      return;
    }
    this.ledger.delivered += payload.length;
    const data = payload.subarray(head, payload.length - tail);
    this.envelope(seen, payload, head, tail, opcode);
    if (!isRequest(opcode)) {
      if (data.length > 0) this.undecoded(seen, data, `InfiniBand opcode ${opcode}`);
      return;
    }
    this.piece(seen, flow, opcode, payload, data);
  }

  private flowOf(key: string): Flow {
    let flow = this.flows.get(key);
    if (flow === undefined) {
      flow = { expected: undefined, pieces: [], size: 0, write: undefined };
      this.flows.set(key, flow);
    }
    return flow;
  }

  /** Whether a packet was already seen; a packet ahead of its time means that some were not captured. */
  private isRepeated(flow: Flow, number: number, seen: Seen): boolean {
    const ahead = flow.expected === undefined ? 0 : ((number - flow.expected) << 8) >> 8;
    if (ahead < 0) return true;
    if (ahead > 0) this.dropPieces(flow, seen, `${ahead} packets are not in the capture`);
    flow.expected = (number + 1) & 0xffffff;
    return false;
  }

  /** The headers and trailer of a packet, as a unit. */
  private envelope(seen: Seen, payload: Uint8Array, head: number, tail: number, opcode: number): void {
    const bytes = new Uint8Array(head + tail);
    bytes.set(payload.subarray(0, head));
    bytes.set(payload.subarray(payload.length - tail), head);
    const d = new Dissection(bytes, false);
    d.struct('bth', BaseTransport);
    if (withAddress.includes(opcode)) d.struct('reth', RdmaExtended);
    if (withImmediate.includes(opcode)) d.struct('immdt', Immediate);
    if (opcode === RcOpcode.ACKNOWLEDGE) d.struct('aeth', Acknowledge);
    d.raw('padding', 'pad', tail - ICRC_SIZE);
    d.raw('opaque', 'icrc', ICRC_SIZE);
    this.give({ ...seen, kind: 'rdma', bytes, parts: d.parts, problems: d.problems });
  }

  private piece(seen: Seen, flow: Flow, opcode: number, packet: Uint8Array, data: Uint8Array): void {
    const starts = first.includes(opcode) || only.includes(opcode);
    if (starts) {
      this.dropPieces(flow, seen, 'a message without its end');
      const reth = isWrite(opcode) ? RdmaExtended.decode(packet, BaseTransport.size, false) : undefined;
      flow.write = reth === undefined ? undefined : { key: reth.key, address: reth.address };
    } else if (flow.pieces.length === 0) {
      this.undecoded(seen, data, 'a message without its beginning');
      return;
    }
    flow.pieces.push(data);
    flow.size += data.length;
    if (flow.size > MESSAGE_MAX) this.dropPieces(flow, seen, `a message of more than ${MESSAGE_MAX} bytes`);
    if (first.includes(opcode) || middle.includes(opcode) || flow.pieces.length === 0) return;
    // Always a copy: what is written may wait for long, and must not keep a block of the file.
    const bytes = Buffer.concat(flow.pieces, flow.size);
    flow.pieces = [];
    flow.size = 0;
    if (flow.write !== undefined) this.keep(seen, flow.write, bytes);
    else this.message(seen, bytes);
  }

  private keep(seen: Seen, { key, address }: { key: number; address: bigint }, data: Uint8Array): void {
    const name = `${seen.destination} ${key}`;
    const list = this.written.get(name) ?? [];
    list.push({ address, data });
    this.written.set(name, list);
    this.writtenBytes += data.length;
    while (this.writtenBytes > WRITTEN_MAX) {
      const [oldest, items] = this.written.entries().next().value!;
      for (const item of items) this.undecoded(seen, item.data, 'written, but no message says what it is');
      this.writtenBytes -= items.reduce((sum, item) => sum + item.data.length, 0);
      this.written.delete(oldest);
    }
  }

  private message(seen: Seen, bytes: Uint8Array): void {
    const d = new Dissection(bytes);
    let kib: KibMessage | undefined;
    let body: Partial<Unit> = {};
    const well = d.within('kib', bytes.length, (inner) => {
      kib = dissectKib(inner);
      const { header } = kib;
      if (header !== undefined && (kib.name === 'IMMEDIATE' || kib.name === 'GET_REQ')) {
        body = { header, ...this.conversation.payload(inner, header, seen.time, seen.frame) };
      }
    });
    const ends =
      kib === undefined
        ? seen
        : { source: nidFromBits(kib.source), destination: nidFromBits(kib.destination) };
    const note =
      kib === undefined || kib.name === 'IMMEDIATE'
        ? undefined
        : [kib.name, kib.status ?? ''].join(' ').trim();
    const base = { kind: well ? ('rdma' as const) : ('undecoded' as const), note };
    this.give(
      definedOnly<Unit>({ ...seen, ...ends, ...base, ...body, bytes, parts: d.parts, problems: d.problems }),
    );
    if (kib !== undefined) this.transfer(seen, kib);
  }

  /** Follows a PUT or GET by RDMA to its end, where the written bytes become an LNet payload. */
  private transfer(seen: Seen, kib: KibMessage): void {
    const { source, destination } = kib;
    if (kib.name === 'PUT_REQ') {
      this.transfers.set(`PUT_ACK ${source} ${kib.cookie}`, { header: kib.header!, target: undefined });
    } else if (kib.name === 'PUT_ACK') {
      const put = this.transfers.get(`PUT_ACK ${destination} ${kib.cookie}`);
      if (put !== undefined)
        this.transfers.set(`PUT_DONE ${source} ${kib.sinkCookie}`, { ...put, target: kib.target });
    } else if (kib.name === 'GET_REQ') {
      const asked = kib.header!;
      const header: LnetHeader = {
        ...asked,
        type: 'REPLY',
        source: asked.destination,
        destination: asked.source,
      };
      this.transfers.set(`GET_DONE ${source} ${kib.cookie}`, { header, target: kib.target });
    } else if (kib.name === 'PUT_DONE' || kib.name === 'GET_DONE') {
      const key = `${kib.name} ${destination} ${kib.cookie}`;
      const done = this.transfers.get(key);
      this.transfers.delete(key);
      if (done?.target !== undefined) this.complete(seen, done.header, done.target);
    }
  }

  private complete(seen: Seen, header: LnetHeader, target: RdmaTarget): void {
    const name = `${seen.destination} ${target.key}`;
    const list = this.written.get(name) ?? [];
    const inside = ({ address, data }: Written): boolean =>
      target.fragments.some(
        (f) => address >= f.address && address + BigInt(data.length) <= f.address + BigInt(f.size),
      );
    const mine = list.filter(inside);
    const rest = list.filter((item) => !inside(item));
    if (rest.length > 0) this.written.set(name, rest);
    else this.written.delete(name);
    const bytes = Buffer.concat(mine.map((item) => item.data));
    this.writtenBytes -= bytes.length;
    const d = new Dissection(bytes);
    const body = this.conversation.payload(d, header, seen.time, seen.frame);
    const { source, destination } = header;
    this.give({ ...seen, source, destination, header, ...body, bytes, parts: d.parts, problems: d.problems });
  }

  /** Connection management: datagrams to queue pair 1. */
  private management(seen: Seen, payload: Uint8Array): void {
    this.ledger.delivered += payload.length;
    const d = new Dissection(payload, false);
    let note = 'datagram';
    d.within('datagram', payload.length, (inner) => {
      const { flags } = inner.struct('bth', BaseTransport);
      inner.struct('deth', DatagramExtended);
      const tail = ICRC_SIZE + padCount(flags);
      inner.within('mad', inner.left - tail, (mad) => {
        note = dissectManagement(mad);
      });
      inner.raw('padding', 'pad', tail - ICRC_SIZE);
      inner.raw('opaque', 'icrc', ICRC_SIZE);
    });
    this.give({ ...seen, kind: 'rdma', bytes: payload, parts: d.parts, problems: d.problems, note });
  }

  private dropPieces(flow: Flow, seen: Seen, problem: string): void {
    for (const piece of flow.pieces) this.undecoded(seen, piece, problem);
    flow.pieces = [];
    flow.size = 0;
  }

  private undecoded(seen: Seen, bytes: Uint8Array, problem: string): void {
    if (bytes.length === 0) return;
    const d = new Dissection(bytes);
    d.raw('undecoded', 'bytes');
    this.give({ ...seen, kind: 'undecoded', bytes, parts: d.parts, problems: [problem] });
  }
}

type BaseValue = ReturnType<typeof BaseTransport.decode>;

const cmNames = new Map(Object.entries(CmAttribute).map(([name, value]) => [value as number, name]));

/** A connection management message with the o2iblnd message in its private data. */
function dissectManagement(d: Dissection): string {
  const header = d.struct('mad', ManagementHeader);
  const name = header.class === MAD_CLASS_CM ? cmNames.get(header.attribute) : undefined;
  if (name === undefined) throw new WireError('mad', `class ${header.class} attribute ${header.attribute}`);
  let kib: KibMessage | undefined;
  if (name === 'REQ') {
    d.struct('cm_req', ConnectRequest);
    d.struct('cma', CmaHeader);
    kib = dissectKib(d);
  } else if (name === 'REP') {
    d.struct('cm_rep', ConnectReply);
    kib = dissectKib(d);
  } else if (name === 'REJ') {
    d.struct('cm_rej', ConnectReject);
    d.struct('kib_rej', KibRej, true);
  } else if (name === 'DREQ') d.struct('cm_dreq', DisconnectRequest);
  else d.struct('cm_ids', ConnectionIds);
  // Private data has one size whatever is in it.
  d.raw('padding', 'private');
  return kib === undefined ? `CM ${name}` : `CM ${name} ${kib.name}`;
}
