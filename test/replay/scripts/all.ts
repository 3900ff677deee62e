/** The captures that are replayed, with what does their steps. */
import type { Replay, ReplayOptions } from '../replay.ts';
import { mountAndSpace } from './01-mount.ts';
import { namespace } from './02-namespace.ts';
import { stripeIo } from './03-stripe-io.ts';
import { checksummed } from './03b-checksums.ts';
import { layouts } from './04-layouts.ts';
import { attributes } from './05-attributes.ts';
import { twoClients } from './06-two-clients.ts';
import { directoriesOnManyMdts } from './07-dne.ts';
import { evicted, recovered } from './08-recovery.ts';

export const SCRIPTS: readonly (readonly [string, (replay: Replay) => Promise<void>, ReplayOptions?])[] = [
  ['01-mount-df-umount', mountAndSpace],
  ['02-namespace', namespace],
  ['03-stripe-io', stripeIo],
  ['03b-checksums', checksummed('crc32'), { checksums: 'crc32' }],
  ['03b-checksums', checksummed('crc32c'), { checksums: 'crc32c' }],
  ['03b-checksums', checksummed('adler32'), { checksums: 'adler32' }],
  ['03b-checksums', checksummed('t10ip512'), { checksums: 't10ip512' }],
  ['03b-checksums', checksummed('t10ip4K'), { checksums: 't10ip4K' }],
  ['03b-checksums', checksummed('t10crc512'), { checksums: 't10crc512' }],
  ['03b-checksums', checksummed('t10crc4K'), { checksums: 't10crc4K' }],
  ['04-layouts', layouts],
  ['05-attrs', attributes],
  ['06-two-clients', twoClients, { mounts: 2 }],
  ['07-dne', directoriesOnManyMdts],
  ['08-recovery', recovered],
  ['08-recovery', evicted],
];
