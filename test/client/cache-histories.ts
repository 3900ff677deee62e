/**
 * Several clients read, write, cut, stat, chmod, create, rename, list and unlink the same few files while connections break
 * and messages are late. Every result must fit one order of all operations that agrees with real time: nothing cached is
 * ever given after the answer to an operation that changed it.
 *
 * `LUSTRE_CACHE_SEEDS=10000 npx vitest run test/client/linearizability` tries many, from LUSTRE_CACHE_FIRST on;
 * with SIM_SEED=17 `linearizability.test.ts` tries that one, with an even one `linearizability-even.test.ts`.
 */
import type { Filesystem } from '../../lib/client/filesystem.ts';
import type { EngineOptions } from '../../lib/client/mount.ts';
import type { Stats } from '../../lib/client/stats.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { type Model, type Operation, unlinearizable } from './linearizable.ts';
import { type ClusterSetup, SERVER_NID, withCluster } from './sim-cluster.ts';

const chosen = process.env.SIM_SEED;
const many = Number(process.env.LUSTRE_CACHE_SEEDS ?? 200);
const first = Number(process.env.LUSTRE_CACHE_FIRST ?? 1);
/** Old sizes: of a glimpse that a truncation overtook, and from a client that had not heard of its new lock. Lost bytes: a
 * block that was forgotten to make room for itself. */
const found = [60, 98, 419];
const all =
  chosen === undefined
    ? [...new Set([...Array.from({ length: many }, (_, i) => first + i), ...found])]
    : [Number(chosen)];

/** The seeds to try, in two halves: files of tests run side by side. */
export const seeds = {
  odd: all.filter((seed) => seed % 2 === 1),
  even: all.filter((seed) => seed % 2 === 0),
};

const CLIENTS = 3;
const OPERATIONS = 40;
const SLOT = 8;
/** Places in a file of two stripes: within a page, over a page's end, over a stripe's, in a later block. */
const slots = [0, 4090, 65532, 200_000] as const;
/** Those that two pages or stripes share. */
const torn = [4090, 65532] as const;
const names = ['a', 'b'] as const;
const reads: ReadonlySet<string> = new Set(['read', 'stat', 'list']);

const nidOf = (client: number): string => `127.0.1.${client + 1}@tcp`;

export type Call = { readonly op: string; readonly [argument: string]: string | number };
type History = Operation<Call, string>[];

/** Runs an operation and writes down when and with what result. */
class Recorder {
  readonly #sim: Simulation;
  readonly histories = new Map<string, History>();
  /** Clients that met an error of those which an eviction leaves behind. */
  readonly #failed = new Set<number>();

  constructor(sim: Simulation) {
    this.#sim = sim;
  }

