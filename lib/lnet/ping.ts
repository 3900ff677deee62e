/** LNet ping (guide 01 §9): what is asked and how the answer is read. */
import { ProtocolError } from '../runtime/errors.ts';
import { type Nid, nidFromBits } from './nid.ts';

export const PING_PORTAL = 0;
/** Also of pushes. */
export const PING_MATCH_BITS = 1n << 63n;
/** Header and 16 entries: what kernels ask for first (LNET_PING_INFO_MIN_SIZE). */
export const PING_INFO_MIN_SIZE = 272;

const PING_MAGIC = 0x70696e67;
const HEADER_SIZE = 16;
const ENTRY_SIZE = 16;
const NI_STATUS = 0x02;
const INTERFACES_MAX = 200;
const LOOPBACK = 9n << 48n;

export interface PingInfo {
  /** Without 0@lo; the first is the primary NID. */
  readonly nids: readonly Nid[];
  readonly features: number;
}

/** Reads a ping info block in either byte order. Throws ProtocolError for anything a kernel would not accept. */
export function parsePingInfo(bytes: Uint8Array, from: Nid): PingInfo {
  const wrong = (what: string) =>
    new ProtocolError('EPROTO', `ping answer ${what}`, { nid: from, syscall: 'ping' });
  if (bytes.byteLength < HEADER_SIZE) throw wrong(`of ${bytes.byteLength} bytes is too short`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getUint32(0, true) === PING_MAGIC;
  if (!little && view.getUint32(0) !== PING_MAGIC) throw wrong('has the wrong magic');
  const features = view.getUint32(4, little);
  const count = view.getUint32(12, little);
  if ((features & NI_STATUS) === 0) throw wrong('has no interface status');
  if (count < 1 || count > INTERFACES_MAX) throw wrong(`names ${count} interfaces`);
  const present = Math.min(count, Math.floor((bytes.byteLength - HEADER_SIZE) / ENTRY_SIZE));
  const bits = Array.from({ length: present }, (_, i) =>
    view.getBigUint64(HEADER_SIZE + i * ENTRY_SIZE, little),
  );
  if (bits[0] !== LOOPBACK) throw wrong('does not begin with 0@lo');
  return { nids: bits.slice(1).map(nidFromBits), features };
}
