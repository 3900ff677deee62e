/** What goes through an endpoint's RPC layer, per opcode, for both ends of it; plain objects that anybody may print. */
import { channel } from 'node:diagnostics_channel';
import { opcodeName } from './portals.ts';

/** Buckets of a latency histogram: bucket `i` counts times below 2^i microseconds. */
const BUCKETS = 32;
/** Opcodes come from the network: those without a name share one line. */
const UNKNOWN = 'unknown';

export interface OpcodeCounters {
  /** Requests sent (client) or received (server). */
  requests: number;
  /** Replies received or sent. */
  replies: number;
  /** Of them, with a negative status. */
  errors: number;
  resends: number;
  timeouts: number;
  earlyReplies: number;
  /** Latency from request to reply: `histogram[i]` counts those under 2^i microseconds. */
  readonly histogram: number[];
}

export class RpcCounters {
  /** By opcode name, as a client. */
  readonly client: Record<string, OpcodeCounters> = {};
  /** By opcode name, as a server. */
  readonly server: Record<string, OpcodeCounters> = {};
  /** Incoming messages thrown away, by reason. */
  readonly dropped: Record<string, number> = {};
  /** The same by opcode, of those that have a name. */
  readonly #named = {
    client: new Map<number, OpcodeCounters>(),
    server: new Map<number, OpcodeCounters>(),
  };

  of(end: 'client' | 'server', opcode: number): OpcodeCounters {
    return this.#named[end].get(opcode) ?? this.#find(end, opcode);
  }

  #find(end: 'client' | 'server', opcode: number): OpcodeCounters {
    const known = opcodeName(opcode);
    const name = known.startsWith('opcode ') ? UNKNOWN : known;
    const table = this[end];
    let counters = table[name];
    if (counters === undefined) {
      counters = {
        requests: 0,
        replies: 0,
        errors: 0,
        resends: 0,
        timeouts: 0,
        earlyReplies: 0,
        histogram: new Array<number>(BUCKETS).fill(0),
      };
      table[name] = counters;
    }
    if (name !== UNKNOWN) this.#named[end].set(opcode, counters);
    return counters;
  }

  /** Counts a reply that took `ms`. */
  replied(end: 'client' | 'server', opcode: number, status: number, ms: number): void {
    const counters = this.of(end, opcode);
    counters.replies++;
    if (status < 0) counters.errors++;
    const us = Math.min(Math.max(ms, 0) * 1000, 2 ** 30);
    const bucket = 32 - Math.clz32(us);
    counters.histogram[bucket] = (counters.histogram[bucket] ?? 0) + 1;
  }

  drop(reason: string): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
  }
}

/** What subscribers of the two channels are given. */
export interface RpcTrace {
  readonly end: 'client' | 'server';
  readonly peer: string;
  readonly portal: number;
  readonly opcode: number;
  readonly xid: bigint;
  /** Only of replies. */
  readonly status?: number;
  readonly ms?: number;
}

export const requestChannel = channel('node-lustre:rpc:request');
export const replyChannel = channel('node-lustre:rpc:reply');
