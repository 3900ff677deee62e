/**
 * Times set explicitly must not be overwritten by a write that was sent before (guide 12 §4.2): per client we remember the
 * XID of the last request that set an object's times, for the objects of late.
 */
import type { Call } from '../../connection/target.ts';
import type { Bits64 } from '../../wire/bits64.ts';
import type { Format } from '../../wire/format.ts';
import type { Obdo } from '../../wire/ost-structs.ts';

const TIMES = Symbol('times set by a client');
const REMEMBERED_MAX = 128;

function nameOf(oa: Obdo): string {
  return `${oa.o_oi.oi.oi_seq}:${oa.o_oi.oi.oi_id}`;
}

function memory(call: Call<Format>): Map<string, Bits64> {
  const known = call.export.state.get(TIMES);
  if (known instanceof Map) return known;
  const made = new Map<string, Bits64>();
  call.export.state.set(TIMES, made);
  return made;
}

/** A SETATTR or PUNCH set the object's times. */
export function rememberTimes(call: Call<Format>, oa: Obdo): void {
  const times = memory(call);
  const name = nameOf(oa);
  times.delete(name);
  times.set(name, call.request.xid);
  if (times.size > REMEMBERED_MAX) times.delete(times.keys().next().value!);
}

/** False for a write older than the last setting of the object's times. */
export function timesAreNewer(call: Call<Format>, oa: Obdo): boolean {
  const times = call.export.state.get(TIMES);
  const set: Bits64 | undefined = times instanceof Map ? times.get(nameOf(oa)) : undefined;
  return set === undefined || call.request.xid >= set;
}
