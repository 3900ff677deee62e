/** Calls of the engine that change where the data of a file lie. */
import { Errno, errnoError } from '../../runtime/errors.ts';
import type { LayoutChange, StripingOptions } from '../engine.ts';
import { type LeasedFile, LeasedFiles } from '../files/leased-files.ts';
import type { OpenFile } from '../files/open-file.ts';
import { options } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';
import { AdministrationCalls } from './administration-calls.ts';

export class LayoutCalls extends AdministrationCalls {
  readonly #leased: LeasedFiles;
  readonly #leases = new Map<number, LeasedFile>();

  constructor(session: Session, onActivity?: (busy: boolean) => void) {
    super(session, onActivity);
    const { walker, files, ranges } = this;
    this.#leased = new LeasedFiles(session, { walker, files, ranges });
  }

  openLeased(path: string, flags: number, resync: boolean, operation?: number): Promise<number> {
    return this.run('lease', path, operation, async (context) => {
      const leased = await this.#leased.open(flags, resync, context);
      const handle = this.#add(leased.file);
      this.#leases.set(handle, leased);
      return handle;
    });
  }

  async openMirror(handle: number, mirror: number, operation?: number): Promise<number> {
    const file = this.file(handle, 'mirror');
    return this.run('mirror', file.path, operation, async (context) =>
      this.#add(await this.#leased.openMirror(file, mirror, context)),
    );
  }

  async openUnnamed(
    handle: number,
    striping: StripingOptions | undefined,
    operation?: number,
  ): Promise<number> {
    const file = this.file(handle, 'open');
    return this.run('open', file.path, operation, async (context) =>
      this.#add(await this.#leased.openUnnamed(file, striping, context)),
    );
  }

  async changeLayout(handle: number, change: LayoutChange, operation?: number): Promise<void> {
    const leased = this.#leases.get(handle);
    if (leased === undefined) throw errnoError(Errno.EBADF, { syscall: 'changeLayout' });
    const other = 'with' in change ? this.file(change.with, 'changeLayout') : undefined;
    return this.run('changeLayout', leased.file.path, operation, async (context) => {
      if (this.session.readOnly) throw errnoError(Errno.EROFS, options(context).context);
      this.#leases.delete(handle);
      this.openFiles.delete(handle);
      await this.#leased.change(leased, change, other, context);
    });
  }

  protected override async closeOpen(handle: number): Promise<void> {
    const leased = this.#leases.get(handle);
    if (leased === undefined) return super.closeOpen(handle);
    this.#leases.delete(handle);
    this.openFiles.delete(handle);
    await this.#leased.close(leased, { syscall: 'close', path: leased.file.path });
  }

  #add(file: OpenFile): number {
    const handle = this.nextHandle++;
    this.openFiles.set(handle, file);
    return handle;
  }
}
