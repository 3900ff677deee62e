/** A NID for ourselves when the user gives none (guide 01 §2). */
import { networkInterfaces } from 'node:os';
import { type Nid, nidHost } from '../../lnet/nid.ts';
import { LustreError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';

/**
 * Servers on loopback get a client at another loopback address, so that several of both can live on one machine. Others
 * get an address of this machine on the servers' network type, in the servers' own subnet where there is one.
 */
export function chooseOwnNid(server: Nid, runtime: Runtime): Nid {
  const net = server.slice(server.indexOf('@') + 1);
  const host = nidHost(server);
  if (host.startsWith('127.')) {
    const [a = 0, b = 0, c = 0] = runtime.random(3);
    // 127.x.y.z with x from 1 on: apart from 127.0.0.0/16, where people put servers by hand.
    return `127.${1 + (a % 254)}.${b}.${1 + (c % 254)}@${net}`;
  }
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((a) => a.family === 'IPv4' && !a.internal);
  const near = addresses.find((a) => sameSubnet(a.address, host, a.netmask)) ?? addresses[0];
  if (near === undefined) {
    throw new LustreError(
      'EADDRNOTAVAIL',
      'this machine has no IPv4 address to make a NID of',
      { syscall: 'mount', hint: 'Give one with the option nid' },
      -99,
    );
  }
  return `${near.address}@${net}`;
}

function sameSubnet(a: string, b: string, mask: string): boolean {
  const [x, y, m] = [a, b, mask].map((text) =>
    text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0),
  );
  return ((x! ^ y!) & m!) === 0;
}
