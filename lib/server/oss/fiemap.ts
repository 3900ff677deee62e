/** OST_GET_INFO with the key `fiemap` (guide 12 §9): which ranges of an object have data. Where they are on disk is the
 * business of the file system below, so each extent says that its place is unknown. */
import type { Call } from '../../connection/target.ts';
import { required } from '../../wire/format.ts';
import type { RQF_OST_GET_INFO_FIEMAP } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { Fiemap as Flag, ObdoFlag } from '../../wire/ost-constants.ts';
import { Fiemap, FiemapExtent } from '../../wire/ost-structs.ts';
import type { ObjectId } from '../store/object-store.ts';
import { hasFlag, objectOf } from './object-request.ts';
import { OBJECT_EOF, type OstContext } from './ost-context.ts';

/** Extents of one reply, whatever is asked. */
const EXTENTS_MAX = 1024;

interface Found {
  readonly start: bigint;
  readonly end: bigint;
}

export async function objectFiemap(
  ost: OstContext,
  call: Call<typeof RQF_OST_GET_INFO_FIEMAP>,
): Promise<void> {
  const { lfik_oa: oa, lfik_fiemap: asked } = required(call.values, 'fiemap_key');
  const object = objectOf(oa, ost);
  const start = asked.fm_start;
  const end = asked.fm_length > OBJECT_EOF - start ? OBJECT_EOF : start + asked.fm_length;
  // Where there is a hole on disk, somebody's cache may have data: they write them before we look.
  const lock = hasFlag(oa, ObdoFlag.OBD_FL_SRVLOCK)
    ? await ost.locks.lock(object.resource, LockMode.LCK_PR, { extent: { start, end } })
    : undefined;
  try {
    const room = Math.min(asked.fm_extent_count, EXTENTS_MAX);
    const counts = asked.fm_extent_count === 0;
    const { extents, last } = await find(ost, object.id, start, end, counts ? EXTENTS_MAX : room);
    const value = new Uint8Array(Fiemap.size + (counts ? 0 : room) * FiemapExtent.size);
    value.set(Fiemap.encode({ ...asked, fm_mapped_extents: extents.length, fm_extent_count: room }));
    if (!counts)
      extents.forEach((extent, i) => {
        const isLast = last && i === extents.length - 1;
        const bytes = FiemapExtent.encode({
          fe_logical: extent.start,
          fe_length: extent.end - extent.start,
          fe_flags: Flag.FIEMAP_EXTENT_UNKNOWN | (isLast ? Flag.FIEMAP_EXTENT_LAST : 0),
        });
        value.set(bytes, Fiemap.size + i * FiemapExtent.size);
      });
    call.reply({ fiemap_val: value });
  } finally {
    lock?.release();
  }
}

/** At most `room` extents of `[start, end)`; `last` when no data follow them in the object. */
async function find(
  ost: OstContext,
  id: ObjectId,
  start: bigint,
  end: bigint,
  room: number,
): Promise<{ extents: Found[]; last: boolean }> {
  const extents: Found[] = [];
  for (let at = start; ; ) {
    const data = await ost.store.seek(id, at, 'data');
    if (data === undefined) return { extents, last: true };
    if (data >= end || extents.length === room) return { extents, last: false };
    const hole = await ost.store.seek(id, data, 'hole');
    // Cut away meanwhile.
    if (hole === undefined) return { extents, last: true };
    extents.push({ start: data, end: hole < end ? hole : end });
    at = hole;
  }
}
