/**
 * A capture as a script for the servers' side: the steps of its notes, each request of the kernel client with all that the
 * servers sent for it, and the callbacks that they sent in between. Truth: ../shared/captures.
 */
import { constants, readFileSync } from 'node:fs';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import type { LnetHeader } from '../../lib/cli/decode/lnet-messages.ts';
import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { summarize } from '../../lib/cli/decode/summary.ts';
import { OpenFlag, Reint } from '../../lib/wire/mds-constants.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { MsgFlag } from '../../lib/wire/ptlrpc-constants.ts';
import { captureFrames } from '../cli/captures.ts';

/** The high word of an open's flags. */
const LEASE_HIGH = Number(OpenFlag.MDS_OPEN_LEASE >> 32n);

/** What a request is for, in order of how much it tells. */
export interface Purpose {
  readonly target: string;
  /** `LDLM_ENQUEUE open|creat`. */
  readonly operation: string;
  /** FIDs and names. */
  readonly objects: string;
  /** Mode and range of a lock, range of data. */
  readonly detail: string;
}

export const purposeText = ({ target, operation, objects, detail }: Purpose): string =>
  [target, operation, objects, detail].filter((part) => part !== '').join('  ');

/** A message of the servers, to send again. */
export interface Sent {
  readonly index: number;
  readonly header: LnetHeader;
  readonly payload: Uint8Array;
  /** How far below the request's match bits its own lie. */
  readonly bitsBelow: bigint;
  readonly rpc: RpcMessage | undefined;
}

export interface Exchange {
  readonly index: number;
  /** Which of the client node's mounts asked. */
  readonly mount: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly frame: number;
  readonly purpose: Purpose;
  readonly request: RpcMessage;
  readonly header: LnetHeader;
  reply: Sent | undefined;
  /** Bulk that the server sent. */
  readonly puts: Sent[];
  /** Bulk that the server fetched, with the bytes it got. */
  readonly gets: { readonly sent: Sent; bytes: Uint8Array }[];
}

export interface Callback {
  readonly index: number;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** Which of the client node's mounts was called. */
  readonly mount: number;
  readonly purpose: Purpose;
  readonly sent: Sent;
}

export interface Step {
  readonly command: string;
  /** Milliseconds since the epoch: when the command was given. */
  readonly time: number;
  readonly until: number;
}

export interface Recording {
  readonly name: string;
  readonly server: string;
  readonly client: string;
  readonly exchanges: readonly Exchange[];
  readonly callbacks: readonly Callback[];
  readonly steps: readonly Step[];
}

const payloadOf = ({ bytes, header }: Unit): Uint8Array =>
  bytes.subarray(bytes.length - (header?.payloadLength ?? 0));

export function purposeOf(unit: Unit, target = summarize(unit).target): Purpose {
  const { operation, fids, names, detail } = summarize(unit);
  // The FID of what is to be made is each client's own choice; of what is to go, a hint.
  const makes = /creat|create$|unlink$/.test(operation) && unit.kind === 'request' && names.length > 0;
  // Statistics of one MDT, or of the whole file system.
  const summed = operation === 'MDS_STATFS' && (unit.rpc?.message.buffers.length ?? 0) > 1 ? 'summed' : '';
  const objects = [...(makes ? fids.slice(0, 1) : fids), ...names].join(' ');
  return {
    target,
    operation: `${operation}${opens(unit)}${closes(unit)}${replayed(unit)}`,
    objects,
    detail: `${detail}${summed}`,
  };
}

/** An open that takes directories only, for what is none the answer is ENOTDIR; or one under a lease. */
function opens({ rpc }: Unit): string {
  const open = rpc?.values.rec_reint as
    | { cr_opcode?: number; cr_flags_l?: number; cr_flags_h?: number }
    | undefined;
  if (open?.cr_opcode !== Reint.REINT_OPEN) return '';
  if ((open.cr_flags_h ?? 0) & LEASE_HIGH) return '|lease';
  return (open.cr_flags_l ?? 0) & constants.O_DIRECTORY ? '|directory' : '';
}

/** A close that changes the layout. */
const closes = ({ kind, rpc }: Unit): string =>
  kind === 'request' && rpc?.body.pb_opc === Opcode.MDS_CLOSE && rpc.values.close_data !== undefined
    ? '|layout'
    : '';

/** Sent to a server that was started again, which has lost what it did before. */
function replayed({ kind, rpc }: Unit): string {
  const flags = kind === 'request' ? (rpc?.body.pb_flags ?? 0) : 0;
  return (flags & (MsgFlag.MSG_REPLAY | MsgFlag.MSG_REQ_REPLAY_DONE)) === 0 ? '' : '|replay';
}

