/** LNet messages to what was said: pings, requests, replies, bulk transfers, each matched with what it belongs to. */
import { Lnet, Socklnd } from '../../wire/lnet-constants.ts';
import { LnetAcceptorConnreq, LnetAcceptorConnreqV2 } from '../../wire/lnet-structs.ts';
import { Portal } from '../../wire/opcodes.ts';
import { KsockHelloMsg, KsockHelloMsgNid4, KsockMsgHdr } from '../../wire/socklnd-structs.ts';
import { WireError } from '../../wire/struct.ts';
import { dissectBulk } from './bulk-content.ts';
import { Dissection, type Part } from './dissection.ts';
import { dissectHeader, dissectPing, type LnetHeader } from './lnet-messages.ts';
import type { FindRequest, RpcMessage } from './rpc-messages.ts';
import { type KnownRequest, RpcTracker } from './rpc-tracker.ts';
import { dissectSecure } from './security.ts';
import type { SocklndUnit } from './socklnd-stream.ts';

export type UnitKind =
  | 'acceptor'
  | 'hello'
  | 'noop'
  | 'ping'
  | 'push'
  | 'ack'
  | 'get'
  | 'request'
  | 'reply'
  | 'early reply'
  | 'bulk'
  | 'rdma'
  | 'unknown'
  | 'undecoded';

/** One thing that was said. `parts` cover its bytes without gap or overlap. */
export interface Unit {
  readonly kind: UnitKind;
  readonly time: bigint;
  readonly frame: number;
  /** NIDs where there is an LNet header, otherwise addresses and ports. */
  readonly source: string;
  readonly destination: string;
  readonly bytes: Uint8Array;
  readonly parts: readonly Part[];
  readonly problems: readonly string[];
  readonly header?: LnetHeader;
  readonly rpc?: RpcMessage;
  /** Of a reply or bulk transfer: the request it belongs to. Of a request: itself. */
  readonly request?: KnownRequest;
  readonly security?: string;
  /** What a person would want to know beside all that. */
  readonly note?: string;
}

const bulkPortals: readonly number[] = [
  Portal.OST_BULK_PORTAL,
  Portal.MDS_BULK_PORTAL,
  Portal.MGS_BULK_PORTAL,
];

type Body = Pick<Unit, 'kind' | 'rpc' | 'request' | 'security' | 'note'>;

export class Conversation {
  private readonly tracker = new RpcTracker();

  /** A framed piece of a socklnd stream. */
  socklnd(unit: SocklndUnit, source: string, destination: string): Unit {
    const d = new Dissection(unit.bytes, unit.littleEndian);
    const about = { time: unit.time, frame: unit.frame, source, destination, bytes: unit.bytes };
    const finish = (body: Body, more: Partial<Unit> = {}): Unit =>
      definedOnly({ ...about, ...body, ...more, parts: d.parts, problems: d.problems });
    switch (unit.kind) {
      case 'acceptor':
        if (d.left === LnetAcceptorConnreqV2.size) d.struct('acceptor_connreq', LnetAcceptorConnreqV2);
        else d.struct('acceptor_connreq', LnetAcceptorConnreq);
        return finish({ kind: 'acceptor' });
      case 'hello':
        return finish({ kind: 'hello', note: dissectHello(d, unit.nid16) });
      case 'noop':
        return finish({
          kind: 'noop',
          note: noopNote(d.struct('ksock_msg_hdr', KsockMsgHdr).ksh_zc_cookies),
        });
      case 'message': {
        d.struct('ksock_msg_hdr', KsockMsgHdr);
        const { body, header } = this.message(d, unit.nid16, unit.time, unit.frame);
        return finish(body, { header, source: header.source, destination: header.destination });
      }
      default:
        d.problems.push(unit.problem ?? 'not decoded');
        d.raw('undecoded', 'bytes');
        return finish({ kind: 'undecoded' });
    }
  }

  /** An LNet message: a header at the cursor, its payload behind it to the end. */
  message(d: Dissection, nid16: boolean, time: bigint, frame: number): { header: LnetHeader; body: Body } {
    const header = dissectHeader(d, nid16);
    const body = this.payload(d, header, time, frame);
    return { header, body };
  }

  /** The payload of a message whose header is already known. */
  payload(d: Dissection, header: LnetHeader, time: bigint, frame: number): Body {
    let body: Body = { kind: 'unknown' };
    if (d.left === 0 || header.type === 'GET' || header.type === 'ACK') {
      body = this.withoutPayload(header);
      if (d.left > 0) d.raw('undecoded', 'payload');
      return body;
    }
    d.within('payload', d.left, (inner) => {
      body = this.content(inner, header, time, frame);
    });
    return body;
  }

