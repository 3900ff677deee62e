/** Two requests for the same purpose, field by field: ours and the kernel client's. */
import { fieldsOf } from '../../lib/cli/decode/values.ts';
import { bytesOf } from './answer-bytes.ts';
import { MEANT } from './differences.ts';
import { allows } from './meant.ts';
import { isNotAsked, NOT_ASKED, timesOf } from './omissions.ts';
import { handlesOf } from './recorded-bytes.ts';
import { purposeText } from './recording.ts';
import type { Match, ReplayPeer } from './replay-peer.ts';

/** A field in which ours differs. */
export interface Difference {
  readonly purpose: string;
  readonly operation: string;
  readonly field: string;
  readonly ours: string;
  readonly theirs: string;
}

/** Chosen by each client for itself: mapped, or not to be compared at all. */
const OWN = new RegExp(
  [
    // Which of its requests this is, and where its answer goes.
    '^ptlrpc_body\\.pb_(mbits|last_xid|last_seen|tag|uid|gid|jobid|conn_cnt|transno|slv|limit|timeout)$',
    // The connection of a callback, the client's name.
    '^(conn|cluuid|conn_handle)$',
    '^dlm_req\\.lock_handle$',
  ].join('|'),
);
/** Seconds that virtual time may be away from the recording's. */
const CLOCK = 60n;

export function differencesOf(match: Match): Difference[] {
  const { exchange, request, purpose } = match;
  if (match.again) return [];
  const ours = shape(match.request, match.portal);
  const theirs = shape(exchange.request, exchange.header.portal);
  const found: Difference[] = [];
  const differ = (field: string, a: string, b: string): void => {
    const operation = purpose.operation.replace('|replay', '');
    found.push({ purpose: purposeText(purpose), operation, field, ours: a, theirs: b });
  };
  for (const field of new Set([...ours.keys(), ...theirs.keys()])) {
    const [a = 'absent', b = 'absent'] = [ours.get(field), theirs.get(field)];
    if (a !== b && !OWN.test(field) && !sameTime(field, a, b)) differ(field, a, b);
  }
  const [a, b] = [handlesOf(request).length, handlesOf(exchange.request).length];
  if (a !== b) differ('handles', String(a), String(b));
  const [sent, fetched] = [match.bulk, exchange.gets.map(({ bytes }) => bytes)];
  if (sent.length > 0 && !isPartOf(Buffer.concat(sent), Buffer.concat(fetched), match))
    differ('bulk', `${sent.length} pieces`, 'other bytes');
  return found;
}

function shape(request: Match['request'], portal: number): Map<string, string> {
  const { message } = request;
  return new Map([
    ['portal', String(portal)],
    ['lm_flags', String(message.flags)],
    ['lm_repsize', String(message.repsize)],
    ['lm_secflvr', message.secflvr.toString(16)],
    ['buffers', message.buffers.map((buffer) => buffer.length).join(' ')],
    ...fieldsOf(request.values),
  ]);
}

/** The bytes that ours wrote are those that the kernel wrote there, perhaps with the rest of their pages. */
function isPartOf(ours: Uint8Array, theirs: Uint8Array, { request, exchange }: Match): boolean {
  const at = bytesOf(request).start - bytesOf(exchange.request).start;
  return at >= 0 && Buffer.compare(ours, theirs.subarray(at, at + ours.length)) === 0;
}

/** Times are those of the step, give or take what virtual time is off. */
function sameTime(field: string, a: string, b: string): boolean {
  if (!/(time|_fid_time)$/.test(field)) return false;
  const [x, y] = [a, b].map((text) => (/^(0x[\da-f]+|\d+)/.exec(text) ?? ['0'])[0]).map(BigInt);
  const away = x! - y!;
  return x! > 0n && y! > 0n && away < CLOCK && away > -CLOCK;
}

/** What the tables have to explain in a replay, and which of their rows did. */
export interface Explained {
  /** Fields in which our requests differ from the kernel's without a row that says why. */
  readonly differences: string[];
  /** Requests of the kernel client that ours does without, without a row that says why. */
  readonly omissions: string[];
  readonly rows: ReadonlySet<unknown>;
  /** How often rows of the table of omissions did. */
  readonly times: ReadonlyMap<unknown, number>;
}

export function explain(peer: ReplayPeer): Explained {
  const [differences, omissions, rows] = [[] as string[], [] as string[], new Set<unknown>()];
  for (const difference of peer.matches.flatMap(differencesOf)) {
    const row = MEANT.find((meant) => allows(meant, difference));
    const { purpose, field, ours, theirs } = difference;
    if (row === undefined) differences.push(`${purpose}: ${field} is ${ours}, the kernel's ${theirs}`);
    else rows.add(row);
  }
  const times = new Map<unknown, number>();
  for (const exchange of peer.unused()) {
    const { frame } = exchange;
    const text = purposeText(exchange.purpose);
    const what = { frame, step: peer.stepOf(exchange)?.command ?? '', text };
    const row = NOT_ASKED.find((notAsked) => isNotAsked(notAsked, peer.recording, what));
    const before = times.get(row) ?? 0;
    if (row === undefined || before === timesOf(row, peer.recording))
      omissions.push(`${text} (frame ${frame})`);
    else times.set(row, before + 1);
  }
  return { differences, omissions, rows, times };
}
