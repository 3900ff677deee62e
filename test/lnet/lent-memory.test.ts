/** Memory that one thread lends another: the same bytes, for as long as both say, and not longer. */

import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { BorrowedMemory, MemoryLender } from '../../lib/lnet/lent-memory.ts';
import { openNativeEndpoint } from '../../lib/lnet/native-network.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';

const program = (name: string) => fileURLToPath(new URL(`./programs/${name}`, import.meta.url));

describe('lent memory', () => {
  it('is one memory under two buffers, until it is given back', () => {
    const lender = new MemoryLender();
    const pool = Buffer.alloc(64, 1);
    const number = lender.lend(pool.subarray(8, 24));
    const loan = new BorrowedMemory(number);
    expect([loan.bytes.length, loan.bytes[0]]).toEqual([16, 1]);
    loan.bytes.fill(2);
    pool[9] = 3;
    expect([pool[7], pool[8], pool[23], pool[24], loan.bytes[1]]).toEqual([1, 2, 2, 1, 3]);
    const view = loan.bytes.subarray(4);
    expect(loan.giveBack()).toBeUndefined();
    expect([view.length, loan.bytes.length, pool[12]]).toEqual([0, 0, 2]);
    lender.takeBack(number);
    expect(() => new BorrowedMemory(number)).toThrow(expect.objectContaining({ code: 'EFAULT' }));
  });

  it('crosses threads, and the lender may read what the borrower wrote', async () => {
    const lender = new MemoryLender();
    const bytes = new Uint8Array(1 << 16);
    const number = lender.lend(bytes);
    const worker = new Worker(program('worker.mjs'), {
      workerData: { program: program('borrower.ts'), number },
    });
    const sum = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    lender.takeBack(number);
    expect(bytes.reduce((total, byte) => total + byte, 0)).toBe(sum);
    expect(sum).toBeGreaterThan(0);
  });

  it('is not given back while an endpoint may work on it', async () => {
    const endpoint = await openNativeEndpoint(nodeRuntime(), { nid: '127.0.0.1@tcp', listen: '127.0.0.1:0' });
    const lender = new MemoryLender();
    const bytes = new Uint8Array(4096);
    const loan = new BorrowedMemory(lender.lend(bytes));
    const first = endpoint.pin(loan.bytes);
    const second = endpoint.pin(loan.bytes.subarray(100));
    let back = false;
    const giving = loan.giveBack()?.then(() => {
      back = true;
    });
    first.release();
    await Promise.resolve();
    expect([back, loan.bytes.length]).toEqual([false, 4096]);
    second.release();
    await giving;
    expect([back, loan.bytes.length]).toEqual([true, 0]);
    const third = new BorrowedMemory(lender.lend(bytes));
    endpoint.pin(third.bytes);
    const closing = third.giveBack();
    await endpoint.close();
    await closing;
    expect(third.bytes.length).toBe(0);
  });

  it('is refused where it could shrink', () => {
    const lender = new MemoryLender();
    expect(() => lender.lend(new Uint8Array(new SharedArrayBuffer(8)))).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
  });
});
