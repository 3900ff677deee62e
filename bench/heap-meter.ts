/** What the JavaScript heap of a thread was asked for between two moments, whatever was collected meanwhile; also of a child's. */
import { createInterface } from 'node:readline';
import { GCProfiler, getHeapStatistics } from 'node:v8';

export interface HeapUse {
  /** Bytes allocated. */
  readonly bytes: number;
  /** Milliseconds spent collecting. */
  readonly collecting: number;
}

export class HeapMeter {
  readonly #profiler = new GCProfiler();
  readonly #before: number;

  constructor() {
    this.#profiler.start();
    this.#before = getHeapStatistics().used_heap_size;
  }

  stop(): HeapUse {
    let bytes = getHeapStatistics().used_heap_size - this.#before;
    let micros = 0;
    for (const { beforeGC, afterGC, cost } of this.#profiler.stop()?.statistics ?? []) {
      bytes += beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize;
      micros += cost;
    }
    return { bytes, collecting: micros / 1000 };
  }
}

export interface Meter<T> {
  stop(): T;
}

/** In the child: each line of input (`Running.ask`) starts a meter, or stops it and prints what it says. */
export async function answerMeters(start: () => Meter<object>): Promise<void> {
  let meter: Meter<object> | undefined;
  for await (const _ of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(meter?.stop() ?? {})}\n`);
    meter = meter === undefined ? start() : undefined;
  }
}
