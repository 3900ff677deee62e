/**
 * Portals, match entries and memory descriptors (guide 01 §5): the list order, the six conditions, offsets, thresholds,
 * truncation, request-buffer mode and lazy portals. Bookkeeping only: what travels and who is told is the endpoint's.
 */
import { checksumTs } from '../lnet/checksum.ts';
import {
  type ChecksumName,
  type LnetHandler,
  type MatchEntry,
  MdOption,
  type Segment,
} from '../lnet/network.ts';
import { LNET_PID_LUSTRE, NID_ANY, type Nid } from '../lnet/nid.ts';

/** Most bytes and PUTs that one lazy portal parks. */
const PARKED_BYTES_MAX = 64 << 20;
const PARKED_COUNT_MAX = 4096;

export interface DescriptorOptions {
  readonly segments: readonly Segment[];
  readonly length: number;
  readonly threshold: number;
  readonly options: number;
  readonly maxSize: number;
  readonly autoUnlink: boolean;
  readonly checksum: ChecksumName | undefined;
  readonly handler: LnetHandler;
}

/** A memory descriptor (MD). */
export class Descriptor {
  readonly segments: readonly Segment[];
  readonly length: number;
  readonly options: number;
  readonly maxSize: number;
  readonly autoUnlink: boolean;
  readonly checksum: ChecksumName | undefined;
  readonly handler: LnetHandler;
  threshold: number;
  /** The running local offset. */
  offset = 0;
  /** Operations begun whose event has not been delivered. */
  inUse = 0;
  /** Unlinked by its owner or by exhaustion: matches nothing more; its last event says so. */
  zombie = false;
  /** What the unlink event's status will be. */
  unlinkStatus = 0;

  constructor(o: DescriptorOptions) {
    this.segments = o.segments;
    this.length = o.length;
    this.threshold = o.threshold;
    this.options = o.options;
    this.maxSize = o.maxSize;
    this.autoUnlink = o.autoUnlink;
    this.checksum = o.checksum;
    this.handler = o.handler;
  }

  /** Of what has come, where it is asked for. */
  sum(bytes: Uint8Array): number {
    return this.checksum === undefined ? 0 : checksumTs(this.checksum, [bytes]);
  }

  get exhausted(): boolean {
    if (this.threshold === 0) return true;
    return (this.options & MdOption.MAX_SIZE) !== 0 && this.offset + this.maxSize > this.length;
  }

  /** True when the event about to be delivered is the last (guide 01 §5.2). */
  get finished(): boolean {
    return this.inUse === 0 && (this.zombie || (this.autoUnlink && this.exhausted));
  }
}

/** A PUT or GET of our own that waits for its ACK or REPLY. */
export interface Awaiting {
  readonly descriptor: Descriptor;
  readonly peer: Nid;
  readonly kind: 'ack' | 'reply';
  readonly matchBits: bigint;
  sent: boolean;
  readonly cancelTimer: () => void;
}

/** The part of an incoming PUT or GET that matching looks at. */
export interface Incoming {
  readonly operation: number;
  readonly portal: number;
  readonly nid: Nid;
  readonly pid: number;
  readonly matchBits: bigint;
  readonly offset: number;
  readonly rlength: number;
}

export interface Match {
  readonly descriptor: Descriptor;
  readonly offset: number;
  readonly mlength: number;
}

interface Entry {
  readonly match: MatchEntry;
  readonly descriptor: Descriptor;
}

interface Portal {
  entries: Entry[];
  lazy: boolean;
  parked: { readonly incoming: Incoming; readonly deliver: (match: Match) => void }[];
  parkedBytes: number;
}

export class PortalTable {
  readonly #portals = new Map<number, Portal>();

  attach(match: MatchEntry, descriptor: Descriptor): void {
    const portal = this.#portal(match.portal);
    if (match.position === 'before') portal.entries.unshift({ match, descriptor });
    else portal.entries.push({ match, descriptor });
    if (portal.parked.length > 0) this.#unpark(portal);
  }

  detach(portalNumber: number, descriptor: Descriptor): void {
    const portal = this.#portals.get(portalNumber);
    if (portal !== undefined) portal.entries = portal.entries.filter((e) => e.descriptor !== descriptor);
  }

  setLazy(portal: number): void {
    this.#portal(portal).lazy = true;
  }

  /** Finds the descriptor for a message and commits to it, or parks a PUT on a lazy portal. False: the message is dropped. */
  receive(incoming: Incoming, deliver: (match: Match) => void): boolean {
    const portal = this.#portals.get(incoming.portal);
    if (portal === undefined) return false;
    const match = take(portal, incoming);
    if (match === 'drop') return false;
    if (match !== undefined) {
      deliver(match);
      return true;
    }
    if (!portal.lazy || incoming.operation !== MdOption.OP_PUT) return false;
    const full = portal.parkedBytes + incoming.rlength > PARKED_BYTES_MAX;
    if (full || portal.parked.length >= PARKED_COUNT_MAX) return false;
    portal.parked.push({ incoming, deliver });
    portal.parkedBytes += incoming.rlength;
    return true;
  }

  clear(): void {
    this.#portals.clear();
  }

  #portal(number: number): Portal {
    let portal = this.#portals.get(number);
    if (portal === undefined) {
      portal = { entries: [], lazy: false, parked: [], parkedBytes: 0 };
      this.#portals.set(number, portal);
    }
    return portal;
  }

  #unpark(portal: Portal): void {
    const waiting = portal.parked;
    portal.parked = [];
    portal.parkedBytes = 0;
    for (const message of waiting) {
      const match = take(portal, message.incoming);
      if (match === 'drop') continue;
      if (match !== undefined) message.deliver(match);
      else {
        portal.parked.push(message);
        portal.parkedBytes += message.incoming.rlength;
      }
    }
  }
}

/** The search of guide 01 §5.1. */
function take(portal: Portal, incoming: Incoming): Match | 'drop' | undefined {
  for (const { match, descriptor } of portal.entries) {
    if (!accepts(match, descriptor, incoming)) continue;
    const remote = (descriptor.options & MdOption.MANAGE_REMOTE) !== 0;
    const offset = remote ? incoming.offset : descriptor.offset;
    const requestBuffer = (descriptor.options & MdOption.MAX_SIZE) !== 0;
    const room = requestBuffer ? descriptor.maxSize : descriptor.length - offset;
    if (room < 0 || (incoming.rlength > room && (descriptor.options & MdOption.TRUNCATE) === 0))
      return 'drop';
    const mlength = Math.min(incoming.rlength, room);
    descriptor.offset = offset + mlength;
    descriptor.threshold--;
    if (match.finalOffset !== undefined && incoming.offset >= match.finalOffset) descriptor.threshold = 0;
    descriptor.inUse++;
    if (descriptor.autoUnlink && descriptor.exhausted) {
      descriptor.zombie = true;
      portal.entries = portal.entries.filter((e) => e.descriptor !== descriptor);
    }
    return { descriptor, offset, mlength };
  }
  return undefined;
}

function accepts(match: MatchEntry, descriptor: Descriptor, incoming: Incoming): boolean {
  if (descriptor.zombie || descriptor.exhausted) return false;
  if ((descriptor.options & incoming.operation) === 0) return false;
  if (((BigInt(match.matchBits) ^ incoming.matchBits) & ~(match.ignoreBits ?? 0n)) !== 0n) return false;
  const anyNid = match.peer.nid === NID_ANY;
  const pid = match.peer.pid ?? (anyNid ? undefined : LNET_PID_LUSTRE);
  return (pid === undefined || pid === incoming.pid) && (anyNid || match.peer.nid === incoming.nid);
}
