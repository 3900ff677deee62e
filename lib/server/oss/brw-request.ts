/** What READ and WRITE have in common (guide 12 §5.1 to §5.3): the request checked, the server-side lock, the bulk's size. */
import type { Call } from '../../connection/target.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { required } from '../../wire/format.ts';
import type { RQF_OST_BRW_READ, RQF_OST_BRW_WRITE } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { Portal } from '../../wire/opcodes.ts';
import { BrwFlag, ObdoFlag } from '../../wire/ost-constants.ts';
import type { NiobufRemote, Obdo } from '../../wire/ost-structs.ts';
import { hasFlag, hasValid, type ObjectName, objectOf, protocolError } from './object-request.ts';
import { OBJECT_BYTES_MAX, type OstContext } from './ost-context.ts';

export type BrwCall = Call<typeof RQF_OST_BRW_READ> | Call<typeof RQF_OST_BRW_WRITE>;

/** A READ or WRITE whose numbers are sane. */
export interface BrwRequest {
  readonly oa: Obdo;
  readonly object: ObjectName;
  readonly niobufs: readonly NiobufRemote[];
  /** Bytes of all niobufs. */
  readonly bytes: number;
  /** Bytes that the client's bulk descriptors could hold at most. */
  readonly brwSize: number;
  /** Data goes in the message itself. */
  readonly short: boolean;
  /** The server takes the lock. */
  readonly serverLock: boolean;
}

const NIOBUFS_MAX = 16384;
const SHORT_IO_MAX = 64 << 10;
const BULK_MAX = 16 << 20;
const PORTALS: readonly number[] = [Portal.OST_IO_PORTAL, Portal.MDS_IO_PORTAL];

/** Throws EPROTO for what breaks the rules, EFAULT for niobufs that disagree on locking, EFBIG beyond the largest object. */
export function checkBrw(call: BrwCall, ost: OstContext): BrwRequest {
  if (!PORTALS.includes(call.request.portal)) throw protocolError(`bulk on portal ${call.request.portal}`);
  const { oa } = required(call.values, 'ost_body');
  const object = objectOf(oa, ost);
  const ioobjs = required(call.values, 'obd_ioobj');
  const all = required(call.values, 'niobuf_remote');
  const ioobj = ioobjs[0];
  if (ioobj === undefined || ioobjs.length !== 1) throw protocolError(`${ioobjs.length} obd_ioobj`);
  const count = ioobj.ioo_bufcnt;
  if (count < 1 || count > NIOBUFS_MAX || all.length !== count)
    throw protocolError(`${all.length} niobufs, ${count} announced`);
  const pieces = (ioobj.ioo_max_brw >>> 16) + 1;
  if ((pieces & (pieces - 1)) !== 0) throw protocolError(`${pieces} bulk descriptors announced`);
  const bytes = checkNiobufs(all);
  const short = hasFlag(oa, ObdoFlag.OBD_FL_SHORT_IO);
  const most = short
    ? SHORT_IO_MAX
    : Math.max(1 << 20, Math.min(call.export.connectData.ocd_brw_size, BULK_MAX));
  if (bytes > most || (short && count !== 1))
    throw protocolError(`${bytes} bytes in ${count} niobufs in one RPC`);
  const locked = all.filter((niobuf) => (niobuf.rnb_flags & BrwFlag.OBD_BRW_SRVLOCK) !== 0).length;
  if (locked !== 0 && locked !== count)
    throw errnoError(Errno.EFAULT, { syscall: 'niobufs disagree on SRVLOCK' });
  return {
    oa,
    object,
    niobufs: all,
    bytes,
    brwSize: Math.min(pieces, 16) << 20,
    short,
    serverLock: locked > 0,
  };
}

/** Ascending, apart, of sane lengths and inside the largest object. */
function checkNiobufs(niobufs: readonly NiobufRemote[]): number {
  let end = 0n;
  let bytes = 0;
  niobufs.forEach((niobuf, i) => {
    if (niobuf.rnb_len === 0 || (i > 0 && niobuf.rnb_offset < end))
      throw protocolError(`niobuf ${i} of ${niobuf.rnb_len} bytes at ${niobuf.rnb_offset}`);
    end = niobuf.rnb_offset + BigInt(niobuf.rnb_len);
    bytes += niobuf.rnb_len;
  });
  if (end > OBJECT_BYTES_MAX)
    throw errnoError(Errno.EFBIG, { syscall: 'read or write beyond the largest object' });
  return bytes;
}

/** Where in its page the bulk begins. */
export const pageOffsetOf = ({ niobufs }: BrwRequest): number => Number(niobufs[0]!.rnb_offset % 4096n);

/**
 * Runs `work` under the lock that covers the request: the server's own where it is asked to take it, else the client's,
 * which gets its whole time again. A client whose lock is gone was evicted: -ESTALE (guide 12 §5.9).
 */
export async function underLock<T>(
  ost: OstContext,
  call: BrwCall,
  brw: BrwRequest,
  mode: 'read' | 'write',
  work: () => Promise<T>,
): Promise<T> {
  const last = brw.niobufs.at(-1)!;
  const extent = { start: brw.niobufs[0]!.rnb_offset, end: last.rnb_offset + BigInt(last.rnb_len) - 1n };
  const { resource } = brw.object;
  if (!brw.serverLock) {
    if (hasValid(brw.oa, MdValid.OBD_MD_FLHANDLE) && brw.oa.o_handle !== 0n) {
      if (!ost.locks.holds(call.export, resource, brw.oa.o_handle))
        throw errnoError(Errno.ESTALE, { syscall: 'read or write under a lock that is gone' });
    }
    return ost.locks.busy(call.export, resource, extent, work);
  }
  const lock = await ost.locks.lock(resource, mode === 'read' ? LockMode.LCK_PR : LockMode.LCK_PW, {
    extent,
  });
  try {
    return await work();
  } finally {
    if (mode === 'write') ost.locks.refreshLvb(resource);
    lock.release();
  }
}
