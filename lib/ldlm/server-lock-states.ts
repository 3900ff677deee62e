/** A server's lock (guide 08 §11). */
import { defineAutomaton } from '../runtime/automaton.ts';

export type ServerLockState = 'NEW' | 'WAITING' | 'GRANTED' | 'BLOCKING' | 'CANCELLED';
/** `conflict`: another lock waits for this one. `expire`: the holder did not cancel in time. */
export type ServerLockEvent = 'grant' | 'block' | 'conflict' | 'convert' | 'cancel' | 'expire';
export type ServerLockAction = 'tellGranted' | 'sendBlocking' | 'stopTimer' | 'evictHolder';

export const serverLockStates = defineAutomaton<ServerLockState, ServerLockEvent, ServerLockAction>({
  name: 'lock (server)',
  initial: 'NEW',
  states: {
    NEW: {
      grant: { to: 'GRANTED' },
      block: { to: 'WAITING' },
      cancel: { to: 'CANCELLED' },
    },
    WAITING: {
      grant: { to: 'GRANTED', do: ['tellGranted'] },
      cancel: { to: 'CANCELLED' },
    },
    GRANTED: {
      conflict: { to: 'BLOCKING', do: ['sendBlocking'] },
      convert: { to: 'GRANTED' },
      cancel: { to: 'CANCELLED' },
    },
    BLOCKING: {
      // One blocking AST a lock, however many wait for it (guide 08 §4.3).
      conflict: { to: 'BLOCKING' },
      convert: { to: 'GRANTED', do: ['stopTimer'] },
      cancel: { to: 'CANCELLED', do: ['stopTimer'] },
      expire: { to: 'BLOCKING', do: ['evictHolder'] },
    },
    CANCELLED: {},
  },
});
