/** The lock tables by themselves: what can be reached, what ends where (guide 08 §11). */
import { expect, test } from 'vitest';
import { clientLockStates } from '../../lib/ldlm/client-lock-states.ts';
import { serverLockStates } from '../../lib/ldlm/server-lock-states.ts';
import type { AutomatonTable } from '../../lib/runtime/automaton.ts';

type AnyTable = AutomatonTable<string, string, string>;

test.each([
  ['client', clientLockStates as AnyTable, 'DESTROYED'],
  ['server', serverLockStates as AnyTable, 'CANCELLED'],
] as const)('%s: every state is reached, and ends in the one last state', (_, table, last) => {
  const seen = new Set([table.initial]);
  for (const state of seen) for (const row of Object.values(table.states[state]!)) seen.add(row!.to);
  expect([...seen].sort()).toEqual(Object.keys(table.states).sort());
  const leads = (from: string, through = new Set<string>()): boolean =>
    from === last ||
    (!through.has(from) &&
      Object.values(table.states[from]!).some((row) => leads(row!.to, new Set([...through, from]))));
  for (const state of Object.keys(table.states)) expect(leads(state), state).toBe(true);
  expect(Object.keys(table.states[last]!)).toEqual([]);
});

test('an eviction ends a client’s lock wherever it is', () => {
  for (const [state, rows] of Object.entries(clientLockStates.states))
    expect('lost' in rows, state).toBe(state !== 'DESTROYED');
});

test('a server can cancel a lock wherever it is', () => {
  for (const [state, rows] of Object.entries(serverLockStates.states))
    expect('cancel' in rows, state).toBe(state !== 'CANCELLED');
});
