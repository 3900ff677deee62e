/** The semantics that every Network shares, on real sockets: endpoints at 127.0.0.x of this process. */
import { pino } from 'pino';
import { openNativeEndpoint } from '../../lib/lnet/native-network.ts';
import type { Endpoint, EndpointOptions } from '../../lib/lnet/network.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { freePorts } from './free-ports.ts';
import { type NetworkUnderTest, networkSemantics } from './network-semantics.ts';

const runtime = nodeRuntime(pino({ level: process.env.LOG_LEVEL ?? 'silent' }));

async function makeNetwork(): Promise<NetworkUnderTest> {
  const hosts = [1, 2, 3].map((n) => `127.0.0.${n}`);
  const ports = await freePorts(hosts);
  const open = new Set<Endpoint>();
  const nidMap = Object.fromEntries(hosts.map((host, i) => [`${host}@tcp`, `${host}:${ports[i]}`]));
  return {
    network: {
      async open(options: EndpointOptions): Promise<Endpoint> {
        const endpoint = await openNativeEndpoint(runtime, options);
        open.add(endpoint);
        return endpoint;
      },
    },
    options: (n) => ({ nid: `${hosts[n]}@tcp`, listen: `${hosts[n]}:${ports[n]}`, nidMap }),
    run: (work) => work,
    // Small messages share the CONTROL connection with pings, so what was sent before a ping has arrived when it is
    // answered.
    async settle() {
      const pairs = [...open].flatMap((from) => [...open].map((to) => [from, to] as const));
      await Promise.allSettled(
        pairs.filter(([from, to]) => from !== to).map(async ([from, to]) => from.ping(to.nid, 2000)),
      );
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

networkSemantics('real sockets', makeNetwork);
