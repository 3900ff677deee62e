/** Adaptive timeouts, XIDs and slots by themselves (guide 04 §3, §8, §9). */
import { expect, test } from 'vitest';
import { Slots } from '../../lib/connection/request-slots.ts';
import {
  defaultTimeouts,
  Estimator,
  requestTimeout,
  silenceLimitMs,
} from '../../lib/rpc/adaptive-timeout.ts';
import { UnderWay } from '../../lib/rpc/under-way.ts';
import { UnrepliedList, XidAllocator } from '../../lib/rpc/xid.ts';

test('an estimate is the worst of ten minutes, within its bounds', () => {
  const estimator = new Estimator(defaultTimeouts, 5);
  expect(estimator.current).toBe(5);
  estimator.measure(40, 0);
  estimator.measure(7, 1000);
  expect(estimator.current).toBe(40);
  estimator.measure(7, 599_000);
  expect(estimator.current).toBe(40);
  estimator.measure(7, 601_000);
  expect(estimator.current).toBe(7);
  estimator.measure(100_000, 602_000);
  expect(estimator.current).toBe(600);
  estimator.measure(0, 603_000);
  estimator.measure(1, 5_000_000);
  expect(estimator.current).toBe(5);
});

test('request timeouts and silence are as captured kernels have them', () => {
  expect(requestTimeout(5)).toBe(11);
  expect(silenceLimitMs(defaultTimeouts, 5, 1) / 1000).toBeCloseTo(72.5, 0);
});

test('XIDs start at the time, are multiples of 128 and grow', () => {
  const xids = new XidAllocator(1_767_225_600_123);
  const first = xids.next();
  expect(Math.floor(first / 2 ** 20)).toBe(1_767_225_600);
  expect(first % 128).toBe(0);
  expect(xids.next()).toBe(first + 128);
});

test('pb_last_xid stays below the oldest request without reply', () => {
  const list = new UnrepliedList();
  expect(list.lastXid()).toBe(0);
  for (const xid of [128, 256, 384]) list.add(xid);
  list.remove(256);
  expect(list.lastXid()).toBe(127);
  list.remove(128);
  expect(list.lastXid()).toBe(383);
});

test('slots are given lowest first, in order of asking, and can be resized', async () => {
  const slots = new Slots(2);
  expect([await slots.take(), await slots.take()]).toEqual([1, 2]);
  const third = slots.take();
  const aborter = new AbortController();
  const aborted = expect(slots.take(aborter.signal)).rejects.toThrow();
  const fifth = slots.take();
  aborter.abort();
  await aborted;
  slots.give(2);
  expect(await third).toBe(2);
  slots.resize(3);
  expect(await fifth).toBe(3);
  slots.resize(1);
  slots.give(3);
  slots.give(2);
  slots.give(1);
  expect(await slots.take()).toBe(1);
});

test('an urgent one has a slot beyond the others when none is free, one at a time, and shares theirs', async () => {
  const slots = new Slots(2);
  expect([slots.tryTake(), slots.tryTake(), slots.tryTake()]).toEqual([1, 2, 0]);
  expect([slots.tryTake(true), slots.tryTake(true)]).toEqual([3, 0]);
  const ordinary = slots.take();
  const first = slots.take(undefined, true);
  const second = slots.take(undefined, true);
  // The one beyond is free again: only an urgent one may have it.
  slots.give(3, true);
  expect(await first).toBe(3);
  slots.give(1);
  expect(await ordinary).toBe(1);
  slots.give(2);
  expect(await second).toBe(2);
  // A slot that is in use already is not given out again when the count grows over it.
  slots.resize(3);
  expect(slots.tryTake()).toBe(0);
  slots.give(3, true);
  slots.give(2, true);
  expect([slots.tryTake(), slots.tryTake(), slots.tryTake()]).toEqual([2, 3, 0]);
});

test('one XID that waits holds pb_last_xid down, however many others come and go behind it', () => {
  const list = new UnrepliedList();
  list.add(128);
  for (let xid = 256; xid < 128 * 20_000; xid += 128) {
    list.add(xid);
    list.add(xid);
    if (xid % 1024 !== 0) list.remove(xid);
    list.remove(xid - 1);
  }
  expect(list.lastXid()).toBe(127);
  expect(list.size).toBe(1 + 2499);
  list.remove(128);
  expect(list.lastXid()).toBe(1023);
  for (let xid = 1024; xid < 128 * 20_000; xid += 1024) list.remove(xid);
  expect(list.size).toBe(0);
  expect(list.lastXid()).toBe(0);
});

test('places are used again, and what ends while all are looked at is passed over', () => {
  const underWay = new UnderWay<string>();
  const [a, b] = [underWay.add('a'), underWay.add('b')];
  underWay.add('c');
  underWay.remove(a);
  underWay.remove(a);
  expect(underWay.add('d')).toBe(a);
  const seen: string[] = [];
  for (const item of underWay) {
    seen.push(item);
    underWay.remove(b);
  }
  expect(seen).toEqual(['d', 'c']);
  expect(underWay.size).toBe(2);
});
