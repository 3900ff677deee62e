/** Resource names as map keys and as people read them (guide 08 §1, guide 07 §3). */
import type { ResourceId } from './lock.ts';

/** A resource name as text, `0x200000407:0x1:0x0:0x0`. */
export function resourceKey(resource: ResourceId): string {
  return resource.map((word) => `0x${word.toString(16)}`).join(':');
}

export function sameResource(a: ResourceId, b: ResourceId): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
