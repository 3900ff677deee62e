/** Frames down to TCP segments and UDP datagrams: Ethernet, VLANs, Linux cooked (both), loopback, raw IP; IPv4 and IPv6. */

/** A TCP segment. `missing`: bytes of its payload that the capture cut off. */
export interface TcpSegment {
  readonly protocol: 'tcp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly syn: boolean;
  readonly end: boolean;
  readonly payload: Uint8Array;
  readonly missing: number;
}

export interface UdpDatagram {
  readonly protocol: 'udp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
  readonly missing: number;
}

export type Datagram = TcpSegment | UdpDatagram;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const vlans = [0x8100, 0x88a8, 0x9100];

const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;
const u32 = (b: Uint8Array, at: number): number => ((u16(b, at) << 16) | u16(b, at + 2)) >>> 0;

/** The TCP segment or UDP datagram in a frame; undefined for everything else, damaged and fragmented packets included. */
export function parseFrame(linkType: number, frame: Uint8Array): Datagram | undefined {
  const network = networkLayer(linkType, frame);
  if (network === undefined || network.packet.length < 20) return undefined;
  return network.type === ETHERTYPE_IPV4 ? parseIpv4(network.packet) : parseIpv6(network.packet);
}

function networkLayer(linkType: number, b: Uint8Array): { type: number; packet: Uint8Array } | undefined {
  const by = (type: number, at: number): { type: number; packet: Uint8Array } | undefined =>
    type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? { type, packet: b.subarray(at) } : undefined;
  const byVersion = (at: number): { type: number; packet: Uint8Array } | undefined => {
    const version = (b[at] ?? 0) >> 4;
    return by(version === 4 ? ETHERTYPE_IPV4 : version === 6 ? ETHERTYPE_IPV6 : 0, at);
  };
  switch (linkType) {
    case 1: {
      if (b.length < 14) return undefined;
      let at = 12;
      while (vlans.includes(u16(b, at))) {
        at += 4;
        if (at + 2 > b.length) return undefined;
      }
      return by(u16(b, at), at + 2);
    }
    case 113:
      return b.length < 16 ? undefined : by(u16(b, 14), 16);
    case 276:
      return b.length < 20 ? undefined : by(u16(b, 0), 20);
    case 0:
    case 108:
      return byVersion(4);
    case 12:
    case 14:
    case 101:
    case 228:
    case 229:
      return byVersion(0);
    default:
      return undefined;
  }
}

function parseIpv4(b: Uint8Array): Datagram | undefined {
  const header = (b[0]! & 15) * 4;
  if (b[0]! >> 4 !== 4 || header < 20 || header > b.length) return undefined;
  // Fragments are not put together: TCP and RoCE never send any.
  if ((u16(b, 6) & 0x3fff) !== 0) return undefined;
  const total = u16(b, 2);
  // 0: a segment that the network card would have cut up, larger than the field can tell.
  const length = (total === 0 ? b.length : total) - header;
  const address = (at: number): string => `${b[at]}.${b[at + 1]}.${b[at + 2]}.${b[at + 3]}`;
  return transport(b[9]!, b.subarray(header), length, address(12), address(16));
}

function parseIpv6(b: Uint8Array): Datagram | undefined {
  if (b[0]! >> 4 !== 6 || b.length < 40) return undefined;
  const address = (at: number): string =>
    Array.from({ length: 8 }, (_, i) => u16(b, at + 2 * i).toString(16)).join(':');
  const length = u16(b, 4);
  return transport(b[6]!, b.subarray(40), length === 0 ? b.length - 40 : length, address(8), address(24));
}

function transport(
  protocol: number,
  b: Uint8Array,
  length: number,
  source: string,
  destination: string,
): Datagram | undefined {
  if (protocol === 6 && b.length >= 20) {
    const header = (b[12]! >> 4) * 4;
    if (header < 20 || header > b.length || header > length) return undefined;
    const payload = b.subarray(header, Math.min(b.length, length));
    return {
      protocol: 'tcp',
      source,
      sourcePort: u16(b, 0),
      destination,
      destinationPort: u16(b, 2),
      sequence: u32(b, 4),
      syn: (b[13]! & 2) !== 0,
      end: (b[13]! & 5) !== 0,
      payload,
      missing: length - header - payload.length,
    };
  }
  if (protocol === 17 && b.length >= 8 && length >= 8) {
    const payload = b.subarray(8, Math.min(b.length, length));
    return {
      protocol: 'udp',
      source,
      sourcePort: u16(b, 0),
      destination,
      destinationPort: u16(b, 2),
      payload,
      missing: length - 8 - payload.length,
    };
  }
  return undefined;
}
