/** What streams that read and streams that write an open file have in common. */
import type { SignalOption } from './operations.ts';
import type { FlightBounds, Transfers } from './transfers/transfers.ts';

export interface StreamOptions extends SignalOption {
  /** First byte; default 0, or the handle's position. */
  readonly start?: number;
  /** Last byte, inclusive (reading). */
  readonly end?: number;
  /** Bytes: of a piece that is read, at least (default 4 MiB); what a producer may have given that is not on its way (8 MiB).
   * Pieces that are written are of so many bytes, too, where it is less. */
  readonly highWaterMark?: number;
  readonly encoding?: BufferEncoding;
  /** Close the handle with the stream; default true. */
  readonly autoClose?: boolean;
}

/** What either needs of an open file. */
export interface StreamedFile {
  close(): Promise<void>;
  readonly transfers: Transfers;
  flightBounds(): Promise<FlightBounds>;
}

/** Ends `_destroy`. */
export function finish(
  file: StreamedFile,
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
