/** What an MDT has OSTs do for it, as they see it: requests for runs of objects, and what stays queued when one fails. */
import { describe, expect, it } from 'vitest';
import type { Fid } from '../../../lib/fid/fid.ts';
import type { Caller } from '../../../lib/rpc/rpc.ts';
import { errnoError } from '../../../lib/runtime/errors.ts';
import { MDT_TABLES } from '../../../lib/server/mds/mdt.ts';
import { queueDestroy, queuedCount, queueOwner, workOff } from '../../../lib/server/mds/ost-work.ts';
import { openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import { RQF_OST_DESTROY } from '../../../lib/wire/formats.ts';
import { MdValid } from '../../../lib/wire/mds-constants.ts';

const object = (f_oid: number, f_seq = 0x2_0000_0400n): Fid => ({ f_seq, f_oid, f_ver: 0 });

interface Seen {
  readonly what: 'destroy' | 'owner';
  readonly oid: number;
  readonly seq: bigint;
  readonly count: number;
}

/** An OST that notes what it is asked, and refuses what `refuse` says. */
function ost(refuse: (seen: Seen) => number = () => 0): { readonly seen: Seen[]; readonly caller: Caller } {
  const seen: Seen[] = [];
  const call = async (format: unknown, values: unknown): Promise<unknown> => {
    const { oa } = (
      values as { ost_body: { oa: { o_valid: bigint; o_misc?: number; o_oi: { oi_fid: Fid } } } }
    ).ost_body;
    const several = (oa.o_valid & MdValid.OBD_MD_FLOBJCOUNT) !== 0n;
    const one: Seen = {
      what: format === RQF_OST_DESTROY ? 'destroy' : 'owner',
      oid: oa.o_oi.oi_fid.f_oid,
      seq: oa.o_oi.oi_fid.f_seq,
      count: several ? (oa.o_misc ?? 0) : 1,
    };
    seen.push(one);
    const errno = refuse(one);
    if (errno !== 0) throw errnoError(errno, { syscall: 'test' });
    return { values: {} };
  };
  return { seen, caller: { call } as Caller };
}

const owner = { uid: 1, gid: 2, projid: 3 };

describe('work for an OST', () => {
  const filled = async (destroys: readonly Fid[], owners: readonly Fid[] = []) => {
    const store = openMemoryStore({ tables: MDT_TABLES });
    await store.transact((tx) => {
      for (const one of owners) queueOwner(tx, 0, one, owner);
      for (const one of destroys) queueDestroy(tx, 0, one);
      queueDestroy(tx, 1, object(1));
    });
    return store;
  };

  it('destroys objects of consecutive numbers by one request', async () => {
    const runs = [...Array.from({ length: 70 }, (_, i) => i + 10), 100, 102, 103].map((n) => object(n));
    const store = await filled([...runs, object(104, 0x2_0000_0500n)], [object(90), object(103)]);
    const { seen, caller } = ost();
    await workOff(store, 0, caller);
    const asked = seen.map(
      ({ what, oid, seq, count }) => `${what} ${seq === object(0).f_seq ? '' : 'other '}${oid}+${count}`,
    );
    // One that goes needs no owner any more.
    expect(asked.sort()).toEqual(
      [
        'destroy 10+64',
        'destroy 74+6',
        'owner 90+1',
        'destroy 100+1',
        'destroy 102+2',
        'destroy other 104+1',
      ].sort(),
    );
    expect(queuedCount(store, 0)).toBe(0);
    expect(queuedCount(store, 1)).toBe(1);
  });

  it('takes what is not there for done, and keeps what failed', async () => {
    const store = await filled([object(1), object(2), object(10), object(20)]);
    const { seen, caller } = ost(({ oid }) => (oid === 1 ? 2 : oid === 20 ? 5 : 0));
    await expect(workOff(store, 0, caller)).rejects.toMatchObject({ code: 'EIO' });
    expect(seen).toHaveLength(3);
    expect(queuedCount(store, 0)).toBe(1);
    await workOff(store, 0, ost().caller);
    expect(queuedCount(store, 0)).toBe(0);
  });

  it('works off more than it reads at a time', async () => {
    const store = await filled(Array.from({ length: 1500 }, (_, i) => object(2 * i + 2)));
    const { seen, caller } = ost();
    await workOff(store, 0, caller);
    expect(seen).toHaveLength(1500);
    expect(queuedCount(store, 0)).toBe(0);
  });
});
