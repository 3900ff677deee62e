/** Which MDT is asked where a FID is, when one of them is out of use. */
import { expect, it } from 'vitest';
import { LocationClient } from '../../lib/fid/location-client.ts';
import type { Caller } from '../../lib/rpc/rpc.ts';
import { Errno, errnoError } from '../../lib/runtime/errors.ts';

const FID = { f_seq: 0x2_4000_0400n, f_oid: 1, f_ver: 0 };

it.each(['EIO', 'ENOTCONN', 'ESHUTDOWN'] as const)('asks another MDT where one answers %s', async (code) => {
  const asked: number[] = [];
  const mdt = (index: number): Caller =>
    ({
      async call() {
        asked.push(index);
        if (asked.length === 1) throw errnoError(Errno[code]);
        const range = { lsr_start: 0x2_4000_0400n, lsr_end: 0x2_8000_0400n, lsr_index: 1, lsr_flags: 0 };
        return { values: { fld_mdfld: range } };
      },
    }) as object as Caller;
  const location = new LocationClient(new Map([0, 1].map((index) => [index, mdt(index)])));
  expect(await location.locate(FID)).toBe(1);
  expect(asked).toHaveLength(2);
  expect(await location.locate(FID)).toBe(1);
  expect(asked).toHaveLength(2);
});
