/**
 * Is a history of operations linearizable? The search of Wing and Gong with Lowe's memory of what was tried: picks, again
 * and again, an operation that no other one has ended before, and asks the model whether its result was possible.
 */

export interface Operation<Call, Result> {
  readonly client: number;
  readonly call: Call;
  /** Undefined: it failed in a way that leaves open whether it was done. */
  readonly result: Result | undefined;
  readonly start: number;
  /** Infinity where the result is undefined. */
  readonly end: number;
}

export interface Model<State, Call, Result> {
  readonly initial: State;
  /** The state after the call, if the result is one that the call gives in `state`; undefined if it is not. */
  apply(state: State, call: Call, result: Result | undefined): State | undefined;
  key(state: State): string;
}

/** Undefined when there is an order; else the longest part of one that was found, and what did not fit behind it. */
export function unlinearizable<State, Call, Result>(
  history: readonly Operation<Call, Result>[],
  model: Model<State, Call, Result>,
):
  | { readonly order: readonly Operation<Call, Result>[]; readonly stuck: readonly Operation<Call, Result>[] }
  | undefined {
  const operations = [...history].sort((a, b) => a.start - b.start);
  const left = new Set(operations.keys());
  const tried = new Set<string>();
  const order: number[] = [];
  let best: number[] = [];
  const search = (state: State): boolean => {
    let due = false;
    let firstEnd = Number.POSITIVE_INFINITY;
    for (const i of left) {
      firstEnd = Math.min(firstEnd, operations[i]!.end);
      due ||= operations[i]!.end !== Number.POSITIVE_INFINITY;
    }
    if (!due) return true;
    const key = `${[...left].join()}|${model.key(state)}`;
    if (tried.has(key)) return false;
    tried.add(key);
    for (const i of [...left]) {
      const operation = operations[i]!;
      if (operation.start > firstEnd) break;
      const next = model.apply(state, operation.call, operation.result);
      if (next === undefined) continue;
      left.delete(i);
      order.push(i);
      if (order.length > best.length) best = [...order];
      if (search(next)) return true;
      order.pop();
      left.add(i);
      // `left` is walked in order of start.
      const rest = [...left].sort((a, b) => a - b);
      left.clear();
      for (const other of rest) left.add(other);
    }
    return false;
  };
  if (search(model.initial)) return undefined;
  const done = new Set(best);
  const rest = operations.filter((_, i) => !done.has(i));
  const firstEnd = Math.min(...rest.map(({ end }) => end));
  return {
    order: best.slice(-8).map((i) => operations[i]!),
    stuck: rest.filter(({ start }) => start <= firstEnd),
  };
}
