/** The table of restarted targets: the request of a kernel client, what comes for it, and tables that make no sense. */
import { describe, expect, it } from 'vitest';
import { decodeRecoveryPages, readRecoveryTable, recoveryRequest } from '../../lib/config/recovery-table.ts';
import type { Caller, CallOptions } from '../../lib/rpc/rpc.ts';
import { createSimulation } from '../../lib/sim/simulation.ts';
import { MgsNidtblEntry } from '../../lib/wire/connection-structs.ts';
import type { Format, ReplyValues, RequestInputs } from '../../lib/wire/format.ts';
import * as formats from '../../lib/wire/formats.ts';
import { buffersOf, capturedMessage, encoded } from '../client/captured.ts';

const READ = 256;
/** MDT0000 was started again as instance 4: what came for it (08 pkt 1099). */
const RESTARTED = Buffer.from(
  '0f0000000000000004000000000000002c00000001011401000200000a00020f000000000000000000000000',
  'hex',
);

/** An entry with `count` 64-bit NIDs; `length` may lie. */
function entry(version: number, count = 1, length = 24 + 8 * count): Buffer {
  const head = MgsNidtblEntry.encode({
    mne_version: BigInt(version),
    mne_instance: 7,
    mne_index: 3,
    mne_length: length,
    mne_type: 2,
    mne_nid_type: 0,
    mne_nid_size: 8,
    mne_nid_count: count,
  });
  const nids = Buffer.alloc(8 * count);
  for (let i = 0; i < count; i++) nids.writeBigUInt64LE(0x200000a000015n + BigInt(i), 8 * i);
  return Buffer.concat([head, nids]);
}

describe('the table of restarted targets', () => {
  it('is asked for as a kernel client does: all of it, then what is new', () => {
    expect(encoded(formats.RQF_MGS_CONFIG_READ, recoveryRequest('lab', 0n))).toEqual(
      buffersOf(capturedMessage('01-mount-df-umount', 61, READ)),
    );
    expect(encoded(formats.RQF_MGS_CONFIG_READ, recoveryRequest('lab', 14n))).toEqual(
      buffersOf(capturedMessage('08-recovery', 1095, READ)),
    );
  });

  it('names target, instance and NIDs', () => {
    expect(decodeRecoveryPages(RESTARTED, 14n, 15n)).toEqual([
      { kind: 'mdt', index: 0, instance: 4, nids: ['10.0.2.15@tcp'] },
    ]);
    const two = Buffer.concat([entry(1, 2), entry(5)]);
    expect(decodeRecoveryPages(two, 0n, 5n)).toEqual([
      { kind: 'ost', index: 3, instance: 7, nids: ['10.0.0.21@tcp', '10.0.0.22@tcp'] },
      { kind: 'ost', index: 3, instance: 7, nids: ['10.0.0.21@tcp'] },
    ]);
  });

  it.each([
    ['versions that do not grow', Buffer.concat([entry(2), entry(2)]), 5n],
    ['a version behind that of the reply', entry(6), 5n],
    ['no NIDs', entry(1, 0), 5n],
    ['an entry shorter than its NIDs', entry(1, 2, 30), 5n],
    ['an entry that leaves its page', entry(1, 1, 5000), 5n],
    ['an entry cut off', entry(1, 2).subarray(0, 30), 5n],
  ])('refuses %s', (_what, bytes, latest) => {
    expect(() => decodeRecoveryPages(bytes, 0n, latest)).toThrow(/EPROTO/);
  });
});

describe('reading the table', () => {
  const KNOWN = 3n;
  /** An MGS that answers each read with the next of these. */
  async function read(answers: readonly { pages: Buffer; offset: bigint; size: bigint }[], known = KNOWN) {
    const sim = createSimulation({ seed: 1 });
    const endpoint = await sim.network.open({ nid: '10.0.0.2@tcp' });
    const asked: bigint[] = [];
    const mgs: Caller = {
      call: async <F extends Format>(_: F, request: RequestInputs<F>, options?: CallOptions) => {
        const { mgs_config_body: body } = request as { mgs_config_body?: { mcb_offset: bigint } };
        const answer = answers[asked.length];
        asked.push(body?.mcb_offset ?? 0n);
        if (answer === undefined) throw new Error('one read too many');
        const [segment] = options?.bulk?.segments ?? [];
        if (segment !== undefined && 'memory' in segment)
          segment.memory.bytes.set(answer.pages, segment.offset);
        const values: object = { mgs_config_res: { mcr_offset: answer.offset, mcr_size: answer.size } };
        const bulkBytes = answer.pages.length;
        return { values: values as ReplyValues<F>, status: 0, xid: 0, transno: 0n, bulkBytes };
      },
    };
    const table = await readRecoveryTable(mgs, endpoint, 'lab', known);
    return { ...table, asked };
  }

  it('goes on until all is read, from where it was', async () => {
    const { entries, version, asked } = await read([
      { pages: Buffer.concat([entry(4), entry(5, 2)]), offset: 5n, size: 7n },
      { pages: entry(7), offset: 7n, size: 7n },
    ]);
    expect(asked).toEqual([4n, 6n]);
    expect(version).toBe(7n);
    expect(entries.map(({ nids }) => nids.length)).toEqual([1, 2, 1]);
  });

  it('takes nothing new for an answer', async () => {
    const { entries, version, asked } = await read([{ pages: Buffer.alloc(0), offset: 3n, size: 3n }]);
    expect([entries, version, asked]).toEqual([[], 3n, [4n]]);
  });

  it.each([
    ['ends before it begins', { pages: Buffer.alloc(0), offset: 9n, size: 7n }],
    ['goes back', { pages: Buffer.alloc(0), offset: 2n, size: 7n }],
    ['has an entry that is known', { pages: entry(3), offset: 5n, size: 7n }],
  ])('refuses one that %s', async (_what, answer) => {
    await expect(read([answer])).rejects.toMatchObject({ code: 'EPROTO', opcode: 'MGS_CONFIG_READ' });
  });

  it('ends with an MGS that never comes to an end', async () => {
    const endless = Array.from({ length: 200 }, (_, i) => ({
      pages: entry(4 + i),
      offset: BigInt(4 + i),
      size: 1_000_000n,
    }));
    const { asked } = await read(endless);
    expect(asked.length).toBeLessThanOrEqual(64);
  });
});
