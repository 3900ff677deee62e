/** A peer that writes its messages by hand, for what no client of ours would send and for looking at what we send. */

import type { Endpoint, LnetEvent } from '../../lib/lnet/network.ts';
import { MdOption } from '../../lib/lnet/network.ts';
import type { Bits64 } from '../../lib/wire/bits64.ts';
import {
  decodePtlrpcBody,
  encodeBuffers,
  type PtlrpcBody,
  ptlrpcBodyField,
  rpcVersion,
} from '../../lib/wire/format.ts';
import { decodeMessage, type Message, type MessageHeader } from '../../lib/wire/message.ts';

export interface RawMessage {
  readonly event: LnetEvent;
  readonly bytes: Uint8Array;
  readonly message: Message;
  readonly body: PtlrpcBody;
}

export class RawPeer {
  readonly endpoint: Endpoint;
  readonly received: RawMessage[] = [];
  arrivals = 0;
  #waiting: ((message: RawMessage) => void)[] = [];

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** Takes whatever comes to a portal. */
  listen(portal: number): void {
    const memory = this.endpoint.allocate(4 << 20);
    this.endpoint.attach(
      {
        portal,
        matchBits: 0n,
        ignoreBits: 0xffff_ffff_ffff_ffffn,
        peer: { nid: '*' },
        segments: [{ memory, offset: 0, length: memory.bytes.length }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE | MdOption.TRUNCATE,
        autoUnlink: false,
      },
      (event) => {
        if (event.type !== 'put') return;
        this.arrivals++;
        const bytes = new Uint8Array(memory.bytes.subarray(event.offset, event.offset + event.mlength));
        // All land at the same offsets, so in a crowd one may be overwritten before it is looked at.
        const message = tryDecode(bytes);
        if (message === undefined) return;
        const raw = { event, bytes, message, body: decodePtlrpcBody(message.buffers[0]!, true) };
        this.received.push(raw);
        this.#waiting.shift()?.(raw);
      },
    );
  }

  next(): Promise<RawMessage> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  send(nid: string, portal: number, matchBits: Bits64, bytes: Uint8Array, offset = 0): void {
    const memory = this.endpoint.pin(bytes);
    const segments = [{ memory, offset: 0, length: bytes.length }];
    this.endpoint.put({ peer: { nid }, portal, matchBits, segments, offset }, () => {});
  }
}

/** A body-only request such as a ping, correct but for what `body` and `header` change. */
export function bodyOnly(
  opcode: number,
  body: Partial<PtlrpcBody> = {},
  header: MessageHeader = {},
): Uint8Array {
  return encodeBuffers(
    [ptlrpcBodyField],
    {
      ptlrpc_body: {
        pb_type: 4711,
        pb_version: rpcVersion(opcode) | 3,
        pb_opc: opcode,
        pb_timeout: 11,
        pb_conn_cnt: 1,
        ...body,
      },
    },
    header,
  );
}

function tryDecode(bytes: Uint8Array): Message | undefined {
  try {
    return decodeMessage(bytes);
  } catch {
    return undefined;
  }
}
