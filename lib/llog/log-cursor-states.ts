/**
 * The reader of a remote log as an automaton (guide 14 §2, §3): open, header, then block after block until the last index
 * that the header names; a chunk that is not full is asked for once more, since records may have been added meanwhile.
 */
import { type AutomatonTable, defineAutomaton } from '../runtime/automaton.ts';

export type LogCursorState =
  | 'idle'
  | 'opening'
  | 'reading-header'
  | 'reading-block'
  | 'reading-again'
  | 'finished'
  | 'failed';
export type LogCursorEvent =
  | 'open'
  | 'opened'
  | 'absent'
  | 'header'
  | 'nothing-new'
  | 'full-block'
  | 'partial-block'
  | 'end-of-log'
  | 'error';
export type LogCursorAction =
  | 'sendOpen'
  | 'sendHeader'
  | 'sendNextBlock'
  | 'sendSameBlock'
  | 'finish'
  | 'fail';

export const logCursorStates: AutomatonTable<LogCursorState, LogCursorEvent, LogCursorAction> =
  defineAutomaton({
    name: 'log cursor',
    initial: 'idle',
    states: {
      idle: { open: { to: 'opening', do: ['sendOpen'] } },
      opening: {
        opened: { to: 'reading-header', do: ['sendHeader'] },
        absent: { to: 'finished', do: ['finish'] },
        error: { to: 'failed', do: ['fail'] },
      },
      'reading-header': {
        header: { to: 'reading-block', do: ['sendNextBlock'] },
        'nothing-new': { to: 'finished', do: ['finish'] },
        error: { to: 'failed', do: ['fail'] },
      },
      'reading-block': {
        'full-block': { to: 'reading-block', do: ['sendNextBlock'] },
        'partial-block': { to: 'reading-again', do: ['sendSameBlock'] },
        'nothing-new': { to: 'finished', do: ['finish'] },
        'end-of-log': { to: 'finished', do: ['finish'] },
        error: { to: 'failed', do: ['fail'] },
      },
      'reading-again': {
        'full-block': { to: 'reading-block', do: ['sendNextBlock'] },
        'partial-block': { to: 'reading-again', do: ['sendSameBlock'] },
        'nothing-new': { to: 'finished', do: ['finish'] },
        'end-of-log': { to: 'finished', do: ['finish'] },
        error: { to: 'failed', do: ['fail'] },
      },
      finished: {},
      failed: {},
    },
  });
