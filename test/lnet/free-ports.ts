import { createServer } from 'node:net';

/** A port that is free now on each of the hosts. */
export async function freePorts(hosts: readonly string[]): Promise<number[]> {
  const servers = await Promise.all(
    hosts.map(async (host) => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