  /** Clients that a server has thrown out in this run, whether they noticed it or not. */
  get evicted(): ReadonlySet<number> {
    const peers = this.#sim.log.filter(({ msg }) => msg === 'client evicted').map(({ peer }) => peer);
    const clients = Array.from({ length: CLIENTS }, (_, i) => i);
    return new Set([...this.#failed, ...clients.filter((i) => peers.includes(nidOf(i)))]);
  }

  async record(object: string, client: number, call: Call, work: () => Promise<string>): Promise<void> {
    const start = this.#sim.now;
    const operation = { client, call, start };
    const history = this.histories.get(object) ?? [];
    this.histories.set(object, history);
    try {
      const result = await work();
      history.push({ ...operation, result, end: this.#sim.now });
    } catch (error) {
      const { code } = error as { code: string };
      if (code === 'ENOENT' || code === 'EEXIST')
        history.push({ ...operation, result: code, end: this.#sim.now });
      else if (code === 'EIO' || code === 'ESTALE' || code === 'ENOTCONN') {
        this.#failed.add(client);
        history.push({ ...operation, result: undefined, end: Number.POSITIVE_INFINITY });
      } else throw error;
    }
  }
}

/**
 * What an eviction leaves to be checked. Until the client hears of it, it reads from a cache that nobody keeps current, and
 * what it had written there is lost: its reads say nothing, its writes of bytes may have happened or not. What it was
 * answered to anything else the servers have done. Bytes over the end of a page or stripe may be written in part.
 */
function afterEvictions(object: string, history: History, evicted: ReadonlySet<number>): History {
  if (evicted.size === 0) return history;
  if (object.startsWith('bytes') && torn.some((slot) => object.endsWith(` ${slot}`))) return [];
  return history.flatMap((operation) => {
    if (!evicted.has(operation.client)) return [operation];
    if (reads.has(operation.call.op)) return [];
    if (!object.startsWith('bytes')) return [operation];
    return [{ ...operation, result: undefined, end: Number.POSITIVE_INFINITY }];
  });
}

/** A value that is written and read whole. */
export const register: Model<string, Call, string> = {
  initial: '0',
  apply: (state, call, result) => {
    if (call.op === 'read') return result === undefined || result === state ? state : undefined;
    return String(call.value);
  },
  key: (state) => state,
};

/** What names lead to, '' for nothing. */
const directory: Model<Readonly<Record<string, string>>, Call, string> = {
  initial: { a: '', b: '' },
  apply: (state, { op, name = '', to = '', value = '' }, result) => {
    const there = state[name] ?? '';
    switch (op) {
      case 'create':
        if (there !== '') return result === 'EEXIST' ? state : undefined;
        return result === 'EEXIST' ? undefined : { ...state, [name]: String(value) };
      case 'unlink':
        if (there === '') return result === 'ENOENT' ? state : undefined;
        return result === 'ENOENT' ? undefined : { ...state, [name]: '' };
      case 'rename':
        if (there === '') return result === 'ENOENT' ? state : undefined;
        return result === 'ENOENT' ? undefined : { ...state, [name]: '', [to]: there };
      case 'stat':
        return result === undefined || result === (there === '' ? 'ENOENT' : there) ? state : undefined;
      default: {
        const list = names.filter((n) => state[n] !== '').join();
        return result === undefined || result === list ? state : undefined;
      }
    }
  },
  key: (state) => names.map((name) => state[name]).join('/'),
};

const text = (value: number): Buffer => Buffer.from(String(value).padStart(SLOT, '.'));
const valueIn = (bytes: Uint8Array): string =>
  bytes.every((byte) => byte === 0) ? '0' : String(Number(Buffer.from(bytes).toString().replaceAll('.', '')));

/** One client's random operations, one after the other. */
async function run(
  client: number,
  fs: Filesystem,
  sim: Simulation,
  recorder: Recorder,
  { listings = false }: Conditions,
): Promise<void> {
  const { random } = sim;
  const stat = (name: string): Promise<Stats> =>
    listings ? statFromListing(fs, name, random.chance(0.5)) : fs.stat(`/d/${name}`);
  const file = await fs.open('/d/data', 'r+', 0, random.chance(0.2) ? { direct: true } : {});
  const sizes = await fs.open('/d/size', 'r+');
  const record = recorder.record.bind(recorder);
  for (let i = 0; i < OPERATIONS; i++) {
    if (random.chance(0.5)) await sim.sleep(random.between(0, 20));
    if (random.chance(0.02)) await sim.sleep(random.between(500, 3000));
    const value = (client + 1) * 10_000 + i;
    const slot = slots[random.below(slots.length)]!;
    const name = names[random.below(names.length)]!;
    const kind = random.below(12);
    if (kind < 2)
      await record(`bytes at ${slot}`, client, { op: 'write', value }, async () => {
        await file.write(text(value), 0, SLOT, slot);
        return '';
      });
    else if (kind < 4)
      await record(`bytes at ${slot}`, client, { op: 'read' }, async () => {
        const bytes = Buffer.alloc(SLOT);
        await file.read(bytes, 0, SLOT, slot);
        return valueIn(bytes);
      });
    else if (kind === 4)
      await record('size', client, { op: 'write', value: value * 10 }, async () => {
        await sizes.truncate(value * 10);
        return '';
      });
    else if (kind === 5)
      await record('size', client, { op: 'read' }, async () =>
        String((random.chance(0.5) ? await sizes.stat() : await stat('size')).size),
      );
    else if (kind === 6)
      await record('mode', client, { op: 'write', value: value % 512 }, async () => {
        await fs.chmod('/d/mode', value % 512);
        return '';
      });
    else if (kind === 7)
      await record('mode', client, { op: 'read' }, async () => String((await stat('mode')).mode & 0o777));
    else await changeNames(client, fs, name, random.below(8), `${client}.${i}`, recorder);
  }
  await file.close().catch(() => undefined);
  await sizes.close().catch(() => undefined);
}

/** Attributes as one who looks through the directory gets them: many at once, or ahead. */
async function statFromListing(fs: Filesystem, name: string, walk: boolean): Promise<Stats> {
  let found: Stats | undefined;
  if (walk) {
    for await (const entry of fs.walk('/d', { stats: 'all', maxDepth: 1 }))
      if (entry.name === name) found = entry.stats;
  } else
    for (const each of await fs.readdir('/d')) {
      const stats = await fs.stat(`/d/${each}`).catch((error: { code: string }) => {
        if (each === name || error.code !== 'ENOENT') throw error;
        return undefined;
      });
      if (each === name) found = stats;
    }
  if (found === undefined) throw new Error(`${name} is missing in the listing`);
  return found;
}

async function changeNames(
  client: number,
  fs: Filesystem,
  name: string,
  kind: number,
  value: string,
  recorder: Recorder,
): Promise<void> {
  const path = `/d/${name}`;
  const record = (call: Call, work: () => Promise<string>): Promise<void> =>
    recorder.record('names', client, call, work);
  if (kind === 0) return record({ op: 'create', name, value }, () => make(fs, path, value));
  if (kind === 1) return record({ op: 'unlink', name }, () => fs.unlink(path).then(() => ''));
  if (kind === 2) {
    const to = names.find((other) => other !== name)!;
    return record({ op: 'rename', name, to }, () => fs.rename(path, `/d/${to}`).then(() => ''));
  }
  if (kind === 3)
    return record({ op: 'list' }, async () => {
      const found = await fs.readdir('/d');
      return names.filter((n) => found.includes(n)).join();
    });
  return record({ op: 'stat', name }, async () => (await fs.getxattr(path, 'user.value')).toString());
}

/** Makes a file that says who it is, first under another name: no client ever sees it without. */
async function make(fs: Filesystem, path: string, value: string): Promise<string> {
  const hidden = `/hidden/${value}`;
  await (await fs.open(hidden, 'wx')).close();
  await fs.setxattr(hidden, 'user.value', value);
  await fs.link(hidden, path);
  return '';
}

/** Servers that send small requests away as soon as anybody is in their way, and clients that do without for a moment. */
export const contended: Conditions = {
  servers: { contention: { locks: 0, timeMs: 50, bytesMax: 1 << 20 } },
  clients: { contentionMs: 100 },
};

/** Clients that keep next to no locks: those that nobody uses go with the requests for others all the time. */
export const crowded: Conditions = { clients: { lruSize: 3 } };

/** Attributes are asked for in listings of the directory. */
export const listed: Conditions = { listings: true };

interface Conditions {
  readonly listings?: boolean;
  readonly servers?: ClusterSetup;
  readonly clients?: Partial<EngineOptions>;
}

/** Runs the history of a seed. Throws what no order explains. */
export async function check(seed: number, how: Conditions = {}): Promise<void> {
  await withCluster(
    async ({ sim, mount }) => {
      const recorder = new Recorder(sim);
      const clients: Filesystem[] = [];
      for (let i = 0; i < CLIENTS; i++)
        clients.push(await mount({ ...how.clients, ...(sim.random.chance(0.3) && { cacheBytes: 131072 }) }));
      const [maker] = clients as [Filesystem];
      await maker.mkdir('/d');
      await maker.mkdir('/hidden');
      await maker.writeFile('/d/data', Buffer.alloc(210_000), { stripeCount: 2, stripeSize: 65536 });
      // One object: a stat beside a truncation of several sees some of them cut, as in every Lustre.
      await maker.writeFile('/d/size', '', { stripeCount: 1 });
      await maker.writeFile('/d/mode', '', { mode: 0 });
      await maker.chmod('/d/mode', 0);
      for (let i = 0; i < CLIENTS; i++) {
        const nid = nidOf(i);
        if (sim.random.chance(0.5)) sim.faults.drop(SERVER_NID, nid, 0.01);
        if (sim.random.chance(0.3))
          sim.runtime.after(sim.random.between(0, 500), () => sim.faults.reset(SERVER_NID, nid));
      }
      await Promise.all(clients.map((fs, i) => run(i, fs, sim, recorder, how)));
      for (let i = 0; i < CLIENTS; i++) sim.faults.drop(SERVER_NID, nidOf(i), 0);
      const { evicted } = recorder;
      for (const [object, all] of recorder.histories) {
        const history = afterEvictions(object, all, evicted);
        const failure =
          object === 'names' ? unlinearizable(history, directory) : unlinearizable(history, register);
        if (failure === undefined) continue;
        const show = (list: readonly Operation<Call, string>[]): string =>
          list
            .map(
              (o) =>
                `  client ${o.client} ${JSON.stringify(o.call)} -> ${o.result} (${o.start.toFixed(1)} to ${o.end.toFixed(1)} ms)`,
            )
            .join('\n');
        throw new Error(
          `no order explains ${object}; after\n${show(failure.order)}\nnone of these fits:\n${show(failure.stuck)}\n` +
            `replay: SIM_SEED=${seed} npx vitest run test/client/linearizability${seed % 2 === 0 ? '-even' : ''}.test.ts`,
        );
      }
    },
    { seed, allVirtual: true, ...how.servers },
  );
}
