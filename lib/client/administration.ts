/** What a mounted file system offers beyond node:fs to those who look after it: archives, changelogs, projects, quotas. */
import { LustreError } from '../runtime/errors.ts';
import { decodeText } from '../wire/text.ts';
import type {
  ChangelogRecord,
  Engine,
  HsmRequestAction,
  HsmState,
  HsmStateChange,
  MdtName,
  Project,
  Quota,
  QuotaKind,
  QuotaLimits,
} from './engine.ts';
import type { PathLike } from './filesystem-options.ts';
import type { Operations, SignalOption } from './operations.ts';

export interface ChangelogOptions extends SignalOption {
  /** Name or number; default 0, the first MDT. */
  readonly mdt?: MdtName;
  /** Index of the first record wanted. */
  readonly from?: bigint | number;
  /** Wait for more at the end. */
  readonly follow?: boolean;
  /** Milliseconds between looks for more. */
  readonly intervalMs?: number;
}

export interface QuotaPoolOption extends SignalOption {
  /** A pool of OSTs. */
  readonly pool?: string;
}

export class Administration {
  readonly #engine: Engine;
  readonly #operations: Operations;

  constructor(engine: Engine, operations: Operations) {
    this.#engine = engine;
    this.#operations = operations;
  }

  /**
   * What has changed on an MDT, in order, from record `from` on (default 1): for consumers that an administrator of the
   * MDS has registered (`lctl changelog_register`). Ends with the newest record; with `follow` it waits for more, looking
   * every `intervalMs` (default 1000), until it is ended or aborted. Rejects with EACCES for who may not see it,
   * EOPNOTSUPP where the server keeps none.
   */
  async *changelog(options: ChangelogOptions = {}): AsyncGenerator<ChangelogRecord, void> {
    const { mdt = 0, from = 1n, follow = false, intervalMs = 1000 } = options;
    const handle = await this.#operations.run(options, (op) =>
      this.#engine.openChangelog(mdt, BigInt(from), op),
    );
    try {
      for (;;) {
        const records = await this.#operations.run(options, (op) => this.#engine.readChangelog(handle, op));
        yield* records;
        if (records.length > 0) continue;
        if (!follow) return;
        await this.#operations.run(options, (op) => this.#engine.pause(intervalMs, op));
      }
    } finally {
      await this.#engine.close(handle);
    }
  }

  /** Tells an MDT that consumer `user` (`cl1`) needs no records up to and including `upTo` any more; 0: none of those that
   * there are now. Rejects with ENOENT for a user that it does not have, EINVAL for a record that does not exist. */
  clearChangelog(
    user: string,
    upTo: bigint | number,
    options: { readonly mdt?: MdtName } = {},
  ): Promise<void> {
    return this.#engine.clearChangelog(options.mdt ?? 0, user, BigInt(upTo));
  }

  /** What is known of a file in an archive (HSM). */
  getHsmState(path: PathLike): Promise<HsmState> {
    return this.#engine.getHsmState(text(path));
  }

  /** Sets or clears flags. Others than root may change `dirty`, `norelease` and `noarchive`; rejects with EPERM and EINVAL
   * for what makes no sense of a file. */
  setHsmState(path: PathLike, change: HsmStateChange): Promise<void> {
    return this.#engine.setHsmState(text(path), change);
  }

  /**
   * Asks the copy tools of the file system to archive or restore files, to remove their copies, or to give such a request
   * up. Resolves when that is noted down, not when it is done: `getHsmState` tells. `archiveId` 0, the default: the
   * file's, or the one that the MDT prefers. Rejects with EOPNOTSUPP, EAGAIN or ENXIO where there is no HSM.
   */
  requestHsm(
    action: HsmRequestAction,
    paths: readonly PathLike[],
    options: SignalOption & { readonly archiveId?: number } = {},
  ): Promise<void> {
    return this.#operations.run(options, (op) =>
      this.#engine.requestHsm(action, paths.map(text), options.archiveId ?? 0, op),
    );
  }

  /** Gives up the data of an archived file on the OSTs; reading it brings them back. Rejects with EPERM for one that is not
   * archived or has changed since, EBUSY for one that is open, EOPNOTSUPP where there is no HSM. */
  releaseHsm(path: PathLike): Promise<void> {
    return this.#engine.releaseHsm(text(path));
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
   * where the servers keep no quotas. With `pool`: of what is on the OSTs of that pool; ENOENT where there is no such. */
  getQuota(kind: QuotaKind, id: number, options: QuotaPoolOption = {}): Promise<Quota> {
    return this.#operations.run(options, (op) => this.#engine.getQuota(kind, id, options.pool, op));
  }

  /** Sets limits, `pool`: of what is on its OSTs, which has no limits of files; root only. */
  setQuota(kind: QuotaKind, id: number, limits: QuotaLimits, options: QuotaPoolOption = {}): Promise<void> {
    return this.#operations.run(options, (op) => this.#engine.setQuota(kind, id, limits, options.pool, op));
  }
}

/** A path as text. */
export function text(path: PathLike): string {
  if (typeof path === 'string') return path;
  if (path instanceof Uint8Array) return decodeText(path);
  throw new LustreError('ERR_INVALID_ARG_TYPE', 'a path must be a string or a Buffer');
}
