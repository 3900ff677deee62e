/** Pieces of a copy, as many at once as its window says. */
import type { ByteBudget } from './byte-budget.ts';
import type { FlightWindow } from './flight-window.ts';

/** A part of a copy that is done by itself. */
export interface Piece {
  readonly bytes: number;
  run(): Promise<void>;
}

/**
 * Begins pieces until `next` has no more, and resolves when all have ended. `next` is told whether none is under way, and may have
 * one later when it has none beside others. Each waits for its part of the budget of all copies. The first failure counts:
 * nothing is begun after it, and it is thrown when what was under way has ended.
 */
export function keepInFlight(
  window: FlightWindow,
  budget: ByteBudget,
  next: (alone: boolean) => Piece | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let inFlight = 0;
    let bytes = 0;
    let failed = false;
    let failure: unknown;
    let waiting: Piece | undefined;
    const fail = (error: unknown): void => {
      if (!failed) failure = error;
      failed = true;
    };
    const run = async (piece: Piece): Promise<void> => {
      const flight = window.sent(piece.bytes);
      await piece.run();
      window.arrived(flight);
    };
    const begin = (piece: Piece): void => {
      inFlight++;
      bytes += piece.bytes;
      budget
        .run(piece.bytes, () => (failed ? Promise.resolve() : run(piece)))
        .catch(fail)
        .finally(() => {
          inFlight--;
          bytes -= piece.bytes;
          advance();
        });
    };
    const take = (): Piece | undefined => {
      try {
        return failed ? undefined : (waiting ?? next(inFlight === 0));
      } catch (error) {
        fail(error);
        return undefined;
      }
    };
    const advance = (): void => {
      for (let piece = take(); piece !== undefined; piece = take()) {
        waiting = piece;
        if (inFlight > 0 && bytes + piece.bytes > window.size(piece.bytes)) return;
        waiting = undefined;
        begin(piece);
      }
      if (inFlight > 0) return;
      if (failed) reject(failure);
      else resolve();
    };
    advance();
  });
}