/** The same of a message by itself. */
export function purposeOfMessage(rpc: RpcMessage, target: string): Purpose {
  const unit: Unit = {
    kind: 'request',
    time: 0n,
    frame: 0,
    source: '',
    destination: '',
    bytes: new Uint8Array(0),
    parts: [],
    problems: [],
    rpc,
  };
  return purposeOf(unit, target);
}

const recordings = new Map<string, Promise<Recording>>();

/** Reads a capture and the notes beside it, once. */
export function readRecording(path: string): Promise<Recording> {
  const recording = recordings.get(path) ?? read(path);
  recordings.set(path, recording);
  return recording;
}

async function read(path: string): Promise<Recording> {
  const units: Unit[] = [];
  await decodeCapture(captureFrames(path), (unit) => void units.push(unit));
  const first = units.find((unit) => unit.kind === 'request');
  if (first?.header === undefined) throw new Error(`${path} has no request`);
  const { source: client, destination: server } = first.header;
  const exchanges: Exchange[] = [];
  const callbacks: Callback[] = [];
  const byXid = new Map<bigint, Exchange>();
  const mounts = new Mounts();
  units.forEach((unit, index) => {
    const { header, rpc, request } = unit;
    if (header === undefined) return;
    if (unit.kind === 'request' && rpc !== undefined) {
      const mount = mounts.of(rpc);
      if (header.source === client) {
        const exchange = {
          index,
          mount,
          time: Number(unit.time / 1_000_000n),
          frame: unit.frame,
          purpose: purposeOf(unit),
          request: rpc,
          header,
          reply: undefined,
          puts: [],
          gets: [],
        };
        exchanges.push(exchange);
        byXid.set(header.matchBits, exchange);
      } else {
        const sent = { index, header, payload: payloadOf(unit), bitsBelow: 0n, rpc };
        callbacks.push({
          index,
          mount,
          time: Number(unit.time / 1_000_000n),
          purpose: purposeOf(unit),
          sent,
        });
      }
      return;
    }
    const exchange = request === undefined ? undefined : byXid.get(request.xid);
    if (exchange === undefined || request === undefined) return;
    const bitsBelow = request.mbits - header.matchBits;
    const sent = { index, header, payload: payloadOf(unit), bitsBelow, rpc };
    if (unit.kind === 'reply' && header.destination === client) {
      exchange.reply = sent;
      if (rpc !== undefined) mounts.learn(rpc, exchange.mount);
    } else if (unit.kind === 'bulk' && header.type === 'PUT') exchange.puts.push(sent);
    else if (unit.kind === 'get') exchange.gets.push({ sent, bytes: new Uint8Array(0) });
    else if (unit.kind === 'bulk' && header.type === 'REPLY') {
      const get = exchange.gets.find(({ bytes }) => bytes.length === 0);
      if (get !== undefined) get.bytes = sent.payload;
    }
  });
  const name = path.replace(/^.*\/|\.pcap(\.br)?$/g, '');
  const day = new Date(exchanges[0]!.time).toISOString().slice(0, 10);
  return { name, server, client, exchanges, callbacks, steps: readSteps(path, day) };
}

/** Which mount of the client node a request is of: connects name it by its UUID, all others by the handles that those gave. */
class Mounts {
  readonly #uuids: string[] = [];
  readonly #handles = new Map<bigint, number>();

  of({ values, body }: RpcMessage): number {
    if (values.cluuid === undefined) return this.#handles.get(body.pb_handle) ?? 0;
    const uuid = String(values.cluuid);
    // The MGS is connected to once a node, with a UUID of its own.
    if (values.tgtuuid === 'MGS') return 0;
    if (!this.#uuids.includes(uuid)) this.#uuids.push(uuid);
    const mount = this.#uuids.indexOf(uuid);
    // What servers put into callbacks.
    this.#handles.set(values.conn as bigint, mount);
    return mount;
  }

  learn({ body }: RpcMessage, mount: number): void {
    if (body.pb_handle !== 0n) this.#handles.set(body.pb_handle, mount);
  }
}

/** The commands of the notes that the client was given: `[09:26:31.714 CLI]# mkdir /mnt/lustre/d1`. Those of the server
 * are of another clock. */
function readSteps(path: string, day: string): Step[] {
  const notes = readFileSync(path.replace(/\.pcap(\.br)?$/, '.md'), 'utf8');
  const found = [...notes.matchAll(/^\[(\d\d:\d\d:\d\d\.\d{3}) CLI\]# (.*)$/gm)].map((match) => ({
    command: match[2] ?? '',
    time: Date.parse(`${day}T${match[1]}Z`),
  }));
  return found.map((step, i) => ({ ...step, until: found[i + 1]?.time ?? Number.POSITIVE_INFINITY }));
}
