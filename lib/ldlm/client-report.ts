/** What a client's namespace shows of itself (lock-report.ts). */
import type { ClientLock } from './client-lock.ts';
import type { ClientNamespace } from './client-namespace.ts';
import {
  chooseResources,
  describePolicy,
  describeResource,
  hexHandle,
  type LockEntry,
  type LockReport,
  type ReportOptions,
} from './lock-report.ts';
import { modeName } from './modes.ts';

export function reportClientLocks(namespace: ClientNamespace, options: ReportOptions = {}): LockReport {
  const byResource = namespace.byResource();
  const chosen = chooseResources(byResource, (locks) => [...locks].some(waits), options);
  return {
    target: namespace.name,
    side: 'client',
    locks: namespace.size,
    resources: namespace.resourceCount,
    shown: chosen.map((locks) => {
      const all = [...locks];
      const [first] = all;
      return {
        ...describeResource(first!.resource, first!.type),
        holders: all.filter((lock) => !waits(lock)).map(entry),
        waiters: all.filter(waits).map(entry),
      };
    }),
  };
}

const waits = (lock: ClientLock): boolean => lock.state === 'SENT' || lock.state === 'BLOCKED';

/** Whom a lock waits for only the server knows. */
function entry(lock: ClientLock): LockEntry {
  return {
    id: hexHandle(lock.handle),
    mode: modeName(lock.mode),
    state: lock.state,
    what: describePolicy(lock.policy),
    holder: lock.references === 0 ? 'unused' : `${lock.references} user${lock.references === 1 ? '' : 's'}`,
    nid: '',
    wantedForMs: undefined,
    waitsFor: [],
  };
}
