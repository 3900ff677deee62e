/**
 * How many connections of each bulk type to have to a peer where nobody says: by the speed of the link, as kernels choose since
 * 2.15 (ksocklnd_lookup_conns_per_peer; guide 02 §3.4). Loopback is as fast as cores are, and what a connection brings is
 * received by one thread at a time: there it is as many as threads send out of files.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, networkInterfaces } from 'node:os';
import { join } from 'node:path';

/** Of links that tell no speed (tunnels, many virtual machines), and for an address of none of our links. */
const WITHOUT_SPEED = 1;
/** More would only be more sockets: client and servers share the cores. */
const LOOPBACK_MAX = 4;

/** What is asked of the machine. */
export interface Links {
  /** Addresses by interface. */
  readonly interfaces: Readonly<Record<string, readonly { readonly address: string }[] | undefined>>;
  /** A folder for each interface, in it `speed`: Mbit/s, -1 where that is not known. */
  readonly classNet: string;
  readonly cores: number;
}

/**
 * For an endpoint at this IPv4 address: 2 from 4 Gbit/s on, 3 from 16, 4 from 64, 5 from 256; 1 below. In 127.0.0.0/8 half of
 * the cores, 1 to 4. Does not throw.
 */
export function connsPerPeerAt(address: string, links: Links = linksOfThisMachine()): number {
  if (address.startsWith('127.')) return Math.min(LOOPBACK_MAX, Math.max(1, links.cores >> 1));
  const name = Object.keys(links.interfaces).find((key) =>
    links.interfaces[key]?.some((a) => a.address === address),
  );
  if (name === undefined) return WITHOUT_SPEED;
  const speed = speedOf(name, links.classNet);
  if (!(speed > 0)) return WITHOUT_SPEED;
  return Math.floor(Math.log2(Math.max(1, speed / 1000)) / 2) + 1;
}

function linksOfThisMachine(): Links {
  return { interfaces: networkInterfaces(), classNet: '/sys/class/net', cores: availableParallelism() };
}

/** Mbit/s; not a number for a link that tells none, as loopback. */
function speedOf(name: string, classNet: string): number {
  // An address with a label (`eth0:1`) is on the device before the colon.
  const device = name.replace(/:.*/, '');
  try {
    return Number(readFileSync(join(classNet, device, 'speed'), 'utf8'));
  } catch {
    return Number.NaN;
  }
}
