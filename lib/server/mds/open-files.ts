/** Open handles of all clients, in memory (guide 09 §5): which objects are open, how, and by whom. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { type Runtime, randomCookie } from '../../runtime/runtime.ts';
import { OpenFlag } from '../../wire/mds-constants.ts';

const ETXTBSY = 26;

export interface OpenFile {
  readonly handle: bigint;
  readonly fid: Fid;
  /** OpenFlag bits. */
  readonly flags: bigint;
  /** Whose it is: any object that stands for the client. */
  readonly owner: object;
  /** XID of the open, by which a resent one finds its handle. */
  readonly xid: bigint;
}

interface Users {
  handles: number;
  writers: number;
  executors: number;
  /** When somebody last chose the time of access, seconds. */
  atimeChosen: bigint;
}

export class OpenFiles {
  readonly #runtime: Runtime;
  readonly #files = new Map<bigint, OpenFile>();
  readonly #users = new Map<string, Users>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Throws ETXTBSY when a running program is opened for writing, or a file that is written for execution. */
  check(fid: Fid, flags: bigint): void {
    const users = this.#users.get(formatFid(fid));
    if (users === undefined) return;
    const writes = (flags & OpenFlag.MDS_FMODE_WRITE) !== 0n;
    const executes = (flags & OpenFlag.MDS_FMODE_EXEC) !== 0n;
    if ((writes && users.executors > 0) || (executes && users.writers > 0))
      throw errnoError(ETXTBSY, { syscall: 'open', fid: formatFid(fid) });
  }

  open(owner: object, fid: Fid, flags: bigint, xid: bigint): OpenFile {
    let handle = randomCookie(this.#runtime);
    while (this.#files.has(handle)) handle = randomCookie(this.#runtime);
    const file: OpenFile = { handle, fid: { ...fid }, flags, owner, xid };
    this.#files.set(handle, file);
    const key = formatFid(fid);
    const users = this.#users.get(key) ?? { handles: 0, writers: 0, executors: 0, atimeChosen: 0n };
    users.handles++;
    if ((flags & OpenFlag.MDS_FMODE_WRITE) !== 0n) users.writers++;
    if ((flags & OpenFlag.MDS_FMODE_EXEC) !== 0n) users.executors++;
    this.#users.set(key, users);
    return file;
  }

  find(owner: object, handle: bigint): OpenFile | undefined {
    const file = this.#files.get(handle);
    return file?.owner === owner ? file : undefined;
  }

  byXid(owner: object, xid: bigint): OpenFile | undefined {
    for (const file of this.#files.values()) if (file.owner === owner && file.xid === xid) return file;
    return undefined;
  }

  close(file: OpenFile): void {
    if (!this.#files.delete(file.handle)) return;
    const key = formatFid(file.fid);
    const users = this.#users.get(key);
    if (users === undefined) return;
    users.handles--;
    if ((file.flags & OpenFlag.MDS_FMODE_WRITE) !== 0n) users.writers--;
    if ((file.flags & OpenFlag.MDS_FMODE_EXEC) !== 0n) users.executors--;
    if (users.handles === 0) this.#users.delete(key);
  }

  /** A time of access was chosen: closes that tell of reads before `at` are not to undo it. */
  chooseAtime(fid: Fid, at: bigint): void {
    const users = this.#users.get(formatFid(fid));
    if (users !== undefined) users.atimeChosen = at;
  }

  /** Zero where nobody has since the file was opened. */
  atimeChosen({ fid }: OpenFile): bigint {
    return this.#users.get(formatFid(fid))?.atimeChosen ?? 0n;
  }

  isOpen(fid: Fid): boolean {
    return this.#users.has(formatFid(fid));
  }

  of(owner: object): OpenFile[] {
    return [...this.#files.values()].filter((file) => file.owner === owner);
  }

  get count(): number {
    return this.#files.size;
  }
}
