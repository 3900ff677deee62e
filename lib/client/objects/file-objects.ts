/** The objects of a file with the targets that hold them (guide 13): OSTs, and the file's MDT for data that it keeps. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { fidResource, ostResource, type ResourceName } from '../../fid/resource.ts';
import { mirrorState } from '../../layout/file-layout.ts';
import type { FileMap, MappedObject } from '../../layout/file-map.ts';
import { LustreError } from '../../runtime/errors.ts';
import { LayoutVersion } from '../../wire/layout-constants.ts';
import { resourceKey } from '../osc/known-objects.ts';
import type { StripeObject } from '../osc/stripe-object.ts';
import type { ObjectTarget } from '../osc/target.ts';
import { ostOf, type Session } from '../session.ts';

/** An object of a file with its target. */
export interface Stripe {
  readonly object: StripeObject;
  readonly ost: ObjectTarget;
  /** For KnownObjects. */
  readonly key: string;
  readonly resource: ResourceName;
  /** The MDT keeps these data: one lock bit covers all of them. */
  readonly onMdt: boolean;
  /** Nobody has it any more: whatever needs it fails with EIO, the rest of the file can be used. */
  readonly lost: boolean;
}

/** A file's objects with where its bytes are in them: what the data path works on. */
export interface FileObjects {
  readonly map: FileMap;
  /** By index in `map.objects`. */
  readonly stripes: readonly Stripe[];
}

/** `mdt` is the file's own, for data that it keeps. Throws EIO for an OST that the configuration does not have. */
export function fileObjects(session: Session, map: FileMap, file: FileOnMdt): FileObjects {
  const version = mirrorState(map.layout) === 0 ? undefined : map.layout.generation;
  return { map, stripes: map.objects.map((mapped) => stripeOf(session, map, mapped, file, version)) };
}

/** The same for who synchronises mirrors: OSTs that were told of it take writes from nobody else (guide 17 §10). */
export function mirrorObjects(session: Session, map: FileMap, file: FileOnMdt): FileObjects {
  const version = (map.layout.generation | LayoutVersion.LU_LAYOUT_RESYNC) >>> 0;
  return { map, stripes: map.objects.map((mapped) => stripeOf(session, map, mapped, file, version)) };
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
  layoutVersion: number | undefined,
): Stripe {
  const { component, object, onMdt, stripe } = mapped;
  const common = {
    parent: fid,
    stripe,
    stripeSize: component.stripeSize,
    stripeCount: component.stripeCount,
    owner: { uid: body.mbo_uid, gid: body.mbo_gid, projid: body.mbo_projid },
    ...(map.layout.composite && { component }),
    ...(layoutVersion !== undefined && { layoutVersion }),
  };
  if (onMdt) {
    const resource = fidResource(fid);
    const key = resourceKey(resource);
    return { object: { fid, ...common }, ost: mdt.data, key, resource, onMdt, lost: false };
  }
  if (object === undefined) return new LostStripe(fid, stripe);
  const resource = ostResource(object.fid);
  const ost = ostOf(session, object.ostIndex);
  const key = resourceKey(resource);
  return { object: { fid: object.fid, ...common }, ost, key, resource, onMdt, lost: false };
}

class LostStripe implements Stripe {
  readonly onMdt = false;
  readonly lost = true;
  readonly #file: Fid;
  readonly #stripe: number;

  constructor(file: Fid, stripe: number) {
    this.#file = file;
    this.#stripe = stripe;
  }

  get object(): never {
    throw this.#error();
  }
  get ost(): never {
    throw this.#error();
  }
  get key(): never {
    throw this.#error();
  }
  get resource(): never {
    throw this.#error();
  }

  #error(): LustreError {
    const what = `object ${this.#stripe} of the file is lost`;
    return new LustreError('EIO', what, { fid: formatFid(this.#file) }, -5);
  }
}
