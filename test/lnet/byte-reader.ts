import type { Socket } from 'node:net';

/** Reads exact numbers of bytes from a socket. */
export class ByteReader {
  #bytes = Buffer.alloc(0);
  #ended: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    socket.on('data', (data: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, data]);
      this.#wake?.();
    });
    const end = () => {
      this.#ended ??= new Error('the socket was closed');
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  /** Rejects when the socket ends before. */
  async read(length: number): Promise<Buffer> {
    while (this.#bytes.length < length) {
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = Buffer.from(this.#bytes.subarray(0, length));
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }
}
