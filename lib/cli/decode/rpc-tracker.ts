/** What belongs together: replies, bulk transfers and acknowledgements with their requests; handles with target names. */
import type { Nid } from '../../lnet/nid.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { MsgHeaderFlag } from '../../wire/ptlrpc-constants.ts';
import type { ContentContext } from './content-context.ts';
import type { LnetHeader } from './lnet-messages.ts';
import type { RpcMessage } from './rpc-messages.ts';
import { opcodeName, type Variant } from './rpc-variants.ts';

/** A map that forgets its oldest entries. */
export class BoundedMap<K, V> extends Map<K, V> {
  private readonly bound: number;

  constructor(bound: number) {
    super();
    this.bound = bound;
  }

  override set(key: K, value: V): this {
    super.set(key, value);
    if (this.size > this.bound) this.delete(this.keys().next().value as K);
    return this;
  }
}

/** A request that was seen, without its content. */
export interface KnownRequest {
  readonly time: bigint;
  readonly frame: number;
  readonly client: Nid;
  readonly server: Nid;
  readonly xid: bigint;
  /** Last match bits of its bulk transfer, which replies may have, too. */
  readonly mbits: bigint;
  readonly opcode: number;
  readonly variant: Variant | undefined;
  readonly context: ContentContext;
  readonly target: string;
  /** Its reply goes behind room for an early one. */
  readonly early: boolean;
}

const REQUESTS_MAX = 16384;
/** Bulk match bits of one RPC lie in one aligned group of so many (guide 04 §3.3). */
const BULK_GROUP = 128n;

const connects: readonly number[] = [Opcode.OST_CONNECT, Opcode.MDS_CONNECT, Opcode.MGS_CONNECT];

export class RpcTracker {
  private readonly requests = new BoundedMap<string, KnownRequest>(REQUESTS_MAX * 2);
  private readonly bulks = new BoundedMap<string, KnownRequest>(REQUESTS_MAX * 2);
  private readonly cookies = new BoundedMap<string, KnownRequest | 'ping' | 'push'>(REQUESTS_MAX);
  private readonly targets = new BoundedMap<string, string>(REQUESTS_MAX);

  /** Notes a request and gives what later messages are matched to. */
  request(header: LnetHeader, rpc: RpcMessage, flags: number, time: bigint, frame: number): KnownRequest {
    const { body, variant } = rpc;
    const opcode = body.pb_opc;
    const client = header.source;
    const target = this.targetOf(header.destination, rpc);
    const key = /^key (.*)$/.exec(variant?.detail ?? '')?.[1] ?? '';
    const known: KnownRequest = {
      time,
      frame,
      client,
      server: header.destination,
      xid: header.matchBits,
      mbits: body.pb_mbits,
      opcode,
      variant,
      context: { opcode, detail: variant?.detail ?? '', key },
      target,
      early: (flags & MsgHeaderFlag.MSGHDR_AT_SUPPORT) !== 0,
    };
    for (const bits of new Set([header.matchBits, body.pb_mbits])) {
      if (bits === 0n) continue;
      this.requests.set(`${client} ${header.destination} ${bits}`, known);
      this.bulks.set(`${client} ${header.destination} ${bits / BULK_GROUP}`, known);
    }
    return known;
  }

  /** The request that a reply PUT with this header answers. */
  requestOf(header: LnetHeader): KnownRequest | undefined {
    return this.requests.get(`${header.destination} ${header.source} ${header.matchBits}`);
  }

  /** The request whose bulk buffers a PUT or GET with this header is for. */
  bulkOf(header: LnetHeader): KnownRequest | undefined {
    const { destination, source, matchBits } = header;
    return this.bulks.get(`${destination} ${source} ${matchBits / BULK_GROUP}`);
  }

  /** A reply that carries what later requests name: the handle of a connection. */
  reply(request: KnownRequest, rpc: RpcMessage): void {
    const { pb_handle: handle } = rpc.body;
    if (connects.includes(request.opcode) && handle !== 0n)
      this.targets.set(`${request.server} ${handle}`, request.target);
  }

  /** Remembers what an ACK or REPLY with this cookie will belong to. */
  expect(header: LnetHeader, what: KnownRequest | 'ping' | 'push'): void {
    this.cookies.set(`${header.source} ${header.cookie}`, what);
  }

  expected(header: LnetHeader): KnownRequest | 'ping' | 'push' | undefined {
    return this.cookies.get(`${header.destination} ${header.cookie}`);
  }

  private targetOf(server: Nid, { body, values }: RpcMessage): string {
    const { tgtuuid, conn } = values as { tgtuuid?: string; conn?: bigint };
    if (connects.includes(body.pb_opc) && tgtuuid !== undefined) {
      const target = tgtuuid.replace(/_UUID$/, '');
      // Callbacks carry the handle that the client names here.
      if (conn !== undefined) this.targets.set(`callback ${conn}`, target);
      return target;
    }
    return (
      this.targets.get(`${server} ${body.pb_handle}`) ?? this.targets.get(`callback ${body.pb_handle}`) ?? ''
    );
  }
}

/** `MDS_REINT create`, `LDLM_ENQUEUE intent open|creat`. */
export function requestName(opcode: number, variant: Variant | undefined): string {
  const detail = variant?.detail.replace(/^(intent|reint) /, '') ?? '';
  return detail === '' ? opcodeName(opcode) : `${opcodeName(opcode)} ${detail}`;
}
