/**
 * Parameters that an administrator sets for all clients: PARAM records of the client's log (`lctl conf_param`) and SET_PARAM
 * records of the log `params` (`lctl set_param -P`; guide 14 §4). What is unknown here is passed over, as kernels pass over
 * what they do not know.
 */
import type { ConfigParameter } from '../../config/client-config.ts';
import type { TimeoutSettings } from '../../rpc/adaptive-timeout.ts';
import type { Logger } from '../../runtime/runtime.ts';
import type { MountSettings } from '../session.ts';
import { mountParameters } from './mount-settings.ts';
import { type LruSettings, numberOf, type TargetSettings, within } from './target-settings.ts';

export type ParameterLog = 'client' | 'params';

/** What parameters can be about. */
export interface Settable {
  readonly fsname: string;
  readonly log: Logger;
  readonly mount: MountSettings;
  readonly timeouts: TimeoutSettings;
  targets(): Iterable<TargetSettings>;
}

const SECONDS_MAX = 100_000;
const SYSTEM: Readonly<Record<string, keyof TimeoutSettings>> = {
  timeout: 'obdTimeout',
  at_min: 'atMin',
  at_max: 'atMax',
  at_history: 'atHistory',
  at_extra: 'atExtra',
  at_early_margin: 'atEarlyMargin',
};

const NEVER_ZERO: ReadonlySet<string> = new Set(['obdTimeout', 'atMax', 'atHistory']);

/** `osc.*.active` and the like of one target, taken apart. */
interface Wanted {
  readonly space: 'osc' | 'mdc' | 'llite' | 'ldlm' | 'sys';
  /** A device as kernels name them, or a pattern. */
  readonly device: string;
  readonly name: string;
  readonly value: string;
}

export class Parameters {
  readonly #settable: Settable;
  readonly #told = new Set<string>();
  /** All so far: of the client's log, and of `params`, which comes behind it. */
  readonly #records: { [log in ParameterLog]: readonly ConfigParameter[] } = { client: [], params: [] };

  constructor(settable: Settable) {
    this.#settable = settable;
  }

  /** Applies what is new among all records so far of a log. */
  follow(log: ParameterLog, records: readonly ConfigParameter[]): void {
    const known = this.#records[log].length;
    this.#records[log] = [...records];
    for (const record of records.slice(known)) this.#apply(record);
  }

  /** All again, in their order, to one target that has just been made. */
  catchUp(target: string): void {
    for (const record of [...this.#records.client, ...this.#records.params]) this.#apply(record, target);
  }

  #apply(record: ConfigParameter, only?: string): void {
    const wanted = takeApart(record);
    if (wanted !== undefined && this.#set(wanted, only)) return;
    const { parameter } = record;
    if (only !== undefined || this.#told.has(parameter)) return;
    this.#told.add(parameter);
    this.#settable.log.debug(
      { parameter, device: record.device },
      'configuration parameter without effect here',
    );
  }

  #set({ space, device, name, value }: Wanted, only: string | undefined): boolean {
    const { mount, timeouts } = this.#settable;
    if (space === 'sys') {
      const setting = SYSTEM[name];
      if (setting === undefined) return false;
      return within(numberOf(value), SECONDS_MAX, (seconds) => {
        // Without any there would be no waiting at all; kernels have another way of it then.
        if (seconds > 0 || !NEVER_ZERO.has(setting)) Object.assign(timeouts, { [setting]: seconds });
      });
    }
    if (space === 'llite') {
      if (!isMatch(device, `${this.#settable.fsname}-${INSTANCE}`)) return true;
      return mountParameters[name]?.(mount, value) ?? false;
    }
    let known = false;
    for (const target of this.#settable.targets()) {
      const kind = target.kind === 'ost' ? 'osc' : 'mdc';
      if (only !== undefined && target.name !== only) continue;
      if (space !== 'ldlm' && space !== kind) continue;
      if (!isMatch(device, `${target.name}-${kind}-${INSTANCE}`)) continue;
      const done = space === 'ldlm' ? setLocks(target.locks, name, value) : target.set(name, value);
      known ||= done;
    }
    return known;
  }
}

/** Stands for the address by which a kernel tells its mounts apart: patterns have a star for it. */
const INSTANCE = 'ffff000000000000';

function setLocks(locks: LruSettings, name: string, value: string): boolean {
  if (name === 'lru_size')
    return within(numberOf(value), 1 << 30, (count) => {
      // 0: as many as the server allows.
      locks.maxCount = count === 0 ? undefined : count;
    });
  if (name !== 'lru_max_age') return false;
  const ms =
    /s$/.test(value) && !/ms$/.test(value)
      ? numberOf(value.slice(0, -1), 1000)
      : numberOf(value.replace(/ms$/, ''));
  return within(ms, 2 ** 31 - 1, (age) => {
    locks.maxAgeMs = age;
  });
}

/** `osc.active=0` for device `lab-OST0001-osc`, or `osc.lab-OST0001-*.active=0`. */
function takeApart({ device, parameter }: ConfigParameter): Wanted | undefined {
  const equals = parameter.indexOf('=');
  if (equals <= 0) return undefined;
  const value = parameter.slice(equals + 1).trim();
  const parts = parameter.slice(0, equals).split(/[./]/);
  const name = parts.at(-1)!;
  const [space] = parts;
  if (parts.length === 1 || space === 'sys') return { space: 'sys', device: '', name, value };
  if (space === 'ldlm') return { space, device: parts[2] ?? '*', name, value };
  if (space !== 'osc' && space !== 'mdc' && space !== 'llite') return undefined;
  if (parts.length > 2) return { space, device: parts.slice(1, -1).join('.'), name, value };
  // The device of a record has no instance; that of llite is the file system's.
  return { space, device: space === 'llite' ? '*' : `${device}-*`, name, value };
}

/** As a shell matches names: `*`, `?`, `[...]`. */
export function isMatch(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.');
  try {
    return pattern.length <= 256 && new RegExp(`^${source}$`).test(name);
  } catch {
    return false;
  }
}
