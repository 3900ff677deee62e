/** Replies kept for resends (guide 06 §7.2). */
import { expect, it } from 'vitest';
import { ReplyData } from '../../lib/connection/reply-data.ts';

it('keeps the last reply of each slot until the client has it, in memory that is used again', () => {
  const replies = new ReplyData();
  replies.keep(3, 10n, new Uint8Array([1, 2, 3]));
  replies.keep(1, 11n, new Uint8Array(5000).fill(7));
  expect([replies.size, replies.xidOf(3), replies.xidOf(2), replies.xidOf(1)]).toEqual([2, 10n, 0, 11n]);
  expect(replies.find(10n)).toEqual(new Uint8Array([1, 2, 3]));
  replies.release(10n);
  expect([replies.size, replies.find(10n), replies.find(0)]).toEqual([1, undefined, undefined]);
  expect(replies.find(11n)).toEqual(new Uint8Array(5000).fill(7));
  replies.keep(3, 12n, new Uint8Array([4]));
  expect(replies.find(12n)).toEqual(new Uint8Array([4]));
  replies.keep(3, 13n, new Uint8Array(600).fill(5));
  expect([replies.size, replies.find(12n)]).toEqual([2, undefined]);
  expect(replies.find(13n)).toEqual(new Uint8Array(600).fill(5));
  replies.release(20n);
  expect([replies.size, replies.xidOf(1), replies.xidOf(3)]).toEqual([0, 0, 0]);
});
