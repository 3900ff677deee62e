/** Open handles of all clients, in memory (guide 09 §5): which objects are open, how, and by whom. */
import { type Fid, fidKey, formatFid } from '../../fid/fid.ts';
import { HandleTable } from '../../ldlm/handle-table.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { OpenFlag } from '../../wire/mds-constants.ts';

const ETXTBSY = 26;

export interface OpenFile {
  readonly handle: bigint;
  readonly fid: Fid;
  /** OpenFlag bits. */
  readonly flags: bigint;
  /** Whose it is: any object that stands for the client. */
  readonly owner: object;
  /** All who have the object open. */
  readonly users: Users;
}

interface Users {
  handles: number;
  writers: number;
  executors: number;
  /** When somebody last chose the time of access, seconds. */
  atimeChosen: bigint;
}

export class OpenFiles {
  readonly #files: HandleTable<OpenFile>;
  /** By object. */
  readonly #users = new Map<string, Users>();

  constructor(runtime: Runtime) {
    this.#files = new HandleTable(runtime);
  }

  /** Throws ETXTBSY when a running program is opened for writing, or a file that is written for execution. */
  check(fid: Fid, flags: bigint): void {
    const users = this.#users.get(fidKey(fid));
    if (users === undefined) return;
    const writes = (flags & OpenFlag.MDS_FMODE_WRITE) !== 0n;
    const executes = (flags & OpenFlag.MDS_FMODE_EXEC) !== 0n;
    if ((writes && users.executors > 0) || (executes && users.writers > 0))
      throw errnoError(ETXTBSY, { syscall: 'open', fid: formatFid(fid) });
  }

  open(owner: object, fid: Fid, flags: bigint): OpenFile {
    const key = fidKey(fid);
    let users = this.#users.get(key);
    if (users === undefined) {
      users = { handles: 0, writers: 0, executors: 0, atimeChosen: 0n };
      this.#users.set(key, users);
    }
    users.handles++;
    if ((flags & OpenFlag.MDS_FMODE_WRITE) !== 0n) users.writers++;
    if ((flags & OpenFlag.MDS_FMODE_EXEC) !== 0n) users.executors++;
    const file: OpenFile = { handle: this.#files.issue(), fid: { ...fid }, flags, owner, users };
    this.#files.add(file);
    return file;
  }

  find(owner: object, handle: bigint): OpenFile | undefined {
    const file = this.#files.get(handle);
    return file?.owner === owner ? file : undefined;
  }

  close(file: OpenFile): void {
    if (this.#files.get(file.handle) !== file) return;
    this.#files.delete(file);
    const { users } = file;
    users.handles--;
    if ((file.flags & OpenFlag.MDS_FMODE_WRITE) !== 0n) users.writers--;
    if ((file.flags & OpenFlag.MDS_FMODE_EXEC) !== 0n) users.executors--;
    if (users.handles === 0) this.#users.delete(fidKey(file.fid));
  }

  /** A time of access was chosen: closes that tell of reads before `at` are not to undo it. */
  chooseAtime(fid: Fid, at: bigint): void {
    const users = this.#users.get(fidKey(fid));
    if (users !== undefined) users.atimeChosen = at;
  }

  /** Zero where nobody has since the file was opened. */
  atimeChosen({ users }: OpenFile): bigint {
    return users.atimeChosen;
  }

  isOpen(fid: Fid): boolean {
    return this.#users.has(fidKey(fid));
  }

  of(owner: object): OpenFile[] {
    return [...this.#files.all()].filter((file) => file.owner === owner);
  }

  get count(): number {
    return this.#files.size;
  }
}
