/** Units as lines for people, with every field on request, and as objects for machines. */
import { errnoName } from '../../runtime/errors.ts';
import type { Unit } from './conversation.ts';
import type { Part } from './dissection.ts';
import { summarize } from './summary.ts';
import { bytesText, fieldsOf, jsonValue, nameText } from './values.ts';

/** Time of day with microseconds, UTC. */
export function timeText(time: bigint): string {
  const seconds = time / 1_000_000_000n;
  const clock = new Date(Number(seconds % 86_400n) * 1000).toISOString().slice(11, 19);
  return `${clock}.${((time / 1000n) % 1_000_000n).toString().padStart(6, '0')}`;
}

/** Packets and messages below LNet: of interest in detail only. */
export function isDetail(unit: Unit): boolean {
  return unit.kind === 'rdma' || unit.kind === 'noop';
}

/** A unit in one line. */
export function unitLine(unit: Unit): string {
  const s = summarize(unit);
  const where = s.target === '' ? s.service : s.target;
  const parts = [
    timeText(unit.time),
    `${unit.source} → ${unit.destination}`,
    unit.kind.toUpperCase(),
    where,
    s.operation,
    [...s.fids, ...s.names.map(nameText)].join(' '),
    s.detail,
    s.xid === undefined ? '' : `xid 0x${s.xid.toString(16)}`,
    s.transno === undefined ? '' : `transno ${s.transno}`,
    s.status === undefined ? '' : statusText(s.status),
    `${s.payload > 0 ? s.payload : s.size} bytes`,
    s.after === undefined ? '' : `after ${(s.after / 1000).toFixed(3)} ms`,
    unit.security ?? '',
    unit.note ?? '',
    ...unit.problems.map((problem) => `PROBLEM ${problem}`),
  ];
  return parts.filter((part) => part !== '').join('  ');
}

function statusText(status: number): string {
  return status < 0 ? `status ${status} ${errnoName(status)}` : `status ${status}`;
}

/** Every field of every part, a line each, indented. */
export function* fieldLines(unit: Unit): Generator<string> {
  for (const part of unit.parts) {
    const name = partName(part);
    yield `    ${name}  ${part.bytes.length} bytes at ${part.offset}${part.kind === 'struct' ? '' : `, ${part.kind}`}`;
    for (const [field, text] of partFields(part)) yield `      ${field.padEnd(28)} ${text}`;
  }
}

/** Its groups and itself; a buffer that is one struct has one name. */
function partName({ path, name }: Part): string {
  return (path.at(-1) === name ? path : [...path, name]).join('.');
}

function* partFields(part: Part): Generator<readonly [string, string]> {
  if (part.kind === 'padding' && part.bytes.every((byte) => byte === 0)) return;
  if (part.value !== undefined) yield* fieldsOf(part.value);
  else yield ['', bytesText(part.bytes)];
}

/** A unit as an object that JSON.stringify takes; with every field when `verbose`. */
export function unitObject(unit: Unit, verbose: boolean): object {
  const s = summarize(unit);
  const { header, rpc } = unit;
  const given = (value: string): string | undefined => (value === '' ? undefined : value);
  return {
    time: `${new Date(Number(unit.time / 1_000_000n)).toISOString().slice(0, 20)}${(unit.time % 1_000_000_000n).toString().padStart(9, '0')}Z`,
    frame: unit.frame,
    kind: unit.kind,
    source: unit.source,
    destination: unit.destination,
    ...(header === undefined
      ? {}
      : {
          lnet: {
            type: header.type,
            portal: header.portal,
            matchBits: `0x${header.matchBits.toString(16)}`,
            offset: header.offset,
            payload: header.payloadLength,
          },
        }),
    target: given(s.target),
    opcode: rpc?.body.pb_opc ?? unit.request?.opcode,
    operation: given(s.operation),
    fids: s.fids.length > 0 ? s.fids : undefined,
    names: s.names.length > 0 ? s.names : undefined,
    detail: given(s.detail),
    xid: s.xid === undefined ? undefined : `0x${s.xid.toString(16)}`,
    transno: s.transno?.toString(),
    status: s.status,
    bytes: s.size,
    afterMicroseconds: s.after,
    security: given(unit.security ?? ''),
    note: given(unit.note ?? ''),
    problems: unit.problems.length > 0 ? unit.problems : undefined,
    ...(verbose ? { parts: unit.parts.map(partObject) } : {}),
  };
}

function partObject(part: Part): object {
  return {
    name: partName(part),
    kind: part.kind,
    offset: part.offset,
    size: part.bytes.length,
    value: part.kind === 'bulk' ? undefined : jsonValue(part.value ?? part.bytes),
  };
}
