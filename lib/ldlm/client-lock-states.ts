/** A client's lock (guide 08 §11). */
import { defineAutomaton } from '../runtime/automaton.ts';

export type ClientLockState =
  | 'SENT'
  | 'BLOCKED'
  | 'GRANTED'
  | 'CBPENDING'
  | 'CONVERTING'
  | 'FLUSHING'
  | 'CANCELLING'
  | 'DESTROYED';
/**
 * `blocked`: the enqueue reply says wait. `granted`: by the reply or a completion AST, whichever is first. `blocking`: a
 * blocking AST, or AST_SENT in a reply or completion AST. `idle`: the last reference was dropped on a lock that is
 * wanted back; `convert` the same, when part of its inode bits may stay. `converted`: what the others protected is dropped.
 * `abandon`: nobody waits for it any more. `lost`: the import was evicted. `flushed`: what the lock protected
 * is written and dropped.
 */
export type ClientLockEvent =
  | 'blocked'
  | 'granted'
  | 'blocking'
  | 'failed'
  | 'cancel'
  | 'idle'
  | 'convert'
  | 'converted'
  | 'abandon'
  | 'flushed'
  | 'sent'
  | 'lost';
export type ClientLockAction =
  | 'rememberBlocking'
  | 'wakeWaiter'
  | 'failWaiter'
  | 'dropBits'
  | 'sendConvert'
  | 'flush'
  | 'sendCancel'
  | 'forget';

export const clientLockStates = defineAutomaton<ClientLockState, ClientLockEvent, ClientLockAction>({
  name: 'lock (client)',
  initial: 'SENT',
  states: {
    SENT: {
      blocked: { to: 'BLOCKED' },
      granted: { to: 'GRANTED', do: ['wakeWaiter'] },
      // The blocking AST may come before the enqueue reply: only recorded (guide 08 §11).
      blocking: { to: 'SENT', do: ['rememberBlocking'] },
      failed: { to: 'DESTROYED', do: ['forget', 'failWaiter'] },
      lost: { to: 'DESTROYED', do: ['forget', 'failWaiter'] },
    },
    BLOCKED: {
      granted: { to: 'GRANTED', do: ['wakeWaiter'] },
      blocking: { to: 'BLOCKED', do: ['rememberBlocking'] },
      abandon: { to: 'CANCELLING', do: ['forget', 'failWaiter', 'sendCancel'] },
      failed: { to: 'DESTROYED', do: ['forget', 'failWaiter'] },
      lost: { to: 'DESTROYED', do: ['forget', 'failWaiter'] },
    },
    GRANTED: {
      granted: { to: 'GRANTED' },
      blocking: { to: 'CBPENDING' },
      cancel: { to: 'FLUSHING', do: ['flush'] },
      lost: { to: 'DESTROYED', do: ['forget'] },
    },
    // In use, matched by nobody else; cancelled when the last user lets go.
    CBPENDING: {
      granted: { to: 'CBPENDING' },
      blocking: { to: 'CBPENDING' },
      idle: { to: 'FLUSHING', do: ['flush'] },
      convert: { to: 'CONVERTING', do: ['dropBits'] },
      cancel: { to: 'FLUSHING', do: ['flush'] },
      lost: { to: 'DESTROYED', do: ['forget'] },
    },
    // It has the bits that stay, and nobody joins until what the others protected is gone.
    CONVERTING: {
      granted: { to: 'CONVERTING' },
      blocking: { to: 'CONVERTING' },
      converted: { to: 'GRANTED', do: ['sendConvert'] },
      cancel: { to: 'FLUSHING', do: ['flush'] },
      lost: { to: 'DESTROYED', do: ['forget'] },
    },
    FLUSHING: {
      granted: { to: 'FLUSHING' },
      blocking: { to: 'FLUSHING' },
      flushed: { to: 'CANCELLING', do: ['forget', 'sendCancel'] },
      lost: { to: 'DESTROYED', do: ['forget'] },
    },
    // The handle is on its way back: the lock is forgotten already (guide 08 §5.2).
    CANCELLING: {
      sent: { to: 'DESTROYED' },
      lost: { to: 'DESTROYED' },
    },
    DESTROYED: {},
  },
});
