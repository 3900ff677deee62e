/** Writes to memory that the main thread has lent, and says what it wrote. */
import { parentPort, workerData } from 'node:worker_threads';
import { BorrowedMemory } from '../../../lib/lnet/lent-memory.ts';

const { number } = workerData as { number: number };
const loan = new BorrowedMemory(number);
loan.bytes.forEach((_, i) => {
  loan.bytes[i] = (i * 7) % 251;
});
const sum = loan.bytes.reduce((total, byte) => total + byte, 0);
await loan.giveBack();
parentPort?.postMessage(sum);
