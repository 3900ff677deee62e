/** Layout versions of mirrored files (guide 12 §10): a write with an older layout than the object has seen is -ESTALE. */
import { Errno, errnoError } from '../../runtime/errors.ts';
import { FilterFid } from '../../wire/fid-structs.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import type { ObjectAttributes } from '../store/object-store.ts';
import { hasValid } from './object-request.ts';

/** LU_LAYOUT_RESYNC: I/O of a resync. */
const RESYNC = 0x8000_0000;
/** LU_LAYOUT_HIGEN: only versions with equal bits here compare. */
const HIGEN = 0x4000_0000;

export interface LayoutVersion {
  readonly version: number;
  readonly range: number;
}

/** The version and range that an object's filter_fid keeps; 0 where none was set. */
export function layoutVersionOf(parent: Uint8Array): LayoutVersion {
  const { ff_layout_version, ff_range } = FilterFid.decode(parent);
  return { version: ff_layout_version, range: ff_range };
}

/** filter_fid after I/O with the obdo's version; undefined when it stays. Throws ESTALE. */
export function withLayoutVersion(oa: Obdo, known: ObjectAttributes): Uint8Array | undefined {
  if (!hasValid(oa, MdValid.OBD_MD_LAYOUT_VERSION)) return undefined;
  const stored = FilterFid.decode(known.parent);
  const asked = oa.o_layout_version;
  const plain = (version: number): number => (version & ~RESYNC) >>> 0;
  const current = plain(stored.ff_layout_version) + stored.ff_range;
  if ((asked & HIGEN) === (stored.ff_layout_version & HIGEN) && plain(asked) < current)
    throw errnoError(Errno.ESTALE, { syscall: `layout version ${plain(asked)} is older than ${current}` });
  const storedResync = (stored.ff_layout_version & RESYNC) !== 0;
  const fresh = stored.ff_layout_version === 0 || storedResync || (asked & RESYNC) !== 0;
  if (fresh) {
    if (asked === stored.ff_layout_version && stored.ff_range === 0) return undefined;
    return FilterFid.encode({ ...stored, ff_layout_version: asked, ff_range: 0 });
  }
  if (plain(asked) === current) return undefined;
  return FilterFid.encode({ ...stored, ff_range: plain(asked) - plain(stored.ff_layout_version) });
}
