/** What a metadata target knows of one OST: from unknown to ready to give objects (guides 07 §7, 12 §8). */
import { defineAutomaton } from '../../runtime/automaton.ts';

export type OspState = 'DISCONNECTED' | 'PREPARING' | 'READY' | 'STOPPED';
export type OspEvent = 'connected' | 'prepared' | 'failed' | 'stop';
export type OspAction = 'prepare' | 'retryLater' | 'serve' | 'forget';

export const ospStates = defineAutomaton<OspState, OspEvent, OspAction>({
  name: 'OSP',
  initial: 'DISCONNECTED',
  states: {
    DISCONNECTED: {
      connected: { to: 'PREPARING', do: ['prepare'] },
      stop: { to: 'STOPPED', do: ['forget'] },
    },
    // Sequence, then orphan clean-up: an OST refuses to create before it (guide 12 §8).
    PREPARING: {
      connected: { to: 'PREPARING', do: ['prepare'] },
      prepared: { to: 'READY', do: ['serve'] },
      failed: { to: 'DISCONNECTED', do: ['retryLater'] },
      stop: { to: 'STOPPED', do: ['forget'] },
    },
    READY: {
      // Every new connection begins with the clean-up, so objects given out but in no file go.
      connected: { to: 'PREPARING', do: ['prepare'] },
      failed: { to: 'DISCONNECTED', do: ['retryLater'] },
      stop: { to: 'STOPPED', do: ['forget'] },
    },
    STOPPED: {},
  },
});
