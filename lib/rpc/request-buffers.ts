/**
 * The memory that requests arrive in (guide 04 §2.2): a few large buffers per portal, filled one behind the other until what
 * is left could not hold the largest request, then re-posted when the last request in them is done. With all of
 * them full the portal is lazy: messages wait below, bounded, and that is the back-pressure.
 */
import type { Endpoint, LnetEvent, MdHandle, Memory } from '../lnet/network.ts';
import { MdOption } from '../lnet/network.ts';
import { NID_ANY } from '../lnet/nid.ts';

const ALL_BITS = 0xffff_ffff_ffff_ffffn;

export interface RequestBufferOptions {
  readonly endpoint: Endpoint;
  readonly portal: number;
  /** Largest request, bytes; longer ones match nothing. */
  readonly requestSizeMax: number;
  readonly buffers: number;
  readonly bufferSize: number;
  /** A message; `within.release` is called once when its bytes are no longer needed. */
  onRequest(event: LnetEvent, bytes: Uint8Array, within: RequestBuffer): void;
}

export class RequestBuffers {
  readonly #buffers: RequestBuffer[] = [];
  readonly #closed: Promise<void>;
  #resolveClosed!: () => void;
  #open: number;
  #closing = false;

  constructor(options: RequestBufferOptions) {
    this.#open = options.buffers;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    options.endpoint.setLazyPortal(options.portal);
    for (let i = 0; i < options.buffers; i++) {
      const buffer: RequestBuffer = new RequestBuffer(options, () => this.#idle(buffer));
      this.#buffers.push(buffer);
      buffer.post();
    }
  }

  /** Takes no more requests; resolves when the network and all requests have let go of the memory. */
  close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      for (const buffer of this.#buffers) buffer.unlink();
    }
    return this.#closed;
  }

  #idle(buffer: RequestBuffer): void {
    if (!this.#closing) {
      try {
        buffer.post();
        return;
      } catch {
        // The endpoint is closed: this buffer has had its last request.
        buffer.closed();
      }
    }
    buffer.memory.release();
    this.#open--;
    if (this.#open === 0) this.#resolveClosed();
  }
}

/** One of them. */
export class RequestBuffer {
  readonly memory: Memory;
  readonly #options: RequestBufferOptions;
  readonly #onIdle: () => void;
  #handle: MdHandle | undefined;
  #linked = false;
  #users = 0;

  constructor(options: RequestBufferOptions, onIdle: () => void) {
    this.#options = options;
    this.#onIdle = onIdle;
    this.memory = options.endpoint.allocate(options.bufferSize);
  }

  post(): void {
    const { endpoint, portal, requestSizeMax, bufferSize } = this.#options;
    this.#linked = true;
    this.#handle = endpoint.attach(
      {
        portal,
        matchBits: 0n,
        ignoreBits: ALL_BITS,
        peer: { nid: NID_ANY },
        segments: [{ memory: this.memory, offset: 0, length: bufferSize }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT | MdOption.MAX_SIZE,
        maxSize: requestSizeMax,
        autoUnlink: true,
      },
      (event) => this.#onEvent(event),
    );
  }

  closed(): void {
    this.#linked = false;
  }

  unlink(): void {
    if (this.#linked) this.#handle?.unlink();
  }

  #onEvent(event: LnetEvent): void {
    // A hold, so that a request that is done at once cannot re-post the buffer within its own event.
    this.#users++;
    if (event.type === 'put' && event.status === 0) {
      this.#users++;
      const bytes = this.memory.bytes.subarray(event.offset, event.offset + event.mlength);
      this.#options.onRequest(event, bytes, this);
    }
    if (event.unlinked) this.#linked = false;
    this.release();
  }

  /** One message less that is needed. */
  release(): void {
    this.#users--;
    if (this.#users === 0 && !this.#linked) this.#onIdle();
  }
}
