/** Calls of the engine on ranges of open files, beside reading and writing a program's memory. */

import type { Advice, Extent, FallocateMode, FileSegment, SeekWhat, VersionFlush } from '../engine.ts';
import { FileRanges } from '../files/file-ranges.ts';
import { flightBounds } from '../files/flight-bounds.ts';
import { NotStraight } from '../osc/brw.ts';
import type { Session } from '../session.ts';
import type { FlightBounds } from '../transfers/transfers.ts';
import { EngineBase } from './engine-base.ts';

export class RangeCalls extends EngineBase {
  protected readonly ranges: FileRanges;

  constructor(session: Session, onActivity?: (busy: boolean) => void) {
    super(session, onActivity);
    this.ranges = new FileRanges(session, this.files);
  }

  handleCopyOut(
    handle: number,
    local: FileSegment,
    position: number,
    operation?: number,
  ): Promise<number | undefined> {
    return this.#copy('read', handle, local, position, operation);
  }

  handleCopyIn(
    handle: number,
    local: FileSegment,
    position: number,
    operation?: number,
  ): Promise<number | undefined> {
    return this.#copy('write', handle, local, position, operation);
  }

  async handleFlightBounds(handle: number, operation?: number): Promise<FlightBounds> {
    const file = this.file(handle, 'layout');
    return this.run('layout', file.path, operation, async (context) =>
      flightBounds(this.session, await this.files.layouts.current(file.inode, context)),
    );
  }

  async #copy(
    call: 'read' | 'write',
    handle: number,
    local: FileSegment,
    position: number,
    operation: number | undefined,
  ): Promise<number | undefined> {
    const file = this.file(handle, call);
    return this.run(call, file.path, operation, (context) =>
      file.using(() => straight(this.files[call](file, local, position, context))),
    );
  }

  async handleSeek(
    handle: number,
    offset: number,
    what: SeekWhat,
    operation?: number,
  ): Promise<number | undefined> {
    const file = this.file(handle, 'lseek');
    return this.run('lseek', file.path, operation, (context) =>
      file.using(() => this.ranges.seek(file, offset, what, context)),
    );
  }

  async handleFallocate(
    handle: number,
    mode: FallocateMode,
    start: number,
    end: number,
    operation?: number,
  ): Promise<void> {
    const file = this.file(handle, 'fallocate');
    return this.run('fallocate', file.path, operation, (context) =>
      file.using(() => this.ranges.fallocate(file, mode, { start, end }, context)),
    );
  }

  async handleExtents(handle: number, start: number, end: number, operation?: number): Promise<Extent[]> {
    const file = this.file(handle, 'fiemap');
    return this.run('fiemap', file.path, operation, (context) =>
      file.using(() => this.ranges.extents(file, { start, end }, context)),
    );
  }

  async handleAdvise(
    handle: number,
    advice: Advice,
    start: number,
    end: number,
    background: boolean,
    operation?: number,
  ): Promise<void> {
    const file = this.file(handle, 'ladvise');
    return this.run('ladvise', file.path, operation, (context) =>
      file.using(() => this.ranges.advise(file, advice, { start, end }, background, context)),
    );
  }

  async handleDataVersion(handle: number, flush: VersionFlush, operation?: number): Promise<bigint> {
    const file = this.file(handle, 'dataVersion');
    return this.run('dataVersion', file.path, operation, (context) =>
      file.using(() => this.ranges.dataVersion(file, flush, context)),
    );
  }
}

/** Undefined where the bytes have to go through memory. */
async function straight(moved: Promise<number>): Promise<number | undefined> {
  try {
    return await moved;
  } catch (error) {
    if (error instanceof NotStraight) return undefined;
    throw error;
  }
}
