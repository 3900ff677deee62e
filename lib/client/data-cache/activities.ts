/** Transfers of ranges of an object that are under way, and who must wait for which. */

export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Activity extends Range {
  readonly done: Promise<void>;
}

export const overlaps = (a: Range, start: number, end: number): boolean => a.start < end && start < a.end;

export class Activities<A extends Activity = Activity> extends Set<A> {
  /** The ends of those that touch `[start, end)`. */
  under(start: number, end: number): Promise<void>[] {
    const found: Promise<void>[] = [];
    if (this.size === 0) return found;
    for (const activity of this) if (overlaps(activity, start, end)) found.push(activity.done);
    return found;
  }
}
