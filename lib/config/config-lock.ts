/** The lock that a client holds on a configuration log (guide 05 §4.1): the MGS revokes it to tell of a change. */
import type { ResourceId } from '../ldlm/lock.ts';
import { ConfigType } from '../wire/connection-constants.ts';

/** The resource of a file system's log: up to 8 bytes of its name as a little-endian number, then the log's type. */
export function configResource(name: string, type: number = ConfigType.MGS_CFG_T_CONFIG): ResourceId {
  const bytes = new Uint8Array(8);
  bytes.set(new TextEncoder().encode(name).subarray(0, 8));
  // The sptlrpc log shares the configuration log's resource.
  const word = type === ConfigType.MGS_CFG_T_SPTLRPC ? 0n : BigInt(type);
  return [new DataView(bytes.buffer).getBigUint64(0, true), word, 0n, 0n];
}
