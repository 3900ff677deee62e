/** The intent OPEN, with or without CREAT (guide 09 §5): find or make the object, check, open, lock. */
import type { Call } from '../../../connection/target.ts';
import { type Fid, sameFid } from '../../../fid/fid.ts';
import { fidResource } from '../../../fid/resource.ts';
import type { GrantedLock, Intent, IntentContext } from '../../../ldlm/server-operations.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { ConnectFlag } from '../../../wire/connection-constants.ts';
import { required } from '../../../wire/format.ts';
import { RQF_LDLM_INTENT_OPEN } from '../../../wire/formats.ts';
import { Disposition, InodeBit, IntentOpcode, LockMode } from '../../../wire/ldlm-constants.ts';
import { MdValid, OpenFlag, Reint } from '../../../wire/mds-constants.ts';
import type { MdtRecCreate } from '../../../wire/mds-structs.ts';
import {
  type Credential,
  credentialOf,
  demand,
  isDirectory,
  isRegular,
  MAY_EXEC,
  Mode,
} from '../credential.ts';
import { giveBack, instantiate, reserveLayout, useLayout } from '../file-objects.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { checkName } from '../name-hash.ts';
import { create } from '../namespace-create.ts';
import { objectReply } from '../object-body.ts';
import { mayOpen } from '../open-check.ts';
import type { OpenFile } from '../open-files.ts';
import type { Inode } from '../records.ts';
import { nameBytes, valueBytes } from '../request-fields.ts';
import { changedDirectory } from '../server-locks.ts';
import { intentErrno, intentReply, LOOKED_UP } from './intent-reply.ts';

const D = Disposition;
const F = OpenFlag;
const V = MdValid;
const { MDS_INODELOCK_LOOKUP, MDS_INODELOCK_UPDATE, MDS_INODELOCK_PERM, MDS_INODELOCK_LAYOUT } = InodeBit;
const ENOENT = 2;
const RETRIES = 100;
/** Room for data of the file itself, which is never on this target: always there, always zero. */
const NO_INLINE_DATA = new Uint8Array(16);

type OpenCall = Call<typeof RQF_LDLM_INTENT_OPEN>;

/** The request, read once. */
interface Open {
  readonly rec: MdtRecCreate;
  readonly flags: bigint;
  readonly who: Credential;
  readonly name: Uint8Array;
  /** lov_user_md; only with HAS_EA, whatever else the buffer holds. */
  readonly striping: Uint8Array | undefined;
}

/** What is known so far; the answer is made of it, also when the open fails. */
interface Progress {
  disposition: number;
  fid: Fid | undefined;
  created: boolean;
  file: OpenFile | undefined;
  transno: bigint;
  /** A file that was there has got its objects. */
  laidOut: boolean;
  /** What was opened is a regular file. */
  regular: boolean;
}

const has = (flags: bigint, bits: bigint): boolean => (flags & bits) !== 0n;

class NameAppeared extends Error {}

export function intentOpen(mdt: MetadataTarget): Intent<typeof RQF_LDLM_INTENT_OPEN> {
  return {
    format: RQF_LDLM_INTENT_OPEN,
    async handle(call, context) {
      const open = readOpen(call, context);
      if (has(open.flags, F.MDS_FMODE_WRITE | F.MDS_OPEN_TRUNC)) mdt.checkWritable(call.export);
      const p: Progress = {
        disposition: LOOKED_UP,
        fid: undefined,
        created: false,
        file: undefined,
        transno: 0n,
        laidOut: false,
        regular: false,
      };
      let errno = 0;
      try {
        await execute(mdt, call, open, p);
      } catch (error) {
        errno = failed(mdt, p, error);
      }
      await answer(mdt, call, context, open, p, errno);
    },
  };
}

function readOpen(call: OpenCall, context: IntentContext): Open {
  const rec = required(call.values, 'rec_reint');
  const flags = BigInt(rec.cr_flags_l) | (BigInt(rec.cr_flags_h) << 32n);
  const name = nameBytes(call.request, RQF_LDLM_INTENT_OPEN, 'name');
  const mayCreate = (context.opcode & IntentOpcode.IT_CREAT) !== 0;
  if (rec.cr_opcode !== Reint.REINT_OPEN || flags === 0n) throw errnoError(71, { syscall: 'open' });
  // A client that did not say so in the intent goes down over a created file.
  if (has(flags, F.MDS_OPEN_CREAT) && !mayCreate) throw errnoError(71, { syscall: 'open' });
  if (name.length === 0 && !has(flags, F.MDS_OPEN_BY_FID)) throw errnoError(71, { syscall: 'open' });
  const striping = valueBytes(call.request, RQF_LDLM_INTENT_OPEN, 'eadata');
  const wanted = has(flags, F.MDS_OPEN_HAS_EA | F.MDS_OPEN_HAS_OBJS);
  if (wanted && striping === undefined) throw errnoError(22, { syscall: 'open' });
  if (has(flags, F.MDS_OPEN_LEASE | F.MDS_OPEN_VOLATILE)) throw errnoError(95, { syscall: 'open' });
  return {
    rec,
    flags,
    who: credentialOf(rec.cr_fsuid, rec.cr_fsgid, rec.cr_cap, rec.cr_suppgid1, rec.cr_suppgid2),
    name,
    striping: has(flags, F.MDS_OPEN_HAS_EA) ? striping : undefined,
  };
}

