/** MDS_CLOSE (guide 09 §7): gives an open handle back, with the times and the size that the client knows. */
import type { Fid } from '../../fid/fid.ts';
import type { CallOptions } from '../../rpc/rpc.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_CLOSE, RQF_MDS_CLOSE_INTENT } from '../../wire/formats.ts';
import { OpBias, Reint, SetattrValid } from '../../wire/mds-constants.ts';
import type { CloseData, MdtBody } from '../../wire/mds-structs.ts';
import type { StructInput } from '../../wire/struct.ts';
import { type Credentials, capabilities } from './credentials.ts';
import type { OpenState } from './open-state.ts';
import { MDS_READPAGE_PORTAL, type MetadataTarget, type RequestOptions } from './target.ts';

const {
  MDS_ATTR_MODE,
  MDS_ATTR_ATIME,
  MDS_ATTR_MTIME,
  MDS_ATTR_CTIME,
  MDS_ATTR_ATIME_SET,
  MDS_ATTR_MTIME_SET,
  MDS_ATTR_CTIME_SET,
  MDS_ATTR_LSIZE,
  MDS_ATTR_LBLOCKS,
} = SetattrValid;

export interface Close {
  readonly fid: Fid;
  readonly state: OpenState;
  /** Type and permission bits. */
  readonly mode: number;
  /** Seconds; undefined where there is nothing to tell. */
  readonly atime?: bigint;
  readonly mtime?: bigint;
  readonly ctime?: bigint;
  /** Of the file, when the caller is in it. */
  readonly group: number;
  /** Size and blocks of a regular file, kept by the MDT as its lazy size. */
  readonly size?: { readonly bytes: bigint; readonly blocks: bigint };
  /** Data were written through this handle. */
  readonly modified: boolean;
}

export function closeRequest(close: Close, who: Credentials): RequestInputs<typeof RQF_MDS_CLOSE> {
  const times =
    (close.atime === undefined ? 0n : MDS_ATTR_ATIME | MDS_ATTR_ATIME_SET) |
    (close.mtime === undefined ? 0n : MDS_ATTR_MTIME | MDS_ATTR_MTIME_SET) |
    (close.ctime === undefined ? 0n : MDS_ATTR_CTIME | MDS_ATTR_CTIME_SET);
  const lazy = close.size === undefined ? 0n : MDS_ATTR_LSIZE | MDS_ATTR_LBLOCKS;
  return {
    mdt_epoch: { mio_open_handle: close.state.handle },
    rec_reint: {
      sa_opcode: Reint.REINT_SETATTR,
      sa_cap: capabilities(who),
      sa_fsuid: who.uid,
      sa_fsgid: who.gid,
      sa_suppgid: close.group,
      sa_fid: close.fid,
      sa_valid: MDS_ATTR_MODE | times | lazy,
      sa_size: close.size?.bytes ?? 0n,
      sa_blocks: close.size?.blocks ?? 0n,
      sa_atime: close.atime ?? 0n,
      sa_mtime: close.mtime ?? 0n,
      sa_ctime: close.ctime ?? 0n,
      sa_mode: close.mode,
      sa_bias: close.modified ? OpBias.MDS_DATA_MODIFIED : 0,
    },
  };
}

/** The handle is what it is when the request is sent: the MDT may be started again before. */
const ending = ({ state }: Close): CallOptions => ({
  requestPortal: MDS_READPAGE_PORTAL,
  modifies: true,
  ends: state,
  current: () => ({ mdt_epoch: { mio_open_handle: state.handle } }),
});

/** What a close is to do besides (guide 09 §7). */
export interface CloseIntent {
  /** Of OpBias. */
  readonly bias: number;
  readonly data: StructInput<typeof CloseData>;
  /** Ids of components that do not fit into `data`. */
  readonly ids?: readonly number[];
  /** Size and blocks are no guesses: the MDT may keep them as the file's. */
  readonly exact: boolean;
}

/** The same with a change of the layout that happens if the lease is still whole (guide 09 §7). */
export function closeIntentRequest(
  what: Close,
  { bias, data, ids = [0], exact }: CloseIntent,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_CLOSE_INTENT> {
  const plain = closeRequest(what, who);
  const { sa_valid = 0n, ...rest } = plain.rec_reint ?? {};
  const sized = SetattrValid.MDS_ATTR_SIZE | SetattrValid.MDS_ATTR_BLOCKS;
  const lazy = MDS_ATTR_LSIZE | MDS_ATTR_LBLOCKS;
  return {
    ...plain,
    rec_reint: {
      ...rest,
      sa_valid: exact && what.size !== undefined ? (BigInt(sa_valid) & ~lazy) | sized : sa_valid,
      sa_bias: bias,
    },
    capa1: null,
    close_data: data,
    u32: ids,
  };
}

/** Rejects with what the change was refused with; the file is closed all the same. */
export async function closeWithIntent(
  mdc: MetadataTarget,
  what: Close,
  intent: CloseIntent,
  who: Credentials,
  options: RequestOptions = {},
): Promise<MdtBody> {
  const reply = await mdc.caller.call(RQF_MDS_CLOSE_INTENT, closeIntentRequest(what, intent, who), {
    ...ending(what),
    ...options,
  });
  return required(reply.values, 'mdt_body');
}

/** Rejects with ESTALE when the server does not know the handle any more (it was restarted or evicted us). */
export async function close(
  mdc: MetadataTarget,
  what: Close,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_CLOSE, closeRequest(what, who), { ...ending(what), ...options });
}
