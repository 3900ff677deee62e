/** What an import remembers of a server that does not commit: bounded, whatever it says. */
import { expect, test } from 'vitest';
import { ReplayList } from '../../lib/connection/replay-list.ts';
import { RQF_OBD_PING } from '../../lib/wire/formats.ts';

const MANY = 600_000;

test('a server that never commits makes no list of those to be told without end', () => {
  const list = new ReplayList();
  const told = new Set<number>();
  for (let i = 1; i <= MANY; i++) list.addUnkept(BigInt(i), () => told.add(i));
  expect(list.giveUpUnkept()).toBe(true);
  expect(told.size).toBeLessThan(300_000);
  // The newest, which are the least likely to be on disk.
  expect(told.has(MANY)).toBe(true);
});

test('who is told is told once, and not of what is on disk', () => {
  const list = new ReplayList();
  const told: string[] = [];
  list.addUnkept(2n, () => told.push('b'));
  list.addUnkept(1n, () => told.push('a'));
  list.committed(1n);
  list.addUnkept(1n, () => told.push('late'));
  list.clear(true);
  list.clear(true);
  expect(list.giveUpUnkept()).toBe(true);
  expect(told).toEqual(['b']);
});

test('what is kept is let go of once: committed, refused or forgotten', () => {
  const list = new ReplayList();
  const released: bigint[] = [];
  const lost: bigint[] = [];
  const add = (transno: bigint) => {
    const transaction = {
      transno,
      xid: Number(transno),
      mbits: 0,
      tag: 0,
      opcode: 4,
      format: RQF_OBD_PING,
      request: {},
      current: undefined,
      requestPortal: 6,
      replyPortal: 4,
      replySize: 0,
      status: 0,
      preVersions: [],
      makes: undefined,
      ends: undefined,
      bulk: undefined,
      release: () => void released.push(transno),
      lost: () => void lost.push(transno),
    };
    list.add(transaction);
    return transaction;
  };
  add(1n);
  const refused = add(2n);
  add(3n);
  list.committed(1n);
  list.drop(refused);
  list.drop(refused);
  list.clear();
  list.committed(9n);
  expect([released, lost]).toEqual([[1n, 2n, 3n], [2n]]);
});
