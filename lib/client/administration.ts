/** What a mounted file system offers beyond node:fs to those who look after it: projects, quotas. */
import { LustreError } from '../runtime/errors.ts';
import { decodeText } from '../wire/text.ts';
import type { Engine, Project, Quota, QuotaKind, QuotaLimits } from './engine.ts';
import type { PathLike } from './filesystem-options.ts';
import type { Operations, SignalOption } from './operations.ts';

export class Administration {
  readonly #engine: Engine;
  readonly #operations: Operations;

  constructor(engine: Engine, operations: Operations) {
    this.#engine = engine;
    this.#operations = operations;
  }

  /** The project that an object is charged to. */
  getProject(path: PathLike): Promise<Project> {
    return this.#engine.getProject(text(path));
  }

  /** Charges an object to a project, and says whether what is made in a directory follows. Rejects with EPERM for others
   * than root. */
  setProject(path: PathLike, change: Partial<Project>): Promise<void> {
    return this.#engine.setProject(text(path), change);
  }

  /** What a user, group or project uses and may use. Rejects with EPERM for somebody else's unless root asks, EOPNOTSUPP
   * where the servers keep no quotas. */
  getQuota(kind: QuotaKind, id: number, options: SignalOption = {}): Promise<Quota> {
    return this.#operations.run(options, (op) => this.#engine.getQuota(kind, id, op));
  }

  /** Sets limits; root only. */
  setQuota(kind: QuotaKind, id: number, limits: QuotaLimits, options: SignalOption = {}): Promise<void> {
    return this.#operations.run(options, (op) => this.#engine.setQuota(kind, id, limits, op));
  }
}

/** A path as text. */
export function text(path: PathLike): string {
  if (typeof path === 'string') return path;
  if (path instanceof Uint8Array) return decodeText(path);
  throw new LustreError('ERR_INVALID_ARG_TYPE', 'a path must be a string or a Buffer');
}
