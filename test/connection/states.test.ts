/** The import and export tables by themselves: what can be reached, what ends where (guide 05 §2.4, §3). */
import { expect, test } from 'vitest';
import { exportStates } from '../../lib/connection/export-states.ts';
import { importStates } from '../../lib/connection/import-states.ts';
import { Automaton, type AutomatonTable, mermaid } from '../../lib/runtime/automaton.ts';

type AnyTable = AutomatonTable<string, string, string>;

function reachable(table: AnyTable): Set<string> {
  const seen = new Set([table.initial]);
  for (const state of seen) for (const row of Object.values(table.states[state]!)) seen.add(row!.to);
  return seen;
}

test.each([
  ['import', importStates as AnyTable, ['CLOSED']],
  ['export', exportStates as AnyTable, ['CLOSED', 'EVICTED']],
] as const)('%s: every state is reached and only the last ones end', (_, table, last) => {
  expect([...reachable(table)].sort()).toEqual(Object.keys(table.states).sort());
  const ends = Object.entries(table.states).filter(([, rows]) => Object.keys(rows).length === 0);
  expect(ends.map(([state]) => state).sort()).toEqual([...last]);
  expect(mermaid(table)).toContain(`[*] --> ${table.initial}`);
});

test('every import but a closed one can be closed, and every one in use can be lost', () => {
  for (const [state, rows] of Object.entries(importStates.states)) {
    expect('close' in rows, state).toBe(state !== 'CLOSED');
    const inUse = ['REPLAY', 'REPLAY_LOCKS', 'REPLAY_WAIT', 'RECOVER', 'FULL', 'EVICTED'].includes(state);
    expect('lost' in rows, state).toBe(inUse);
  }
});

test('an event out of turn is an error with a name', () => {
  const actions = new Proxy({}, { get: () => () => {} }) as Record<string, () => void>;
  const automaton = new Automaton(importStates as AnyTable, 'demo-MDT0000', actions);
  expect(() => automaton.dispatch('recovered', undefined)).toThrow(
    'import demo-MDT0000: event recovered is not expected in state NEW',
  );
});
