/** Resource names as map keys and as people read them (guide 08 §1, guide 07 §3). */
import { lastText } from '../runtime/shared-bigints.ts';
import type { ResourceId } from './lock.ts';

/** They come in runs of one sequence. */
const firstText = lastText((word) => `0x${word.toString(16)}:0x`);

/** A resource name as text, `0x200000407:0x1:0x0:0x0`. */
export function resourceKey(resource: ResourceId): string {
  const [a, b, c, d] = resource;
  const head = `${firstText(a)}${b.toString(16)}`;
  // Most names have two words.
  return c === 0n && d === 0n ? `${head}:0x0:0x0` : `${head}:0x${c.toString(16)}:0x${d.toString(16)}`;
}

export function sameResource(a: ResourceId, b: ResourceId): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
