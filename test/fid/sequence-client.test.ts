import { describe, expect, it } from 'vitest';
import { formatFid, makeFid, ROOT_FID } from '../../lib/fid/fid.ts';
import { LocationClient } from '../../lib/fid/location-client.ts';
import { SequenceClient } from '../../lib/fid/sequence-client.ts';
import type { Caller, Reply } from '../../lib/rpc/rpc.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import type { Format, RequestInputs } from '../../lib/wire/format.ts';

/** A caller that answers from a function and remembers what it was asked. */
function answering(answer: (request: Record<string, unknown>) => unknown): Caller & { asked: unknown[] } {
  const asked: unknown[] = [];
  return {
    asked,
    async call<F extends Format>(_format: F, request: RequestInputs<F>): Promise<Reply<F>> {
      asked.push(request);
      const values = answer(request as Record<string, unknown>);
      return { values, status: 0, xid: 1, transno: 0n, bulkBytes: 0 } as Reply<F>;
    },
  };
}

describe('SequenceClient', () => {
  it('uses a sequence up, then asks for the next one', async () => {
    let next = 0x200000403n;
    const caller = answering(() => ({
      seq_range: { lsr_start: next++, lsr_end: next, lsr_index: 0, lsr_flags: 0 },
    }));
    const fids = new SequenceClient(caller, nodeRuntime(), 2);
    const names = [];
    for (let i = 0; i < 5; i++) names.push(formatFid(await fids.allocate()));
    expect(names).toEqual([
      '[0x200000403:0x1:0x0]',
      '[0x200000403:0x2:0x0]',
      '[0x200000404:0x1:0x0]',
      '[0x200000404:0x2:0x0]',
      '[0x200000405:0x1:0x0]',
    ]);
    expect(caller.asked).toHaveLength(3);
  });

  it('asks once for allocations that come together and gives no FID twice', async () => {
    const caller = answering(() => ({ seq_range: { lsr_start: 0x200000403n, lsr_end: 0x200000404n } }));
    const fids = new SequenceClient(caller, nodeRuntime());
    const all = await Promise.all(Array.from({ length: 50 }, () => fids.allocate()));
    expect(new Set(all.map(formatFid)).size).toBe(50);
    expect(caller.asked).toHaveLength(1);
  });

  it('does not go on with a sequence after a disconnect', async () => {
    let next = 0x200000403n;
    const caller = answering(() => ({ seq_range: { lsr_start: next++, lsr_end: next } }));
    const fids = new SequenceClient(caller, nodeRuntime());
    await fids.allocate();
    fids.drop();
    expect(formatFid(await fids.allocate())).toBe('[0x200000404:0x1:0x0]');
  });

  it('refuses an empty or special range', async () => {
    const caller = answering(() => ({ seq_range: { lsr_start: 7n, lsr_end: 8n } }));
    await expect(new SequenceClient(caller, nodeRuntime()).allocate()).rejects.toThrow(/SEQ_QUERY answered/);
  });
});

describe('LocationClient', () => {
  const range = (start: bigint, end: bigint, index: number) => ({
    fld_mdfld: { lsr_start: start, lsr_end: end, lsr_index: index, lsr_flags: 0 },
  });

  it('asks nobody when there is one MDT', async () => {
    const only = answering(() => range(0n, 0n, 9));
    expect(await new LocationClient(new Map([[0, only]])).locate(makeFid(0x200000403n, 1))).toBe(0);
    expect(only.asked).toHaveLength(0);
  });

  it('asks MDT seq % count once and keeps the range (captures 02 pkt 107, 210)', async () => {
    const mdt0 = answering(() => range(0x240000400n, 0x280000400n, 1));
    const mdt1 = answering(() => range(0x200000400n, 0x240000400n, 0));
    const fld = new LocationClient(
      new Map([
        [0, mdt0],
        [1, mdt1],
      ]),
    );
    expect(await fld.locate(makeFid(0x200000403n, 1))).toBe(0);
    expect(await fld.locate(makeFid(0x200000777n, 5))).toBe(0);
    expect(await fld.locate(makeFid(0x240000402n, 1))).toBe(1);
    expect([mdt0.asked.length, mdt1.asked.length]).toEqual([1, 1]);
    expect(mdt1.asked[0]).toMatchObject({ fld_opc: 2, fld_mdfld: { lsr_start: 0x200000403n } });
  });

  it('moves on from a target that is down, and refuses an MDT that does not exist', async () => {
    const down = answering(() => {
      throw errnoError(-108);
    });
    const up = answering(() => range(7n, 8n, 5));
    const fld = new LocationClient(
      new Map([
        [0, down],
        [1, up],
      ]),
    );
    await expect(fld.locate(ROOT_FID)).rejects.toThrow(/unknown MDT 5/);
    expect(up.asked).toHaveLength(1);
  });
});
