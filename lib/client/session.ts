/** The targets of a mounted file system, as the layers above the connections use them. */
import type { Fid } from '../fid/fid.ts';
import type { LocationClient } from '../fid/location-client.ts';
import type { Endpoint } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Counters } from './engine.ts';
import type { LockHooks } from './lock-hooks.ts';
import type { Credentials } from './mdc/credentials.ts';
import type { MetadataTarget } from './mdc/target.ts';
import type { Owner } from './osc/stripe-object.ts';
import type { ObjectTarget } from './osc/target.ts';

/** What an administrator may set for all clients (llite.*). */
export interface MountSettings {
  /** Most bytes of file data in the cache (max_cached_mb). */
  cacheBytes: number;
  /** Most entries whose attributes are got ahead; 0: none (statahead_max). */
  statAheadMax: number;
  /** Extended attributes are kept under their lock (xattr_cache). */
  xattrCache: boolean;
}

export interface Session {
  readonly fsname: string;
  readonly runtime: Runtime;
  readonly endpoint: Endpoint;
  readonly mdts: ReadonlyMap<number, MetadataTarget>;
  readonly osts: ReadonlyMap<number, ObjectTarget>;
  /** By name: UUIDs of the OSTs of each pool. */
  readonly pools: ReadonlyMap<string, readonly string[]>;
  readonly location: LocationClient;
  readonly root: Fid;
  /** Nothing may be changed (mount option `ro`). */
  readonly readOnly: boolean;
  readonly who: Credentials;
  /** What other clients are told of who holds a file lock. */
  readonly processId: number;
  readonly owner: Owner;
  /** Set by the caches that live under locks. */
  readonly lockHooks: LockHooks;
  /** What the configuration may change. */
  readonly settings: MountSettings;
  /** How long a contended object is used without locks, milliseconds; 0: never. */
  readonly contentionMs: number;
  counters(): Omit<Counters, 'cachedBytes'>;
  /** Gives all locks back, disconnects from all targets, closes the endpoint. */
  close(): Promise<void>;
}

/** The OST of a stripe. Throws EIO for an index that the configuration does not have. */
export function ostOf(session: Session, index: number): ObjectTarget {
  const ost = session.osts.get(index);
  if (ost === undefined) {
    throw new LustreError(
      'EIO',
      `the layout names OST ${index}, which ${session.fsname} does not have`,
      { hint: 'The file system may have grown since the mount; mount again' },
      -5,
    );
  }
  return ost;
}

/** The MDTs that an administrator has not taken out of use. */
export function activeMdts({ mdts }: Pick<Session, 'mdts'>): MetadataTarget[] {
  return [...mdts.values()].filter(({ data }) => data.active);
}

/** The MDT that holds a FID. */
export async function mdtOf(session: Session, fid: Fid): Promise<MetadataTarget> {
  return session.mdts.get(await session.location.locate(fid))!;
}
