/** Transfers of ranges of an object that are under way, and who must wait for which. */

export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Activity extends Range {
  readonly done: Promise<void>;
}

/**
 * One that lasts until it is said to be over, of whole `unit`s. A server that cuts or punches has the object locked while it
 * waits for pages that writes have, and such a write waits for the object (2.15 stands still for good): of those pages none
 * may be on its way, as none ever is from a kernel client.
 */
export class Change implements Activity {
  readonly start: number;
  readonly end: number;
  readonly done: Promise<void>;
  finish: () => void = () => undefined;

  constructor(start: number, end: number, unit: number) {
    this.start = start - (start % unit);
    this.end = Math.ceil(end / unit) * unit;
    this.done = new Promise((resolve) => {
      this.finish = resolve;
    });
  }
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
