/** LNet ping (guide 01 §9): what an endpoint answers to a GET on portal 0, and how its answer is read. */
import type { Endpoint, PingResult } from '../lnet/network.ts';
import { type Nid, nidFromBits, nidToBits } from '../lnet/nid.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import { LnetNiStatus, LnetPingInfo } from '../wire/lnet-structs.ts';
import type { GetMessage } from './link.ts';
import type { VirtualTime } from './virtual-time.ts';

const PING_PORTAL = 0;
const PING_MATCH_BITS = 0x8000_0000_0000_0000n;
/** Room for the header and 16 interfaces. */
const PING_SINK_LENGTH = 272;

const PING_MAGIC = 0x70696e67;
const FEATURE_NI_STATUS = 0x02;
const FEATURE_ROUTING_DISABLED = 0x04;
const FEATURE_MULTI_RAIL = 0x08;
const STATUS_UP = 0x15aac0de;
const LOOPBACK: Nid = '0@lo';
const INTERFACES_MAX = 200;

export function isPing(message: GetMessage): boolean {
  return message.portal === PING_PORTAL && message.matchBits === PING_MATCH_BITS;
}

export function pingInfo(nid: Nid): Uint8Array {
  const nids = [LOOPBACK, nid];
  const out = new Uint8Array(LnetPingInfo.size + nids.length * LnetNiStatus.size);
  LnetPingInfo.encodeInto(out, 0, {
    pi_magic: PING_MAGIC,
    pi_features: FEATURE_NI_STATUS | FEATURE_ROUTING_DISABLED | FEATURE_MULTI_RAIL,
    pi_pid: 12345,
    pi_nnis: nids.length,
  });
  nids.forEach((ni, i) => {
    LnetNiStatus.encodeInto(out, LnetPingInfo.size + i * LnetNiStatus.size, {
      ns_nid: nidToBits(ni),
      ns_status: STATUS_UP,
    });
  });
  return out;
}

function readPingInfo(
  bytes: Uint8Array,
  from: Nid,
): { nids: readonly Nid[]; features: number } | LustreError {
  const bad = (why: string): LustreError =>
    new LustreError('EPROTO', `the ping reply ${why}`, { syscall: 'ping', nid: from }, -71);
  if (bytes.length < LnetPingInfo.size) return bad('is cut off');
  const info = LnetPingInfo.decode(bytes);
  if (info.pi_magic !== PING_MAGIC) return bad('has a wrong magic');
  if (info.pi_nnis < 1 || info.pi_nnis > INTERFACES_MAX) return bad(`names ${info.pi_nnis} interfaces`);
  const room = Math.floor((bytes.length - LnetPingInfo.size) / LnetNiStatus.size);
  const nids = Array.from({ length: Math.min(room, info.pi_nnis) }, (_, i) =>
    nidFromBits(LnetNiStatus.decode(bytes, LnetPingInfo.size + i * LnetNiStatus.size).ns_nid),
  );
  return { nids, features: info.pi_features };
}

/** The asking side: a GET that `endpoint` sends. */
export function ping(
  endpoint: Endpoint,
  time: VirtualTime,
  nid: Nid,
  timeoutMs: number,
): Promise<PingResult> {
  const begun = time.now;
  const memory = endpoint.allocate(PING_SINK_LENGTH);
  return new Promise((resolve, reject) => {
    const fail = (errno: number): void => {
      timer.cancel();
      reject(endpoint.lastError(nid) ?? errnoError(errno, { syscall: 'ping', nid }));
    };
    const handle = endpoint.get(
      {
        peer: { nid },
        portal: PING_PORTAL,
        matchBits: PING_MATCH_BITS,
        segments: [{ memory, offset: 0, length: PING_SINK_LENGTH }],
      },
      (event) => {
        if (event.status !== 0) fail(event.status);
        if (event.status !== 0 || event.type !== 'reply') return;
        timer.cancel();
        const info = readPingInfo(memory.bytes.subarray(0, event.mlength), nid);
        if (info instanceof LustreError) reject(info);
        else resolve({ ...info, roundTripMs: time.now - begun });
      },
    );
    const timer = time.after(timeoutMs, () => {
      handle.unlink();
      reject(errnoError(Errno.ETIMEDOUT, { syscall: 'ping', nid }));
    });
  });
}
