/**
 * Network identifiers (guide 01 §2). Inside the library a NID is its canonical text, `10.0.2.15@tcp`: a map key,
 * a log field and what users write. The wire's 64-bit form is made and read here and nowhere else.
 */
import { LustreError } from '../runtime/errors.ts';

/** Canonical text: `address@type[number]`, number 0 not printed. */
export type Nid = string;

export const NID_ANY: Nid = '*';
/** LNET_PID_LUSTRE: in src_pid and dest_pid of every message (guide 01 §2.3). */
export const LNET_PID_LUSTRE = 12345;
const NID4_ANY = 0xffff_ffff_ffff_ffffn;

const typeByName: Record<string, number> = { tcp: 2, o2ib: 5, lo: 9, gni: 13, gip: 14, kfi: 16, efa: 18 };
const nameByType = new Map(Object.entries(typeByName).map(([name, n]) => [n, name]));

/** Checks and canonicalises what a user wrote: `10.0.0.1` and `10.0.0.1@tcp0` become `10.0.0.1@tcp`. */
export function parseNid(text: string): Nid {
  return nidFromBits(nidToBits(text));
}

/** Text -> nid4. Throws EINVAL for anything that is not an IPv4 (or `0@lo`) NID. */
export function nidToBits(nid: Nid): bigint {
  if (nid === NID_ANY) return NID4_ANY;
  const match = /^(\d{1,10}|\d{1,3}(?:\.\d{1,3}){3})(?:@([a-z]+(?:2ib)?)(\d{0,5}))?$/.exec(nid.trim());
  const type = match === null ? undefined : typeByName[match[2] ?? 'tcp'];
  const number = Number(match?.[3] ?? 0);
  if (match === null || type === undefined || number > 0xffff) throw badNid(nid);
  const octets = match[1]!.split('.').map(Number);
  if (octets.length === 1 ? octets[0]! > 0xffff_ffff : octets.some((o) => o > 255)) throw badNid(nid);
  const address = octets.length === 1 ? octets[0]! : octets.reduce((sum, o) => sum * 256 + o, 0);
  return (BigInt(type) << 48n) | (BigInt(number) << 32n) | BigInt(address);
}

/** nid4 -> canonical text. Unknown network types print as their number: `1.2.3.4@net77`. */
export function nidFromBits(bits: bigint): Nid {
  if (bits === NID4_ANY) return NID_ANY;
  const type = Number((bits >> 48n) & 0xffffn);
  const number = Number((bits >> 32n) & 0xffffn);
  const address = Number(bits & 0xffff_ffffn);
  const name = nameByType.get(type) ?? `net${type}-`;
  const host = type === 9 ? String(address) : [24, 16, 8, 0].map((s) => (address >>> s) & 255).join('.');
  return `${host}@${name}${number === 0 ? '' : number}`;
}

/** struct lnet_nid, 20 bytes: IPv4 where its size byte is 0; undefined for longer addresses, which this client cannot reach. */
export function nidFromLarge(bytes: Uint8Array, at = 0): Nid | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 20);
  if (view.getUint8(0) !== 0) return undefined;
  const net = (BigInt(view.getUint8(1)) << 16n) | BigInt(view.getUint16(2));
  return nidFromBits((net << 32n) | BigInt(view.getUint32(4)));
}

/** The IPv4 address of a NID: `10.0.2.15@tcp` -> `10.0.2.15`. */
export function nidHost(nid: Nid): string {
  return nid.slice(0, nid.indexOf('@'));
}

function badNid(nid: string): LustreError {
  return new LustreError(
    'EINVAL',
    `'${nid}' is not a NID`,
    { hint: "Write ADDRESS@NET, for example '10.0.0.1@tcp'" },
    -22,
  );
}