/** The errno for the answer; a name that is not there is none (guide 09 §5.1 step 12). */
function failed(mdt: MetadataTarget, p: Progress, error: unknown): number {
  if (p.file !== undefined) mdt.files.close(p.file);
  p.file = undefined;
  p.transno = 0n;
  const errno = intentErrno(error);
  const negative = (p.disposition & (D.DISP_LOOKUP_NEG | D.DISP_OPEN_CREATE)) === D.DISP_LOOKUP_NEG;
  return errno === ENOENT && negative ? 0 : errno;
}

async function execute(mdt: MetadataTarget, call: OpenCall, open: Open, p: Progress): Promise<void> {
  for (let attempt = 0; attempt < RETRIES; attempt++) {
    p.disposition = LOOKED_UP;
    const fid = find(mdt, open);
    if (fid !== undefined) {
      p.fid = fid;
      p.disposition |= D.DISP_LOOKUP_POS;
      await openExisting(mdt, call, open, p, fid);
      return;
    }
    p.disposition |= D.DISP_LOOKUP_NEG;
    if (open.name.length === 0 || !has(open.flags, F.MDS_OPEN_CREAT))
      throw errnoError(ENOENT, { syscall: 'open' });
    try {
      await createAndOpen(mdt, call, open, p);
      return;
    } catch (error) {
      if (!(error instanceof NameAppeared)) throw error;
    }
  }
  throw errnoError(16, { syscall: 'open', hint: 'The name changed again and again' });
}

function find(mdt: MetadataTarget, { rec, name, who }: Open): Fid | undefined {
  if (name.length === 0) return mdt.view.find(rec.cr_fid2) === undefined ? undefined : rec.cr_fid2;
  checkName(name);
  const parent = mdt.view.directory(rec.cr_fid1);
  demand(who, parent, MAY_EXEC, mdt.view.acl(rec.cr_fid1, parent));
  return mdt.view.lookup(rec.cr_fid1, name)?.fid;
}

async function createAndOpen(mdt: MetadataTarget, call: OpenCall, open: Open, p: Progress): Promise<void> {
  const { rec, flags, who, name, striping } = open;
  p.disposition |= D.DISP_OPEN_CREATE;
  mdt.checkWritable(call.export);
  const withObjects =
    striping !== undefined || (has(flags, F.MDS_FMODE_WRITE) && !has(flags, F.MDS_OPEN_DELAY_CREATE));
  const reserved = withObjects ? await reserveLayout(mdt, rec.cr_fid1, striping) : undefined;
  try {
    const { transno } = await mdt.modifyLocked(call, [changedDirectory(rec.cr_fid1)], (ns) => {
      const layout = reserved === undefined ? undefined : useLayout(mdt, ns, rec.cr_fid2, reserved);
      const made = {
        parent: rec.cr_fid1,
        name,
        fid: rec.cr_fid2,
        mode: (rec.cr_mode & 0o7777) | Mode.S_IFREG,
        umask: rec.cr_umask,
        time: rec.cr_time,
        layout,
      };
      try {
        create(ns, who, made);
      } catch (error) {
        throw ns.lookup(rec.cr_fid1, name) === undefined ? error : new NameAppeared();
      }
      // In the transaction, so that nobody finds the file closed and removes it in between.
      p.file = openFile(mdt, call, rec.cr_fid2, flags);
    });
    p.transno = transno;
  } catch (error) {
    if (reserved !== undefined) giveBack(mdt, reserved);
    throw error;
  }
  p.fid = rec.cr_fid2;
  p.created = true;
  p.regular = true;
  if (reserved === undefined) tellUnstriped(call, p);
  p.disposition |= D.DISP_OPEN_OPEN;
}

async function openExisting(
  mdt: MetadataTarget,
  call: OpenCall,
  open: Open,
  p: Progress,
  fid: Fid,
): Promise<void> {
  const { flags, who, striping } = open;
  const inode = mdt.view.inode(fid);
  // Whoever asks sees to that it is a symlink, as with a kernel's MDT (mdt_finish_open).
  const link = (inode.mode & Mode.S_IFMT) === Mode.S_IFLNK;
  if (!link && has(flags, F.MDS_OPEN_CREAT) && has(flags, F.MDS_OPEN_EXCL)) {
    p.disposition |= D.DISP_OPEN_CREATE;
    throw errnoError(17, { syscall: 'open' });
  }
  if (!mayOpen(call.export, mdt.view.acl(fid, inode), who, inode, flags)) return;
  mdt.files.check(fid, flags);
  p.regular = isRegular(inode);
  const delayed = has(flags, F.MDS_OPEN_DELAY_CREATE);
  const unstriped = isRegular(inode) && mdt.layoutOf(fid) === undefined;
  if (isRegular(inode) && (striping !== undefined || (has(flags, F.MDS_FMODE_WRITE) && !delayed))) {
    const made = await instantiate(mdt, call, fid, striping);
    p.transno = made?.transno ?? 0n;
    p.laidOut = made !== undefined;
  }
  if (unstriped) tellUnstriped(call, p);
  // It may have gone while objects were made for it.
  mdt.view.inode(fid);
  p.file = openFile(mdt, call, fid, flags);
  p.disposition |= D.DISP_OPEN_OPEN;
  if (p.transno === 0n) p.transno = mdt.emptyTransno();
}

