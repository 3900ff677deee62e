/** LNet ping (guide 01 §9): the asking side, on an endpoint's own GET. */
import { Errno, errnoError, errnoName, ProtocolError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { LnetNiStatus, LnetPingInfo } from '../wire/lnet-structs.ts';
import type { Endpoint, PingResult } from './network.ts';
import { type Nid, nidFromBits, nidToBits } from './nid.ts';

const PING_PORTAL = 0;
const PING_MATCH_BITS = 1n << 63n;
/** Header and 16 entries: what kernels ask for (LNET_PING_INFO_MIN_SIZE). */
const PING_SINK_LENGTH = 272;
const PING_MAGIC = 0x70696e67;
const NI_STATUS = 0x02;
const INTERFACES_MAX = 200;
const LOOPBACK = nidToBits('0@lo');

export interface PingInfo {
  /** Without 0@lo; the first is the primary NID. */
  readonly nids: readonly Nid[];
  readonly features: number;
}

/** Reads a ping info block in either byte order. Throws ProtocolError for anything that a kernel would not accept. */
export function parsePingInfo(bytes: Uint8Array, from: Nid): PingInfo {
  const wrong = (what: string) =>
    new ProtocolError('EPROTO', `the ping answer ${what}`, { nid: from, syscall: 'ping' });
  if (bytes.byteLength < LnetPingInfo.size) throw wrong(`is cut off at ${bytes.byteLength} bytes`);
  const little = LnetPingInfo.decode(bytes).pi_magic === PING_MAGIC;
  const info = LnetPingInfo.decode(bytes, 0, little);
  if (info.pi_magic !== PING_MAGIC) throw wrong('has the wrong magic');
  if ((info.pi_features & NI_STATUS) === 0) throw wrong('has no interface status');
  if (info.pi_nnis < 1 || info.pi_nnis > INTERFACES_MAX) throw wrong(`names ${info.pi_nnis} interfaces`);
  const room = Math.floor((bytes.byteLength - LnetPingInfo.size) / LnetNiStatus.size);
  const bits = Array.from(
    { length: Math.min(info.pi_nnis, room) },
    (_, i) => LnetNiStatus.decode(bytes, LnetPingInfo.size + i * LnetNiStatus.size, little).ns_nid,
  );
  if (bits[0] !== LOOPBACK) throw wrong('does not begin with 0@lo');
  return { nids: bits.slice(1).map(nidFromBits), features: info.pi_features };
}

/**
 * Asks `nid` for its NIDs. Rejects with the reason of the connection's failure (ECONNREFUSED, EHOSTUNREACH ...), with
 * ETIMEDOUT when nothing comes within `timeoutMs`, or with a ProtocolError for an answer that makes no sense.
 */
export async function ping(
  endpoint: Endpoint,
  runtime: Pick<Runtime, 'now' | 'after'>,
  nid: Nid,
  timeoutMs: number,
): Promise<PingResult> {
  const memory = endpoint.pin(new Uint8Array(PING_SINK_LENGTH));
  const began = runtime.now();
  try {
    const length = await new Promise<number>((resolve, reject) => {
      const handle = endpoint.get(
        {
          peer: { nid },
          portal: PING_PORTAL,
          matchBits: PING_MATCH_BITS,
          segments: [{ memory, offset: 0, length: PING_SINK_LENGTH }],
        },
        (event) => {
          if (event.type === 'send' && event.status === 0 && !event.unlinked) return;
          timer.cancel();
          if (event.status !== 0) reject(failure(endpoint, nid, event.status));
          else if (event.type === 'reply') resolve(event.mlength);
        },
      );
      const timer = runtime.after(timeoutMs, () => {
        handle.unlink();
        reject(errnoError(Errno.ETIMEDOUT, { syscall: 'ping', nid, hint: `No answer in ${timeoutMs} ms` }));
      });
    });
    const info = parsePingInfo(memory.bytes.subarray(0, length), nid);
    return { ...info, roundTripMs: runtime.now() - began };
  } finally {
    memory.release();
  }
}

/** The connection's own reason where it is what ended this ping, else the bare errno. */
function failure(endpoint: Endpoint, nid: Nid, status: number): Error {
  const known = endpoint.lastError(nid);
  if (known !== undefined && 'code' in known && known.code === errnoName(status)) return known;
  return errnoError(status, { syscall: 'ping', nid });
}
