/** A simulation, or a process of one, whose network tells what is sent over it. */
import type { Endpoint, Network, PutOptions } from '../../lib/lnet/network.ts';

/** The first segment of a message, who sends it, and where to. */
export type Listener = (bytes: Uint8Array, from: string, options: PutOptions) => void;

export function overhear<T extends { readonly network: Network }>(world: T, listener: Listener): T {
  return replacing<T>(world, { network: listening(world.network, listener) } as Partial<T>);
}

function listening(network: Network, listener: Listener): Network {
  const wrap = (endpoint: Endpoint): Endpoint => {
    const hear = (options: PutOptions): void => {
      const [segment] = options.segments;
      if (segment === undefined) return;
      const { memory, offset, length } = segment;
      listener(memory.bytes.subarray(offset, offset + length), endpoint.nid, options);
    };
    const put: Endpoint['put'] = (options, handler) => {
      hear(options);
      return endpoint.put(options, handler);
    };
    const send: Endpoint['send'] = (options, handler) => {
      hear(options);
      return endpoint.send(options, handler);
    };
    return replacing(endpoint, { put, send });
  };
  return { open: async (options) => wrap(await network.open(options)) };
}

/** `object` with some of its members replaced. */
function replacing<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, key) {
      if (key in members) return members[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
