/** What a fill asks the server for: the object's bytes, in as few RPCs as can be. */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import type { Segment } from '../../lnet/network.ts';
import { settle } from '../objects/direct-io.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { cutRun, rpcSize } from '../osc/brw.ts';
import { read } from '../osc/read.ts';
import type { Owner } from '../osc/stripe-object.ts';
import { zeroFrom } from './fill-plan.ts';

export interface Missing {
  readonly start: number;
  /** Where the bytes go. */
  readonly segments: readonly Segment[];
  /** The object's: what is behind it is zeroes. */
  readonly size: number;
  readonly lock: ClientLock;
}

export async function readMissing(
  { ost, object }: Stripe,
  { start, segments, size, lock }: Missing,
  { owner, now }: { readonly owner: Owner; now(): number },
): Promise<void> {
  const time = BigInt(now());
  await settle(
    cutRun(start, segments, rpcSize(ost.granted)).map(async (part) => {
      const there = Math.min(Math.max(size - part.offset, 0), part.length);
      const request = { object, part, lockHandle: lock.serverHandle, owner, time };
      zeroFrom(part.segments, there === 0 ? 0 : await read(ost, request), part.length);
    }),
  );
}
