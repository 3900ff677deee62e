/** Node streams over open files, with back-pressure: one read ahead of the consumer, one write behind the producer. */
import { Readable, Writable } from 'node:stream';
import type { FileHandle, StreamOptions } from './file-handle.ts';

/** Large pieces: each is at least one whole RPC. */
const HIGH_WATER_MARK = 4 << 20;
/** The first read of a file, which for most files is the only one; its buffers are kept, at most so many. */
const FIRST_READ = 1 << 20;
const SPARE_MAX = 16;
const spare: Buffer[] = [];
/** Pieces of a write stream that go in one write. */
const MERGE_MAX = 64;

export class LustreReadStream extends Readable {
  readonly #file: FileHandle;
  readonly #autoClose: boolean;
  #at: number;
  /** Of the last byte wanted. */
  #end: number;
  bytesRead = 0;

  constructor(file: FileHandle, options: StreamOptions) {
    const { signal, encoding } = options;
    super({
      highWaterMark: options.highWaterMark ?? HIGH_WATER_MARK,
      autoDestroy: true,
      ...(signal != null && { signal }),
      ...(encoding !== undefined && { encoding }),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#at = options.start ?? 0;
    this.#end = options.end ?? Number.MAX_SAFE_INTEGER;
  }

  override _read(size: number): void {
    const most = this.bytesRead === 0 ? Math.min(size, FIRST_READ) : size;
    const want = Math.min(Math.max(most, 65536), this.#end - this.#at + 1);
    if (want <= 0) {
      this.push(null);
      return;
    }
    const kept = want === FIRST_READ ? (spare.pop() ?? Buffer.allocUnsafeSlow(want)) : undefined;
    const buffer = kept ?? Buffer.allocUnsafeSlow(want);
    this.#file.read(buffer, { position: this.#at }).then(
      ({ bytesRead }) => {
        this.#at += bytesRead;
        this.bytesRead += bytesRead;
        // Only at the end of the file are there fewer bytes than were asked for.
        if (bytesRead < want) this.#end = this.#at - 1;
        // What is pushed belongs to the consumer: little is copied, and the buffer used again.
        const whole = kept === undefined || bytesRead > FIRST_READ / 2;
        const piece = whole ? buffer.subarray(0, bytesRead) : Buffer.from(buffer.subarray(0, bytesRead));
        if (!whole && spare.length < SPARE_MAX) spare.push(kept);
        this.push(bytesRead === 0 ? null : piece);
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    finish(this.#file, this.#autoClose, error, done);
  }
}

export class LustreWriteStream extends Writable {
  readonly #file: FileHandle;
  readonly #autoClose: boolean;
  #at: number;
  bytesWritten = 0;

  constructor(file: FileHandle, options: StreamOptions) {
    const { signal } = options;
    super({
      highWaterMark: options.highWaterMark ?? HIGH_WATER_MARK,
      autoDestroy: true,
      decodeStrings: true,
      ...(options.encoding !== undefined && { defaultEncoding: options.encoding }),
      ...(signal != null && { signal }),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#at = options.start ?? 0;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#write([chunk]).then(() => done(), done);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    const all = chunks.map(({ chunk }) => chunk);
    const write = async (): Promise<void> => {
      for (let i = 0; i < all.length; i += MERGE_MAX) await this.#write(all.slice(i, i + MERGE_MAX));
    };
    void write().then(() => done(), done);
  }

  async #write(chunks: Buffer[]): Promise<void> {
    const { bytesWritten } = await this.#file.writev(chunks, this.#at);
    this.#at += bytesWritten;
    this.bytesWritten += bytesWritten;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    finish(this.#file, this.#autoClose, error, done);
  }
}

function finish(
  file: FileHandle,
  autoClose: boolean,
  error: Error | null,
  done: (error?: Error | null) => void,
): void {
  if (!autoClose) {
    done(error);
    return;
  }
  file.close().then(
    () => done(error),
    (closing: Error) => done(error ?? closing),
  );
}
