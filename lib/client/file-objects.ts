/** The objects of a file with the targets that hold them (guide 13): OSTs, and the file's MDT for data that it keeps. */
import { type Fid, formatFid } from '../fid/fid.ts';
import { fidResource, ostResource, type ResourceName } from '../fid/resource.ts';
import { mirrorState } from '../layout/file-layout.ts';
import type { FileMap, MappedObject } from '../layout/file-map.ts';
import { LustreError } from '../runtime/errors.ts';
import type { ObjectTarget, StripeObject } from './osc/target.ts';
import { ostOf, type Session } from './session.ts';

/** An object of a file with its target. */
export interface Stripe {
  readonly object: StripeObject;
  readonly ost: ObjectTarget;
  /** For KnownObjects. */
  readonly key: string;
  readonly resource: ResourceName;
  /** The MDT keeps these data: one lock bit covers all of them. */
  readonly onMdt: boolean;
}

/** A file's objects with where its bytes are in them: what the data path works on. */
export interface FileObjects {
  readonly map: FileMap;
  /** By index in `map.objects`. */
  readonly stripes: readonly Stripe[];
}

/** `mdt` is the file's own, for data that it keeps. Throws EIO for an OST that the configuration does not have, and for
 * an object that is lost. */
export function fileObjects(session: Session, map: FileMap, file: FileOnMdt): FileObjects {
  return { map, stripes: map.objects.map((mapped) => stripeOf(session, map, mapped, file)) };
}

export interface FileOnMdt {
  readonly fid: Fid;
  /** Whose it is. */
  readonly body: { readonly mbo_uid: number; readonly mbo_gid: number; readonly mbo_projid: number };
  readonly mdt: { readonly data: ObjectTarget };
}

function stripeOf(
  session: Session,
  map: FileMap,
  mapped: MappedObject,
  { fid, mdt, body }: FileOnMdt,
): Stripe {
  const { component, object, onMdt, stripe } = mapped;
  const common = {
    parent: fid,
    stripe,
    stripeSize: component.stripeSize,
    stripeCount: component.stripeCount,
    owner: { uid: body.mbo_uid, gid: body.mbo_gid, projid: body.mbo_projid },
    ...(map.layout.composite && { component }),
    ...(mirrorState(map.layout) !== 0 && { layoutVersion: map.layout.generation }),
  };
  if (onMdt) {
    const resource = fidResource(fid);
    return { object: { fid, ...common }, ost: mdt.data, key: resourceKey(resource), resource, onMdt };
  }
  if (object === undefined)
    throw new LustreError('EIO', `object ${stripe} of the file is lost`, { fid: formatFid(fid) }, -5);
  const resource = ostResource(object.fid);
  const ost = ostOf(session, object.ostIndex);
  return { object: { fid: object.fid, ...common }, ost, key: resourceKey(resource), resource, onMdt };
}

/** The name of an object among those known. */
export function resourceKey(resource: readonly bigint[]): string {
  return `${resource[0]?.toString(36)}.${resource[1]?.toString(36)}`;
}
