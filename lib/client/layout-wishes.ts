/** What of a call's options is about layouts: the rest must not cross to the engine. */
import type { DirectoryStriping, StripingOptions } from './engine.ts';

export function onlyStriping(options: StripingOptions): StripingOptions {
  const { stripeCount, stripeSize, stripeOffset, pool, osts, overstripe, components } = options;
  return present({ stripeCount, stripeSize, stripeOffset, pool, osts, overstripe, components });
}

export function onlyDirectoryStriping(options: DirectoryStriping): DirectoryStriping {
  const { mdtCount, mdtIndex, hash, maxInherit } = options;
  return present({ mdtCount, mdtIndex, hash, maxInherit });
}

const present = (named: object): object =>
  Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