  private withoutPayload(header: LnetHeader): Body {
    if (header.type === 'GET' && header.portal === Lnet.LNET_RESERVED_PORTAL) {
      this.tracker.expect(header, 'ping');
      return { kind: 'ping', note: 'asked' };
    }
    if (header.type === 'GET') {
      const request = this.tracker.bulkOf(header);
      if (request === undefined) return { kind: 'get' };
      this.tracker.expect(header, request);
      return { kind: 'get', request };
    }
    const expected = this.tracker.expected(header);
    const request = typeof expected === 'object' ? expected : undefined;
    if (header.type === 'ACK') {
      return typeof expected === 'object'
        ? { kind: 'ack', request: expected }
        : { kind: 'ack', note: expected ?? '' };
    }
    // An empty PUT or REPLY: the rest of a short read, a bulk GET that had nothing.
    const owner = request ?? this.tracker.bulkOf(header);
    return owner === undefined ? { kind: 'unknown', note: 'empty' } : { kind: 'bulk', request: owner };
  }

  private content(d: Dissection, header: LnetHeader, time: bigint, frame: number): Body {
    if (header.type === 'REPLY') {
      const expected = this.tracker.expected(header);
      if (expected === 'ping') return { kind: 'ping', note: dissectPing(d).join(' ') };
      if (typeof expected === 'object') return this.bulk(d, expected);
      throw new WireError('REPLY', `to a GET that was not seen (cookie ${header.cookie})`);
    }
    if (header.portal === Lnet.LNET_RESERVED_PORTAL) {
      if (header.wantsAck) this.tracker.expect(header, 'push');
      return { kind: 'push', note: dissectPing(d).join(' ') };
    }
    if (bulkPortals.includes(header.portal)) {
      const request = this.tracker.bulkOf(header);
      if (request !== undefined && header.wantsAck) this.tracker.expect(header, request);
      return this.bulk(d, request);
    }
    return this.call(d, header, time, frame);
  }

  private bulk(d: Dissection, request: KnownRequest | undefined): Body {
    if (request === undefined) {
      d.raw('bulk', 'data');
      return { kind: 'bulk', note: 'of a request that was not seen' };
    }
    dissectBulk(d, request.opcode);
    return { kind: 'bulk', request };
  }

  /** A request or a reply. */
  private call(d: Dissection, header: LnetHeader, time: bigint, frame: number): Body {
    const known = this.tracker.requestOf(header);
    const find: FindRequest = () =>
      known === undefined ? undefined : { variant: known.variant, context: known.context };
    const { rpc, security, flags } = dissectSecure(d, find);
    if (rpc === undefined) {
      const kind = known === undefined ? 'request' : 'reply';
      return definedOnly({ kind, request: known, security });
    }
    if (rpc.side === 'request') {
      const request = this.tracker.request(header, rpc, flags, time, frame);
      return { kind: 'request', rpc, request, security };
    }
    if (known === undefined) return { kind: 'reply', rpc, security, note: 'to a request that was not seen' };
    const early = known.early && header.offset === 0;
    if (!early) this.tracker.reply(known, rpc);
    if (header.wantsAck) this.tracker.expect(header, known);
    return { kind: early ? 'early reply' : 'reply', rpc, request: known, security };
  }
}

/** Without the keys whose value is undefined, which exactOptionalPropertyTypes tells apart from absent ones. */
export function definedOnly<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T;
}

const connectionTypes: Record<number, string | undefined> = {
  [Socklnd.SOCKLND_CONN_ANY]: 'any',
  [Socklnd.SOCKLND_CONN_CONTROL]: 'control',
  [Socklnd.SOCKLND_CONN_BULK_IN]: 'bulk in',
  [Socklnd.SOCKLND_CONN_BULK_OUT]: 'bulk out',
  4294967295: 'refused, retry',
};

function dissectHello(d: Dissection, nid16: boolean): string {
  const hello = nid16 ? d.struct('hello', KsockHelloMsg) : d.struct('hello', KsockHelloMsgNid4);
  d.numbers('kshm_ips', 4, hello.kshm_nips);
  return `v${hello.kshm_version} ${connectionTypes[hello.kshm_ctype] ?? `type ${hello.kshm_ctype}`}`;
}

/** Guide 02 §5: what the two cookies of a NOOP acknowledge. */
function noopNote([first = 0n, second = 0n]: readonly bigint[]): string {
  if (second === 1n && first === 0n) return 'keepalive';
  if (first === 0n) return `zero-copy ack ${second}`;
  return first > second ? `zero-copy ack ${first} ${second}` : `zero-copy ack ${first}..${second}`;
}
