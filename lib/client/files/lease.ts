/**
 * Leases (guide 17 §1, §10, §11): an open of a file under a lock that the MDT takes back as soon as anybody else opens
 * it, and a close that changes the file's layout only if that has not happened.
 */

import type { ClientLock } from '../../ldlm/client-lock.ts';
import { Errno, errnoError, ProtocolError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { MdValid, OpenFlag } from '../../wire/mds-constants.ts';
import type { Attributes } from '../engine.ts';
import { type CloseIntent, close, closeWithIntent } from '../mdc/close.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { type OpenResult, open } from '../mdc/intent-open.ts';
import type { OpenState } from '../mdc/open-state.ts';
import { holds, type Inode } from '../namespace/inodes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';

export interface Lease {
  readonly inode: Inode;
  readonly state: OpenState;
  readonly lock: ClientLock;
}

/**
 * Rejects with EBUSY when somebody has the file open (servers of 2.17: for writing), EOPNOTSUPP where the server has no
 * leases. A kernel's MDT takes one of the writers for whoever asks, without looking (mdt_object_open_lock): so the file is
 * open for writing here while it is asked.
 */
export async function openLease(
  session: Session,
  inode: Inode,
  flags: bigint,
  context: WalkContext,
): Promise<Lease> {
  const { mdt } = inode;
  const own = await openOwn(session, inode, context);
  try {
    return await acquire(session, inode, flags, own.state.handle, context);
  } finally {
    if (own.lock !== undefined) mdt.locks.release(own.lock);
    await closeOwn(session, inode, own.state, context);
  }
}

function openOwn(session: Session, { mdt, fid }: Inode, context: WalkContext): Promise<OpenResult> {
  const flags = OpenFlag.MDS_FMODE_READ | OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_DELAY_CREATE;
  return open(mdt, { parent: fid, child: fid, flags, mode: 0 }, session.who, options(context));
}

async function acquire(
  session: Session,
  inode: Inode,
  flags: bigint,
  ownHandle: bigint,
  context: WalkContext,
): Promise<Lease> {
  const { mdt, fid } = inode;
  const what = {
    parent: fid,
    child: fid,
    flags: flags | OpenFlag.MDS_OPEN_LOCK | OpenFlag.MDS_OPEN_LEASE,
    mode: 0,
    ownHandle,
  };
  const { state, lock, leased } = await open(mdt, what, session.who, options(context));
  const usable = lock !== undefined && holds(lock, InodeBit.MDS_INODELOCK_OPEN);
  if (leased && usable) return { inode, state, lock };
  if (lock !== undefined) mdt.locks.release(lock);
  await closeOwn(session, inode, state, context);
  if (!leased) throw errnoError(Errno.EOPNOTSUPP, { ...options(context).context, target: mdt.name });
  throw new ProtocolError('EPROTO', 'a lease came without its lock', { target: mdt.name });
}

/** Gives back a handle through which nothing was done. */
async function closeOwn(
  session: Session,
  { mdt, fid, body }: Inode,
  state: OpenState,
  context: WalkContext,
): Promise<void> {
  const group = supplementaryGroup(session.who, body.mbo_gid);
  const closing = { fid, state, mode: body.mbo_mode, group, modified: false };
  await close(mdt, closing, session.who, options(context));
}

/** Closes with what is to happen then. Rejects with EBUSY when the lease was broken meanwhile: nothing has changed. */
export async function closeLease(
  session: Session,
  { inode, state, lock }: Lease,
  attributes: Attributes,
  intent: CloseIntent | undefined,
  context: WalkContext,
): Promise<void> {
  const { mdt, fid } = inode;
  const seconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
  const closing = {
    fid,
    state,
    mode: attributes.mode,
    group: supplementaryGroup(session.who, attributes.gid),
    atime: seconds(attributes.atimeMs),
    mtime: seconds(attributes.mtimeMs),
    ctime: seconds(attributes.ctimeMs),
    size: { bytes: BigInt(attributes.size), blocks: BigInt(attributes.blocks) },
    modified: false,
  };
  const leaseHandle = lock.serverHandle;
  const held = lock.state === 'GRANTED';
  if (intent === undefined) {
    // A close without an intent does not name the lease: the server would keep its lock.
    mdt.locks.release(lock);
    await mdt.locks.cancel(lock);
    await close(mdt, closing, session.who, options(context));
    return;
  }
  // The server gives it up with the close.
  await mdt.locks.surrender(lock);
  if (!held) {
    await close(mdt, closing, session.who, options(context));
    throw busy(context);
  }
  const data = { ...intent.data, cd_handle: leaseHandle };
  const body = await closeWithIntent(mdt, closing, { ...intent, data }, session.who, options(context));
  if ((body.mbo_valid & MdValid.OBD_MD_CLOSE_INTENT_EXECED) === 0n) throw busy(context);
}

const busy = (context: WalkContext): Error =>
  errnoError(Errno.EBUSY, { ...options(context).context, hint: 'Somebody else has opened the file' });
