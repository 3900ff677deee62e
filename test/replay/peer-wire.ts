/** What the servers' node of a recording sends and takes: LNet's verbs in the form that the replay needs. */
import { type Endpoint, type LnetEvent, MdOption, type ProcessId } from '../../lib/lnet/network.ts';

/** For all requests to one portal, one behind the other. */
const ROOM = 1 << 20;

export class PeerWire {
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** All that is put to a portal. */
  listen(portal: number, take: (bytes: Uint8Array, event: LnetEvent) => void): void {
    const memory = this.#endpoint.allocate(ROOM);
    this.#endpoint.attach(
      {
        portal,
        matchBits: 0n,
        ignoreBits: 0xffff_ffff_ffff_ffffn,
        peer: { nid: '*' },
        segments: [{ memory, offset: 0, length: ROOM }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT,
        autoUnlink: false,
      },
      (event) => {
        if (event.type !== 'put') return;
        take(memory.bytes.slice(event.offset, event.offset + event.mlength), event);
      },
    );
  }

  put(peer: ProcessId, portal: number, matchBits: bigint, offset: number, bytes: Uint8Array): void {
    const memory = this.#endpoint.pin(bytes.length === 0 ? new Uint8Array(1) : bytes);
    const segments = [{ memory, offset: 0, length: bytes.length }];
    this.#endpoint.put({ peer, portal, matchBits, segments, offset }, () => {});
  }

  get(peer: ProcessId, portal: number, matchBits: bigint, length: number): Promise<Uint8Array> {
    const memory = this.#endpoint.allocate(length);
    const segments = [{ memory, offset: 0, length }];
    return new Promise((resolve) => {
      this.#endpoint.get({ peer, portal, matchBits, segments }, (event) => {
        if (event.type === 'reply') resolve(memory.bytes.slice(0, event.mlength));
      });
    });
  }
}
