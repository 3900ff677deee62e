/** The books of grants (guide 12 §7): sums always agree, nothing is promised twice, and a kernel client's numbers come out. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BulkMemory } from '../../../lib/server/oss/bulk-memory.ts';
import { Grants } from '../../../lib/server/oss/grants.ts';
import { MdValid } from '../../../lib/wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../../lib/wire/ost-constants.ts';
import { type NiobufRemote, Obdo } from '../../../lib/wire/ost-structs.ts';
import type { StructInput } from '../../../lib/wire/struct.ts';

const MIB = 1 << 20;
const both = MdValid.OBD_MD_FLBLOCKS | MdValid.OBD_MD_FLGRANT;
const obdo = (fields: StructInput<typeof Obdo> = {}): Obdo =>
  Obdo.decode(Obdo.encode({ o_valid: both, ...fields }));
const niobuf = (
  offset: number,
  length: number,
  flags: number = BrwFlag.OBD_BRW_FROM_GRANT,
): NiobufRemote => ({
  rnb_offset: BigInt(offset),
  rnb_len: length,
  rnb_flags: flags,
});
const connect = { wants: 0x8000000, brwSize: 4 * MIB, parameters: true, reconnect: false };

describe('grants', () => {
  it('are at connect what a kernel OST gave in captures/01', () => {
    const grants = new Grants();
    expect(grants.connect('c', { ...connect, available: 1786172 * 1024 })).toBe(0x80c000);
    expect(new Grants().connect('c', { ...connect, available: 8 * MIB })).toBe(MIB);
    expect(new Grants().connect('c', { ...connect, wants: 0x80000000, available: 1 << 30 })).toBe(0);
    const again = new Grants();
    expect(again.connect('c', { ...connect, reconnect: true, available: 1 << 30 })).toBe(0x8000000);
  });

  it('are taken back on request only when space is short', () => {
    const grants = new Grants();
    const granted = grants.connect('c', { ...connect, available: 1 << 30 });
    const offer = obdo({
      o_valid: both | MdValid.OBD_MD_FLFLAGS,
      o_flags: ObdoFlag.OBD_FL_SHRINK_GRANT,
      o_grant: 4096n,
    });
    expect(grants.shrink('c', offer, 1 << 30)).toBe(4096);
    expect(grants.shrink('c', offer, MIB)).toBe(0);
    expect(grants.totalGranted).toBe(granted - 4096);
  });

  it('are not accounted a second time for what is sent again', () => {
    const grants = new Grants();
    grants.connect('c', { ...connect, available: 1 << 30 });
    const before = grants.totalGranted;
    const resent = obdo({ o_valid: both | MdValid.OBD_MD_FLFLAGS, o_flags: ObdoFlag.OBD_FL_RECOV_RESEND });
    expect(grants.charge('c', resent, [niobuf(0, MIB)], 1 << 30)).toEqual({ allowed: [true], used: 0 });
    expect(grants.totalGranted).toBe(before);
  });

  it('agree with their sums whatever clients say', () => {
    const step = fc.record({
      client: fc.constantFrom('a', 'b', 'c'),
      what: fc.constantFrom('connect', 'write', 'read', 'drop', 'shrink'),
      wants: fc.nat(0xffffffff),
      dirty: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      dropped: fc.nat(0xffffffff),
      used: fc.bigInt({ min: 0n, max: 1n << 40n }),
      grant: fc.bigInt({ min: 0n, max: 1n << 40n }),
      length: fc.integer({ min: 1, max: 16 * MIB }),
      flags: fc.constantFrom(0, BrwFlag.OBD_BRW_FROM_GRANT),
      available: fc.integer({ min: 0, max: 1 << 30 }),
      failed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const grants = new Grants();
        for (const s of steps) {
          const oa = obdo({
            o_blocks: s.dirty,
            o_misc: s.dropped,
            o_data_version: s.used,
            o_grant: s.grant,
            o_mode: s.wants,
          });
          if (s.what === 'connect')
            grants.connect(s.client, { ...connect, wants: s.wants, available: s.available });
          if (s.what === 'drop') grants.drop(s.client);
          if (s.what === 'read') grants.read(s.client, oa, s.available);
          if (s.what === 'shrink')
            grants.shrink(s.client, { ...oa, o_valid: both | 0x800n, o_flags: 0x20000 }, s.available);
          if (s.what === 'write') {
            const before = grants.totalGranted;
            const charge = grants.charge(s.client, oa, [niobuf(0, s.length, s.flags)], s.available);
            // Space that nobody was promised is not used beyond what there is.
            expect(grants.totalGranted).toBeLessThanOrEqual(Math.max(before, s.available));
            grants.settle(s.client, charge);
            const more = grants.replenish(s.client, oa, s.available);
            if (s.failed) grants.takeBack(s.client, more);
          }
          const sum = ['a', 'b', 'c'].reduce((total, c) => total + (grants.ledger(c)?.granted ?? 0), 0);
          expect(grants.totalGranted).toBe(sum);
          expect(grants.totalPending).toBe(0);
          for (const c of ['a', 'b', 'c']) expect(grants.ledger(c)?.granted ?? 0).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe('bulk memory', () => {
  it('is bounded, reused last in first out, and given in order', async () => {
    let allocated = 0;
    const allocate = (bytes: number) => {
      allocated += bytes;
      const release = () => {
        allocated -= bytes;
      };
      return { bytes: new Uint8Array(bytes), release };
    };
    const memory = new BulkMemory({ allocate }, 4 * MIB);
    const first = await memory.take(3 * MIB + 5);
    expect(first.segments.map((s) => s.length)).toEqual([MIB, MIB, MIB, 5]);
    const order: string[] = [];
    const taken = async (bytes: number, name: string) => {
      const buffer = await memory.take(bytes);
      order.push(name);
      return buffer;
    };
    const big = taken(4 * MIB, 'big');
    const small = taken(10, 'small');
    expect(allocated).toBe(4 * MIB);
    first.release();
    (await big).release();
    const last = await small;
    expect(order).toEqual(['big', 'small']);
    expect(allocated).toBe(4 * MIB);
    await expect(memory.take(5 * MIB)).rejects.toThrow(/exceed/);
    memory.close();
    last.release();
    expect(allocated).toBe(0);
  });
});
