/** A row that says of a field of requests why ours may differ there from a kernel client's. */
import type { Difference } from './comparison.ts';

/** Fields of requests that both send. */
export interface Meant {
  readonly operation: RegExp;
  readonly field: RegExp;
  /** Which values: ours and the kernel's as `ours | theirs`, or a rule for both. */
  readonly values: RegExp | ((ours: string, theirs: string) => boolean);
  readonly why: string;
}

export const allows = (
  row: Meant,
  { operation, field, ours, theirs }: Omit<Difference, 'purpose'>,
): boolean =>
  row.operation.test(operation) &&
  row.field.test(field) &&
  (row.values instanceof RegExp ? row.values.test(`${ours} | ${theirs}`) : row.values(ours, theirs));
