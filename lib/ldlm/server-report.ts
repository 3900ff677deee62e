/** What a server's namespace shows of itself (lock-report.ts). */
import type { Export } from '../connection/target.ts';
import { LockType } from '../wire/ldlm-constants.ts';
import { type FlockRange, standsInTheWay } from './flock-policy.ts';
import {
  chooseResources,
  describePolicy,
  describeResource,
  hexHandle,
  type LockEntry,
  type LockReport,
  type ReportOptions,
  type ResourceReport,
} from './lock-report.ts';
import { modeName } from './modes.ts';
import type { FlockQueues } from './server-flocks.ts';
import type { ServerLock, ServerResource } from './server-lock.ts';
import type { ServerNamespace } from './server-namespace.ts';
import { inTheWay } from './server-queues.ts';

type Queues = ServerResource | FlockQueues;

export function reportServerLocks(namespace: ServerNamespace, options: ReportOptions = {}): LockReport {
  const now = namespace.runtime.now();
  const { resources, locks } = namespace.counts;
  const all = function* (): Iterable<Queues> {
    yield* namespace.resources();
    yield* namespace.flocks.files();
  };
  const chosen = chooseResources(all(), ({ waiting }) => waiting.size > 0, options);
  const files = [...namespace.flocks.files()].length;
  return {
    target: namespace.name,
    side: 'server',
    // A file lock has a handle only while it waits.
    locks: locks + namespace.flocks.size,
    resources: resources + files,
    shown: chosen.map((queues) => ('held' in queues ? flockReport(queues) : resourceReport(queues, now))),
  };
}

function resourceReport(resource: ServerResource, now: number): ResourceReport {
  const entry = (lock: ServerLock, waitsFor: readonly ServerLock[]): LockEntry => ({
    ...who(lock.client),
    id: hexHandle(lock.handle),
    mode: modeName(lock.mode),
    state: lock.state,
    what: describePolicy(lock.policy),
    wantedForMs: lock.blockingSince === undefined ? undefined : now - lock.blockingSince,
    waitsFor: waitsFor.map((other) => hexHandle(other.handle)),
  });
  return {
    ...describeResource(resource.id, resource.type),
    holders: [...resource.granted].map((lock) => entry(lock, [])),
    waiters: [...resource.waiting].map((lock) => {
      const { granted, ahead } = inTheWay(resource, lock);
      return entry(lock, [...granted, ...ahead]);
    }),
  };
}

function flockReport({ id, held, waiting }: FlockQueues): ResourceReport {
  const entry = (range: FlockRange, name: string, state: string): LockEntry => {
    const { holder, nid } = who(range.client as Export | undefined);
    return {
      id: name,
      mode: modeName(range.mode),
      state,
      what: describePolicy({ flock: range }),
      holder: `${holder} owner ${hexHandle(range.owner)} pid ${range.pid}`,
      nid,
      wantedForMs: undefined,
      waitsFor: [],
    };
  };
  const nameOf = (range: FlockRange): string => `${hexHandle(range.owner)}[${range.start},${range.end}]`;
  return {
    ...describeResource(id, LockType.LDLM_FLOCK),
    holders: held.map((range) => entry(range, nameOf(range), 'GRANTED')),
    waiters: [...waiting].map(({ lock, range }) => ({
      ...entry(range, hexHandle(lock.handle), lock.state),
      waitsFor: held.filter((other) => standsInTheWay(other, range)).map(nameOf),
    })),
  };
}

function who(client: Export | undefined): Pick<LockEntry, 'holder' | 'nid'> {
  return client === undefined
    ? { holder: 'server', nid: '' }
    : { holder: client.clientUuid, nid: client.peer };
}
