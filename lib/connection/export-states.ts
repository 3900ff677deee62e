/** The export automaton: one client of one target, as the server sees it (guide 05 §2.4, §8). */
import { defineAutomaton } from '../runtime/automaton.ts';

export type ExportState = 'NEW' | 'CONNECTING' | 'CONNECTED' | 'DISCONNECTING' | 'CLOSED' | 'EVICTED';

export type ExportEvent =
  | 'connect'
  | 'accepted'
  | 'refused'
  /** The same client again, with a higher connection count. */
  | 'reconnect'
  | 'disconnect'
  | 'disconnected'
  /** Silence, a lock callback without answer, a request out of turn, or the operator. */
  | 'evict'
  /** The target stops; the client keeps its record and will find it again. */
  | 'stop';

export type ExportAction = 'register' | 'announce' | 'forget' | 'renew' | 'dropState' | 'dropRecord';

export const exportStates = defineAutomaton<ExportState, ExportEvent, ExportAction>({
  name: 'export',
  initial: 'NEW',
  states: {
    NEW: { connect: { to: 'CONNECTING', do: ['register'] } },
    CONNECTING: {
      accepted: { to: 'CONNECTED', do: ['announce'] },
      refused: { to: 'CLOSED', do: ['forget'] },
      evict: { to: 'EVICTED', do: ['forget', 'dropRecord'] },
      stop: { to: 'CLOSED', do: ['forget'] },
    },
    CONNECTED: {
      reconnect: { to: 'CONNECTED', do: ['renew'] },
      disconnect: { to: 'DISCONNECTING' },
      evict: { to: 'EVICTED', do: ['forget', 'dropState', 'dropRecord'] },
      stop: { to: 'CLOSED', do: ['forget', 'dropState'] },
    },
    DISCONNECTING: {
      disconnected: { to: 'CLOSED', do: ['forget', 'dropState', 'dropRecord'] },
      evict: { to: 'EVICTED', do: ['forget', 'dropState', 'dropRecord'] },
      stop: { to: 'CLOSED', do: ['forget', 'dropState'] },
    },
    CLOSED: {},
    EVICTED: {},
  },
});
