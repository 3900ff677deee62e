/** One object of a striped file, and what requests say about it. */
import type { Fid } from '../../fid/fid.ts';

/** One object of a striped file, with what requests say about the file. */
export interface StripeObject {
  readonly fid: Fid;
  /** The file. */
  readonly parent: Fid;
  readonly stripe: number;
  readonly stripeSize: number;
  readonly stripeCount: number;
  /** The component that it belongs to, of a composite layout. */
  readonly component?: { readonly id: number; readonly start: number; readonly end: number };
  /** Whom it is charged to; where it is not known, whoever writes. */
  readonly owner?: { readonly uid: number; readonly gid: number; readonly projid: number };
  /** Of a mirrored file: the layout that the client goes by, so that the server can refuse one that is out of date. */
  readonly layoutVersion?: number;
}

/** Owner ids that go with data, for the server's accounts. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** The caller may use reserved resources (root). */
  readonly privileged: boolean;
}

/** Times of an object, seconds. */
export interface ObjectTimes {
  readonly atime?: bigint;
  readonly mtime?: bigint;
  readonly ctime: bigint;
}

/** End of file in extents and ranges. */
export const EOF = 0xffff_ffff_ffff_ffffn;
