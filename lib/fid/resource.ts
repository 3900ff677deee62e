/** Lock resource names of objects (guide 07 §3). */
import { type Fid, isMdt0Seq } from './fid.ts';
import { idifObjectId } from './ost-id.ts';

export type ResourceName = readonly [bigint, bigint, bigint, bigint];

/** MDT objects, and OST objects with a FID of their own. */
export function fidResource(fid: Fid): ResourceName {
  return [fid.f_seq, (BigInt(fid.f_ver) << 32n) | BigInt(fid.f_oid), 0n, 0n];
}

/** OST objects: legacy ones go by number alone. Both ends must choose alike or their locks miss each other. */
export function ostResource(fid: Fid): ResourceName {
  return isMdt0Seq(fid.f_seq) ? [idifObjectId(fid), 0n, 0n, 0n] : fidResource(fid);
}

/** The FID in a resource name of the regular form. */
export function resourceFid(name: ResourceName | readonly bigint[]): Fid {
  const second = name[1] ?? 0n;
  return { f_seq: name[0] ?? 0n, f_oid: Number(second & 0xffff_ffffn), f_ver: Number(second >> 32n) };
}
