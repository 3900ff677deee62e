/**
 * The lock managers: enqueue and cancel per second on one resource and among a million that are locked already (the cost may
 * not grow), and the memory of a lock that is kept, on each side.
 */
import type { LockRates } from './lock-rates.ts';
import { type Row, row, startBench } from './measure.ts';

/** Of the heap, for a lock that is kept; more than it takes, so that collecting garbage is not what is measured. */
const HEAP_PER_LOCK = 4096;
const HEAP_LEAST_MIB = 2048;

export async function benchLocks(rounds: number, count: number, kept: number): Promise<Row[]> {
  const heapMiB = Math.max(HEAP_LEAST_MIB, Math.ceil((kept * HEAP_PER_LOCK) / (1 << 20)));
  const options = ['--expose-gc', `--max-old-space-size=${heapMiB}`];
  const rows: Row[] = [];
  for (const side of ['server', 'client']) {
    const running = startBench('lock-rates', [side, rounds, count, kept].map(String), options);
    const { alone, among, bytesPerLock } = JSON.parse(await running.line()) as LockRates;
    await running.stop();
    const what = `${side}: enqueue+cancel`;
    rows.push(row('locks', `${what}, one resource`, alone, '/s'));
    rows.push(
      row('locks', `${what}, among ${kept} locked resources`, among, '/s', {
        name: 'one resource',
        value: alone,
      }),
    );
    rows.push(row('locks', `${side}: memory of a lock that is kept`, bytesPerLock, 'B'));
  }
  return rows;
}
