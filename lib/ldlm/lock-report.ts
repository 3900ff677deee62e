/** The locks of a target as plain values, for people who look in: resources, holders, waiters, who waits for whom. */
import { formatFid } from '../fid/fid.ts';
import { resourceFid } from '../fid/resource.ts';
import { LockType } from '../wire/ldlm-constants.ts';
import { EXTENT_EOF, FLOCK_EOF } from './description.ts';
import type { Extent, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { resourceKey } from './resource-name.ts';

export interface LockReport {
  /** `demo-OST0000`. */
  readonly target: string;
  readonly side: 'client' | 'server';
  /** Of the whole target, also of what is left out below. */
  readonly locks: number;
  readonly resources: number;
  /** Resources with waiters first; no more than were asked for. */
  readonly shown: readonly ResourceReport[];
}

export interface ResourceReport {
  /** `0x200000407:0x1:0x0:0x0`. */
  readonly name: string;
  /** `[0x200000407:0x1:0x0]`, or the text of a configuration's name. */
  readonly object: string;
  readonly type: 'plain' | 'extent' | 'flock' | 'ibits';
  readonly holders: readonly LockEntry[];
  readonly waiters: readonly LockEntry[];
}

export interface LockEntry {
  /** Distinct among the locks of a report; a handle where the lock has one. */
  readonly id: string;
  readonly mode: string;
  /** By the lock's table: GRANTED, BLOCKING, WAITING ... */
  readonly state: string;
  /** `[0, EOF]`, `LOOKUP|UPDATE`, empty for a plain lock. */
  readonly what: string;
  /** Who holds or wants it: a client's UUID, `server` for the target itself; on a client how many use it. */
  readonly holder: string;
  /** The client's NID; empty for the target's own. */
  readonly nid: string;
  /** Milliseconds since its holder was asked for it; undefined when it was not. */
  readonly wantedForMs: number | undefined;
  /** Ids of the locks that it waits for. */
  readonly waitsFor: readonly string[];
}

export interface ReportOptions {
  /** Most resources in one report; default 1000. */
  readonly limit?: number;
  /** Only resources that somebody waits for. */
  readonly contended?: boolean;
}

export const REPORT_LIMIT = 1000;

const typeNames: { readonly [type in LockTypeNumber]: ResourceReport['type'] } = {
  [LockType.LDLM_PLAIN]: 'plain',
  [LockType.LDLM_EXTENT]: 'extent',
  [LockType.LDLM_FLOCK]: 'flock',
  [LockType.LDLM_IBITS]: 'ibits',
};

export function describeResource(
  id: ResourceId,
  type: LockTypeNumber,
): Pick<ResourceReport, 'name' | 'object' | 'type'> {
  const object = type === LockType.LDLM_PLAIN ? nameText(id) : formatFid(resourceFid(id));
  return { name: resourceKey(id), object, type: typeNames[type] };
}

/** Configurations are named by up to eight letters in the first word. */
function nameText([word]: ResourceId): string {
  const letters: number[] = [];
  for (let rest = word; rest > 0n; rest >>= 8n) letters.push(Number(rest & 0xffn));
  return letters.every((letter) => letter > 32 && letter < 127) ? String.fromCharCode(...letters) : '';
}

export function describePolicy(policy: Policy): string {
  const { extent, inodeBits, tryBits, gid, flock } = policy;
  if (flock !== undefined) return rangeText(flock, FLOCK_EOF);
  if (extent !== undefined)
    return rangeText(extent, EXTENT_EOF) + (extent.gid === undefined ? '' : ` gid ${extent.gid}`);
  if (inodeBits === undefined) return '';
  const more = tryBits === undefined ? '' : ` try ${bitsText(tryBits)}`;
  return bitsText(inodeBits) + more + (gid === undefined ? '' : ` gid ${gid}`);
}

function rangeText({ start, end }: Pick<Extent, 'start' | 'end'>, eof: bigint): string {
  return `[${start}, ${end >= eof ? 'EOF' : end}]`;
}

const bitNames = ['LOOKUP', 'UPDATE', 'OPEN', 'LAYOUT', 'PERM', 'XATTR', 'DOM'];

function bitsText(bits: bigint): string {
  const known = bitNames.filter((_, i) => (bits & (1n << BigInt(i))) !== 0n);
  const rest = bits >> BigInt(bitNames.length);
  return [...known, ...(rest === 0n ? [] : [`0x${(rest << BigInt(bitNames.length)).toString(16)}`])].join(
    '|',
  );
}

/** The first of `resources`, those with waiters before the others. */
export function chooseResources<R>(
  resources: Iterable<R>,
  hasWaiters: (resource: R) => boolean,
  { limit = REPORT_LIMIT, contended = false }: ReportOptions,
): R[] {
  const waited: R[] = [];
  const others: R[] = [];
  for (const resource of resources) {
    if (hasWaiters(resource)) waited.push(resource);
    else if (!contended && others.length < limit) others.push(resource);
    if (waited.length === limit) break;
  }
  return [...waited, ...others].slice(0, limit);
}

export const hexHandle = (handle: bigint): string => `0x${handle.toString(16)}`;
