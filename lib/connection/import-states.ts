/** The import automaton: one client's connection to one target (guide 05 §3). */
import { defineAutomaton } from '../runtime/automaton.ts';

export type ImportState =
  | 'NEW'
  | 'CLOSED'
  | 'DISCON'
  | 'CONNECTING'
  | 'REPLAY'
  | 'REPLAY_LOCKS'
  | 'REPLAY_WAIT'
  | 'RECOVER'
  | 'FULL'
  | 'EVICTED'
  | 'IDLE'
  /** An administrator has taken the target out of use (osc.*.active=0). */
  | 'INACTIVE';

export type ImportEvent =
  /** connect() was called, a request came to an idle import, or it is time to try again. */
  | 'connect'
  /** Connect reply: nothing to recover. */
  | 'connected'
  /** Connect reply RECONNECT with the old handle. */
  | 'reconnected'
  /** Connect reply from which follows that the server has forgotten us. */
  | 'evicted'
  /** Connect reply RECOVERING at the first connect. */
  | 'joined'
  /** Connect reply RECOVERING to a client that was there before the server restarted. */
  | 'recovering'
  | 'connectFailed'
  /** All of the old generation has failed; caches and locks are dropped. */
  | 'invalidated'
  | 'requestsReplayed'
  | 'locksReplayed'
  /** The final ping was answered. */
  | 'barrierPassed'
  | 'recovered'
  /** Timeout, -ENOTCONN, -ENODEV or a network error. */
  | 'lost'
  /** Nothing was asked of it for long enough. */
  | 'idle'
  | 'idled'
  | 'deactivate'
  | 'activate'
  | 'close';

export type ImportAction =
  | 'sendConnect'
  | 'scheduleReconnect'
  | 'interrupt'
  | 'reconnectNow'
  | 'invalidate'
  | 'replayRequests'
  | 'replayLocks'
  | 'sendFinalPing'
  | 'resend'
  | 'wake'
  | 'sendIdleDisconnect'
  | 'settleIdle'
  | 'shutOut'
  | 'failAll';

const lost = { to: 'DISCON', do: ['interrupt', 'reconnectNow'] } as const;
const deactivate = { to: 'INACTIVE', do: ['shutOut'] } as const;
const close = { to: 'CLOSED', do: ['failAll'] } as const;

export const importStates = defineAutomaton<ImportState, ImportEvent, ImportAction>({
  name: 'import',
  initial: 'NEW',
  states: {
    NEW: { connect: { to: 'CONNECTING', do: ['sendConnect'] }, deactivate, close },
    DISCON: { connect: { to: 'CONNECTING', do: ['sendConnect'] }, deactivate, close },
    IDLE: { connect: { to: 'CONNECTING', do: ['sendConnect'] }, deactivate, close },
    INACTIVE: { activate: { to: 'CONNECTING', do: ['sendConnect'] }, close },
    CONNECTING: {
      connected: { to: 'FULL', do: ['wake'] },
      reconnected: { to: 'RECOVER', do: ['resend'] },
      evicted: { to: 'EVICTED', do: ['invalidate'] },
      joined: { to: 'REPLAY_LOCKS', do: ['replayLocks'] },
      recovering: { to: 'REPLAY', do: ['replayRequests'] },
      connectFailed: { to: 'DISCON', do: ['scheduleReconnect'] },
      idled: { to: 'IDLE', do: ['settleIdle'] },
      deactivate,
      close,
    },
    REPLAY: { requestsReplayed: { to: 'REPLAY_LOCKS', do: ['replayLocks'] }, lost, deactivate, close },
    REPLAY_LOCKS: { locksReplayed: { to: 'REPLAY_WAIT', do: ['sendFinalPing'] }, lost, deactivate, close },
    REPLAY_WAIT: { barrierPassed: { to: 'RECOVER', do: ['resend'] }, lost, deactivate, close },
    EVICTED: { invalidated: { to: 'RECOVER', do: ['resend'] }, lost, deactivate, close },
    RECOVER: { recovered: { to: 'FULL', do: ['wake'] }, lost, deactivate, close },
    FULL: { lost, idle: { to: 'CONNECTING', do: ['sendIdleDisconnect'] }, deactivate, close },
    CLOSED: {},
  },
});
