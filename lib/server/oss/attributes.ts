/** OST_GETATTR and OST_SETATTR (guide 12 §4.1, §4.2). */
import type { Operation } from '../../connection/target.ts';
import { Errno } from '../../runtime/errors.ts';
import { FilterFid } from '../../wire/fid-structs.ts';
import { required } from '../../wire/format.ts';
import { RQF_OST_GETATTR, RQF_OST_SETATTR } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { operation } from '../operation.ts';
import type { ObjectAttributes, StoredAttributes } from '../store/object-store.ts';
import { layoutVersionOf } from './layout-version.ts';
import {
  ATTRIBUTES_VALID,
  attributeFields,
  hasFlag,
  hasValid,
  objectOf,
  ownershipOf,
  refuseReadOnly,
  timesOf,
} from './object-request.ts';
import { OBJECT_EOF, type OstContext } from './ost-context.ts';
import { rememberTimes } from './time-order.ts';

const {
  OBD_MD_FLATIME,
  OBD_MD_FLMTIME,
  OBD_MD_FLCTIME,
  OBD_MD_FLSIZE,
  OBD_MD_FLUID,
  OBD_MD_FLGID,
  OBD_MD_FLPROJID,
  OBD_MD_FLDATAVERSION,
  OBD_MD_FLFLAGS,
  OBD_MD_LAYOUT_VERSION,
} = MdValid;

export function ostGetattr(ost: OstContext): Operation {
  return operation(RQF_OST_GETATTR, async (call) => {
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    const lock = hasFlag(oa, ObdoFlag.OBD_FL_SRVLOCK)
      ? await ost.locks.lock(
          object.resource,
          // PW makes clients flush and drop; PR only makes writers flush.
          hasFlag(oa, ObdoFlag.OBD_FL_FLUSH) ? LockMode.LCK_PW : LockMode.LCK_PR,
          { extent: { start: 0n, end: OBJECT_EOF } },
        )
      : undefined;
    try {
      const attributes = await ost.store.getAttributes(object.id);
      const layout = layoutVersionOf(attributes.parent);
      const layoutValid = layout.version > 0 ? OBD_MD_LAYOUT_VERSION : 0n;
      call.reply({
        ost_body: {
          oa: {
            ...attributeFields(attributes),
            o_valid: ATTRIBUTES_VALID | OBD_MD_FLDATAVERSION | OBD_MD_FLFLAGS | layoutValid,
            o_oi: { oi_fid: object.fid },
            o_flags: ObdoFlag.OBD_FL_FLUSH,
            o_data_version: attributes.version,
            o_layout_version: layout.version + layout.range,
          },
        },
      });
    } finally {
      lock?.release();
    }
  });
}

export function ostSetattr(ost: OstContext): Operation {
  return operation(RQF_OST_SETATTR, async (call) => {
    refuseReadOnly(call.export);
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    // A size can only be set by PUNCH.
    if (hasValid(oa, OBD_MD_FLSIZE) && oa.o_size !== OBJECT_EOF) return call.fail(Errno.EPERM);
    const known = await ost.store.getAttributes(object.id);
    const transno = ost.commits.next();
    await ost.store.setAttributes(object.id, { ...changes(oa, known), version: transno });
    if ((oa.o_valid & (OBD_MD_FLATIME | OBD_MD_FLMTIME | OBD_MD_FLCTIME)) !== 0n) rememberTimes(call, oa);
    ost.locks.refreshLvb(object.resource);
    const attributes = await ost.store.getAttributes(object.id);
    call.reply(
      {
        ost_body: {
          oa: { ...attributeFields(attributes), o_valid: ATTRIBUTES_VALID, o_oi: { oi_fid: object.fid } },
        },
      },
      { transno },
    );
  });
}

function changes(oa: Obdo, known: ObjectAttributes): Partial<StoredAttributes> {
  const parent = ownershipOf(oa, { ...known, owned: true });
  return {
    ...timesOf(oa, 0n),
    ...(hasValid(oa, OBD_MD_FLUID) ? { uid: oa.o_uid, owned: true } : {}),
    ...(hasValid(oa, OBD_MD_FLGID) ? { gid: oa.o_gid, owned: true } : {}),
    ...(hasValid(oa, OBD_MD_FLPROJID) ? { projid: oa.o_projid } : {}),
    ...parent,
    ...layoutVersion(oa, parent.parent ?? known.parent),
  };
}

/** An MDT raises the version before it lets a mirrored file be written (guide 12 §10). */
function layoutVersion(oa: Obdo, parent: Uint8Array): { parent?: Uint8Array } {
  if (!hasValid(oa, OBD_MD_LAYOUT_VERSION)) return {};
  const kept = FilterFid.decode(parent);
  return { parent: FilterFid.encode({ ...kept, ff_layout_version: oa.o_layout_version, ff_range: 0 }) };
}
