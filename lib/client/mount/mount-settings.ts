/** What of a whole mount an administrator may set for all clients (llite.*). */
import type { MountSettings } from '../session.ts';
import { numberOf, switchOf, within } from './target-settings.ts';

const MIB = 1 << 20;

export const mountParameters: {
  readonly [name: string]: (settings: MountSettings, value: string) => boolean;
} = {
  max_cached_mb: (settings, value) =>
    // Kernels print more of it, and take what they print.
    within(numberOf(/max_cached_mb: *(\d+)/.exec(value)?.[1] ?? value), 1 << 20, (mib) => {
      // Never so little that nothing can be under way.
      settings.cacheBytes = Math.max(1, mib) * MIB;
    }),
  statahead_max: (settings, value) =>
    within(numberOf(value), 1 << 20, (count) => {
      settings.statAheadMax = count;
    }),
  xattr_cache: (settings, value) =>
    within(switchOf(value), 1, (on) => {
      settings.xattrCache = on === 1;
    }),
};
