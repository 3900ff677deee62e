/** What the JavaScript heap of this thread was asked for between two moments, whatever was collected meanwhile. */
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
