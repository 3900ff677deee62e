/**
 * State machines as tables (design: "abstract processes are explicit state machines"). A table names, for each
 * state and event, the next state and the actions; the actions are methods written below the table. An event
 * for which a state has no row is a ProtocolError with a name, never a silent no-op.
 */
import { ProtocolError } from './errors.ts';

export interface Row<S extends string, A extends string> {
  readonly to: S;
  /** Run in order after the state has changed. */
  readonly do?: readonly A[];
}

export interface AutomatonTable<S extends string, E extends string, A extends string> {
  /** What the automaton is, in an error or a diagram's title: `import`, `export`, `lock (client)`. */
  readonly name: string;
  readonly initial: S;
  readonly states: { readonly [state in S]: { readonly [event in E]?: Row<S, A> } };
}

/** Gives a table its precise types; used once per automaton, in the automaton's own file. */
export function defineAutomaton<S extends string, E extends string, A extends string>(
  table: AutomatonTable<S, E, A>,
): AutomatonTable<S, E, A> {
  return table;
}

export type Actions<A extends string, Args> = { readonly [action in A]: (args: Args) => void };

/** Whose state it is, for errors: a name, or what can name itself when there is an error to tell of. */
export type Subject = string | { describe(): string };

/** One running instance of a table. `state` changes nowhere but in `dispatch`. */
export class Automaton<S extends string, E extends string, A extends string, Args = undefined> {
  readonly #table: AutomatonTable<S, E, A>;
  readonly #actions: Actions<A, Args>;
  readonly #onTransition: ((from: S, event: E, to: S) => void) | undefined;
  readonly #subject: Subject;
  #state: S;

  constructor(
    table: AutomatonTable<S, E, A>,
    subject: Subject,
    actions: Actions<A, Args>,
    onTransition?: (from: S, event: E, to: S) => void,
  ) {
    this.#table = table;
    this.#subject = subject;
    this.#actions = actions;
    this.#onTransition = onTransition;
    this.#state = table.initial;
  }

  get state(): S {
    return this.#state;
  }

  /** True when the present state has a row for `event`. */
  accepts(event: E): boolean {
    return this.#table.states[this.#state][event] !== undefined;
  }

  /** Makes the transition and runs its actions. Throws `ERR_LUSTRE_UNEXPECTED_EVENT` where there is no row. */
  dispatch(event: E, args: Args): void {
    const from = this.#state;
    const row = this.#table.states[from][event];
    if (row === undefined) {
      const subject = typeof this.#subject === 'string' ? this.#subject : this.#subject.describe();
      throw new ProtocolError(
        'ERR_LUSTRE_UNEXPECTED_EVENT',
        `${this.#table.name} ${subject}: event ${event} is not expected in state ${from}`,
      );
    }
    this.#state = row.to;
    this.#onTransition?.(from, event, row.to);
    for (const action of row.do ?? []) this.#actions[action](args);
  }
}

/** The table as a Mermaid state diagram; docs/ is printed from it. */
export function mermaid<S extends string, E extends string, A extends string>(
  table: AutomatonTable<S, E, A>,
): string {
  const lines = ['stateDiagram-v2', `  [*] --> ${table.initial}`];
  for (const [from, rows] of Object.entries(table.states) as [S, Record<string, Row<S, A>>][]) {
    for (const [event, row] of Object.entries(rows)) {
      const actions = row.do?.length ? ` / ${row.do.join(', ')}` : '';
      lines.push(`  ${from} --> ${row.to}: ${event}${actions}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
