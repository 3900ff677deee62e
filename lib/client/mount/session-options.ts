/** What a mount takes beside its specification. */
import type { BulkChecksumName, Network } from '../../lnet/network.ts';
import type { Nid } from '../../lnet/nid.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { Credentials } from '../mdc/credentials.ts';

export interface SessionOptions {
  readonly runtime: Runtime;
  readonly network: Network;
  /** Our own NID; default chosen to suit the servers'. */
  readonly nid?: Nid;
  /** TCP port of the servers; default 988. */
  readonly port?: number;
  /** NID -> `host:port`, where a NID's address is not where it is reached. */
  readonly nidMap?: Readonly<Record<Nid, string>>;
  /** Accept connections here, `host:port`. Servers need none: they answer on ours. */
  readonly listen?: string;
  readonly connsPerPeer?: number;
  readonly busyPollUs?: number;
  /** Who asks; default root with umask 022. */
  readonly credentials?: Partial<Credentials>;
  /** Of this process, for those who ask who holds a file lock; default 0. */
  readonly processId?: number;
  /** Bulk checksums; default crc32c where the server has it, false for none. */
  readonly checksums?: BulkChecksumName | false;
  /** Most bytes of file data kept in memory for this mount; default 64 MiB. */
  readonly cacheBytes?: number;
  /**
   * How long small reads and writes of an object go without locks after its server has said that too many want it,
   * milliseconds. Servers then lock for each request, and what is written that way is not cached. Default 0: servers are not
   * told that this client would (kernel clients from 2.15 on would not); they say so only where `max_nolock_bytes` is set.
   */
  readonly contentionMs?: number;
  /** Most locks kept unused for each target (lru_size); default what its server allows, or 1600 where it does not say. */
  readonly lruSize?: number;
  /** Requests in flight to one target, of bulk and of others each; default 8, to an MDT 32. */
  readonly maxRpcsInFlight?: number;
  /** Most data in one request, in pages of 4 KiB (max_pages_per_rpc); default what the servers take, 1 to 16 MiB. */
  readonly maxPagesPerRpc?: number;
  /** In the words of mount.lustre, `flock,exclude=lab-OST0001`. Rejects with EINVAL for what this client does not have. */
  readonly options?: string;
  /** How long to wait for a first connection, milliseconds; default 30000. */
  readonly connectTimeoutMs?: number;
}
