/**
 * Changes of a file's layout that keep its data (guide 17 §10, §11): the file is opened under a lease, data are copied to
 * where they shall be, and the close changes the layout if nobody has opened the file meanwhile.
 */
import { constants } from 'node:fs';
import { parseFid } from '../../fid/fid.ts';
import { mirrorsOf } from '../../layout/file-layout.ts';
import { encodeStriping, hasStriping, type StripingOptions } from '../../layout/striping.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { OpBias, OpenFlag } from '../../wire/mds-constants.ts';
import type { Attributes, LayoutChange } from '../engine.ts';
import { openFlags } from '../flags.ts';
import type { CloseIntent } from '../mdc/close.ts';
import { open } from '../mdc/intent-open.ts';
import { resync } from '../mdc/reint-resync.ts';
import { isRegular } from '../namespace/attributes.ts';
import { earlyCancels } from '../namespace/early-cancels.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type PathWalker, type WalkContext } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';
import type { FileRanges } from './file-ranges.ts';
import { setAttributes } from './file-setattr.ts';
import type { Files } from './files.ts';
import { closeLease, type Lease, openLease } from './lease.ts';
import type { OpenFile } from './open-file.ts';

const { O_RDWR, O_CREAT, O_EXCL } = constants;
/** Ids of components that fit into a close. */
const INLINE_IDS = 15;
/** Begins the name of a file that shall have none (guide 17 §11). */
const UNNAMED = '.\x0c\x13\x14\x12:VOLATILE';

export interface LeasedFile {
  readonly file: OpenFile;
  readonly lease: Lease;
}

export class LeasedFiles {
  readonly #session: Session;
  readonly #walker: PathWalker;
  readonly #files: Files;
  readonly #ranges: FileRanges;

  constructor(
    session: Session,
    { walker, files, ranges }: { walker: PathWalker; files: Files; ranges: FileRanges },
  ) {
    this.#session = session;
    this.#walker = walker;
    this.#files = files;
    this.#ranges = ranges;
  }