/** The file came without a layout, whether it has one now or not. */
function tellUnstriped(call: OpenCall, p: Progress): void {
  const knows = (call.export.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_DISP_STRIPE) !== 0n;
  if (knows) p.disposition |= D.DISP_OPEN_STRIPE;
}

function openFile(mdt: MetadataTarget, call: OpenCall, fid: Fid, flags: bigint): OpenFile {
  if (!call.export.connected) throw errnoError(107, { syscall: 'open' });
  return mdt.files.open(call.export, fid, flags);
}

async function answer(
  mdt: MetadataTarget,
  call: OpenCall,
  context: IntentContext,
  open: Open,
  p: Progress,
  errno: number,
): Promise<void> {
  let lock: GrantedLock | undefined;
  // A layout that was changed under an exclusive lock comes without another, as with kernels.
  if (errno === 0 && p.fid !== undefined && !p.laidOut)
    lock = await lockOpened(mdt, call, context, open, p.fid, p.regular);
  // After the lock, for which it may have waited.
  const inode = p.fid === undefined ? undefined : mdt.view.find(p.fid);
  if (lock !== undefined && has(open.flags, F.MDS_OPEN_LOCK)) p.disposition |= D.DISP_OPEN_LOCK;
  const { dlm_rep, status } = intentReply({ disposition: p.disposition, errno, lock });
  if (p.fid === undefined || inode === undefined) {
    call.reply({ dlm_rep, mdt_body: {}, niobuf_inline: NO_INLINE_DATA }, { status });
    return;
  }
  const { mdt_body, mdt_md, acl } = objectReply(mdt.view, p.fid, inode, wantedOf(inode), mdt.maxLayoutSize);
  mdt_body.mbo_open_handle = p.file?.handle ?? 0n;
  call.reply(
    { dlm_rep, mdt_body, mdt_md, acl, niobuf_inline: NO_INLINE_DATA },
    { status, transno: p.transno },
  );
}

function wantedOf(inode: Inode): bigint {
  if (isDirectory(inode)) return V.OBD_MD_FLACL | V.OBD_MD_MEA;
  return V.OBD_MD_FLACL | V.OBD_MD_FLEASIZE | V.OBD_MD_FLMODEASIZE;
}

/** Guide 09 §5.1 step 10. Without MDS_OPEN_LOCK only what nobody minds is given; directories get nothing. */
async function lockOpened(
  mdt: MetadataTarget,
  call: OpenCall,
  context: IntentContext,
  open: Open,
  fid: Fid,
  regular: boolean,
): Promise<GrantedLock | undefined> {
  const { ocd_connect_flags: granted } = call.export.connectData;
  const layout = regular && (granted & ConnectFlag.OBD_CONNECT_LAYOUTLOCK) !== 0n;
  const layoutBit = layout ? BigInt(MDS_INODELOCK_LAYOUT) : 0n;
  let lock: GrantedLock | undefined;
  if (has(open.flags, F.MDS_OPEN_LOCK)) {
    const { MDS_INODELOCK_OPEN } = InodeBit;
    const inodeBits = BigInt(MDS_INODELOCK_LOOKUP | MDS_INODELOCK_OPEN);
    lock = await context.grant(fidResource(fid), openLockMode(open.flags), { inodeBits, tryBits: layoutBit });
  } else if (regular) {
    const bits = MDS_INODELOCK_LOOKUP | MDS_INODELOCK_UPDATE | MDS_INODELOCK_PERM;
    const tryBits = BigInt(bits) | layoutBit;
    lock = await context.grant(fidResource(fid), LockMode.LCK_PR, { inodeBits: 0n, tryBits });
  }
  if (lock === undefined || open.name.length === 0) return lock;
  // LOOKUP says that the name is this object's.
  const named = mdt.view.lookup(open.rec.cr_fid1, open.name);
  if (named !== undefined && sameFid(named.fid, fid)) return lock;
  lock.cancel();
  return undefined;
}

function openLockMode(flags: bigint): number {
  if (has(flags, F.MDS_FMODE_WRITE)) return LockMode.LCK_CW;
  return has(flags, F.MDS_FMODE_EXEC) ? LockMode.LCK_PR : LockMode.LCK_CR;
}