  /** Rejects with EBUSY when somebody has the file open, EOPNOTSUPP where the server has no leases. */
  async open(flags: number, forResync: boolean, context: WalkContext): Promise<LeasedFile> {
    const inode = await this.#walker.resolve(context.path, true, 'getattr', context);
    if (!isRegular(inode.body.mbo_mode)) throw errnoError(Errno.EINVAL, options(context).context);
    const wanted = openFlags(flags) | (forResync ? OpenFlag.MDS_OPEN_RESYNC : 0n);
    const lease = await openLease(this.#session, inode, wanted, context);
    const leased = { file: this.#files.openWithout(inode, flags, context), lease };
    if (!forResync) return leased;
    try {
      // What caches hold would be refused by the OSTs later.
      await this.#ranges.inodeVersion(inode, 'write', context);
      const cancels = await earlyCancels(inode.mdt, inode, InodeBit.MDS_INODELOCK_LAYOUT);
      const what = { fid: inode.fid, lease: lease.lock.serverHandle, cancels };
      await resync(inode.mdt, what, this.#session.who, options(context));
      return leased;
    } catch (error) {
      await this.close(leased, context).catch(() => undefined);
      throw error;
    }
  }

  /** One mirror of a file, whatever its state. Rejects with EINVAL where there is no such mirror. */
  async openMirror({ inode, flags }: OpenFile, id: number, context: WalkContext): Promise<OpenFile> {
    const layout = await this.#files.layouts.current(inode, context);
    if (layout === undefined || !mirrorsOf(layout).has(id)) {
      const has = layout === undefined ? 'none' : [...mirrorsOf(layout).keys()].join(', ');
      const hint = `There is no mirror ${id}: it has ${has}`;
      throw errnoError(Errno.EINVAL, { ...options(context).context, hint });
    }
    return this.#files.openWithout(inode, flags, context, { id, generation: layout.generation });
  }

  /** A file without a name beside another, with its owner; it is gone when it is closed. Without `striping` it gets no
   * layout. */
  async openUnnamed(
    beside: OpenFile,
    striping: StripingOptions | undefined,
    context: WalkContext,
  ): Promise<OpenFile> {
    const { inode } = beside;
    const { parent } = await this.#walker.place(beside.path, context);
    const flags = O_RDWR | O_CREAT | O_EXCL;
    const index = inode.mdt.index.toString(16).toUpperCase().padStart(4, '0');
    const random = Buffer.from(this.#session.runtime.random(4)).toString('hex').toUpperCase();
    const delayed = striping === undefined ? OpenFlag.MDS_OPEN_DELAY_CREATE : 0n;
    const what = {
      parent: parent.fid,
      name: `${UNNAMED}:${index}:${random}`,
      child: await inode.mdt.fids.allocate(),
      flags: openFlags(flags) | OpenFlag.MDS_OPEN_VOLATILE | delayed,
      mode: 0o600,
      ...(striping !== undefined && hasStriping(striping) && { striping: encodeStriping(striping) }),
    };
    const begun = this.#walker.cache.begin();
    const result = await open(inode.mdt, what, this.#session.who, options(context));
    const file = this.#files.openAs(inode.mdt, flags, result, begun, context);
    const { mbo_uid: uid, mbo_gid: gid } = inode.body;
    const { who } = this.#session;
    try {
      if (uid !== who.uid || gid !== who.gid)
        await setAttributes(this.#session, this.#files, file, { uid, gid }, context);
      return file;
    } catch (error) {
      await this.#files.close(file).catch(() => undefined);
      throw error;
    }
  }

  /** Gives the lease back and leaves the layout as it is. */
  async close({ file, lease }: LeasedFile, context: WalkContext): Promise<void> {
    try {
      const attributes = await this.#files.attributes(file.inode, context, false);
      await closeLease(this.#session, lease, attributes, undefined, context);
    } finally {
      await this.#files.close(file);
    }
  }

  /** Gives the lease back and changes the layout. Rejects with EBUSY when the lease was broken: nothing has changed. */
  async change(
    { file, lease }: LeasedFile,
    change: LayoutChange,
    other: OpenFile | undefined,
    context: WalkContext,
  ): Promise<void> {
    const { inode } = file;
    try {
      await file.idle();
      const [own, others] = [
        await this.#settled(file, context),
        other && (await this.#settled(other, context)),
      ];
      const blocks = own.blocks + blocksAdded(change, own, others);
      const intent = intentOf(change, other?.inode);
      await closeLease(this.#session, lease, { ...own, blocks }, intent, context);
    } finally {
      inode.expire();
      other?.inode.expire();
      await this.#files.close(file);
    }
  }

  /** The attributes when all bytes are at the servers. */
  async #settled({ inode }: OpenFile, context: WalkContext): Promise<Attributes> {
    await this.#files.cache.flushFile(inode.key);
    return this.#files.attributes(inode, context);
  }
}

/** Of an MDT that keeps the size and the blocks of a file that nobody has open. */
function blocksAdded(change: LayoutChange, own: Attributes, other: Attributes | undefined): number {
  if (change.kind === 'merge') return other?.blocks ?? 0;
  return change.kind === 'resynced' ? own.blocks * change.components.length : 0;
}

function intentOf(change: LayoutChange, other: Inode | undefined): CloseIntent {
  switch (change.kind) {
    case 'merge':
      return { bias: OpBias.MDS_CLOSE_LAYOUT_MERGE, data: { cd_fid: other!.fid }, exact: true };
    case 'swap': {
      const [cd_data_version, cd_data_version2] = change.versions;
      const data = { cd_fid: other!.fid, cd_data_version, cd_data_version2 };
      return { bias: OpBias.MDS_CLOSE_LAYOUT_SWAP | OpBias.MDS_CLOSE_LAYOUT_SWAP_HSM, data, exact: false };
    }
    case 'split': {
      const data = { cd_fid: parseFid(change.into), cd_mirror_id: change.mirror };
      return { bias: OpBias.MDS_CLOSE_LAYOUT_SPLIT, data, exact: false };
    }
    case 'resynced': {
      const { components } = change;
      const inline = components.length <= INLINE_IDS ? components : [];
      const cd_resync = {
        resync_count: components.length,
        resync_ids_inline: [...inline, ...new Array<number>(INLINE_IDS - inline.length).fill(0)],
      };
      const ids = components.length <= INLINE_IDS ? [0] : components;
      return { bias: OpBias.MDS_CLOSE_RESYNC_DONE, data: { cd_resync }, ids, exact: true };
    }
  }
}
