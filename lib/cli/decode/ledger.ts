/** The account of a capture's bytes: each payload byte belongs to one part of one unit, and the totals agree. */
import { LustreError } from '../../runtime/errors.ts';
import type { Unit, UnitKind } from './conversation.ts';
import type { PartKind } from './dissection.ts';

const ZERO_KINDS: Record<PartKind, number> = {
  struct: 0,
  numbers: 0,
  text: 0,
  value: 0,
  padding: 0,
  bulk: 0,
  opaque: 0,
  undecoded: 0,
};

export class Ledger {
  /** Payload bytes of LNet connections, in order and once each. */
  delivered = 0;
  /** Payload bytes seen more than once, of other protocols, and not in the capture. */
  retransmitted = 0;
  foreign = 0;
  missing = 0;
  readonly bytes: Record<PartKind, number> = { ...ZERO_KINDS };
  readonly units = new Map<UnitKind, number>();
  problems = 0;

  add(unit: Unit): void {
    let at = 0;
    for (const part of unit.parts) {
      // By construction of Dissection; said here because the account stands on it.
      if (part.offset !== at) throw miscounted(`part ${part.name} starts at ${part.offset}, not at ${at}`);
      at += part.bytes.length;
      this.bytes[part.kind] += part.bytes.length;
    }
    if (at !== unit.bytes.length)
      throw miscounted(`parts of a ${unit.kind} end at ${at} of ${unit.bytes.length}`);
    this.units.set(unit.kind, (this.units.get(unit.kind) ?? 0) + 1);
    this.problems += unit.problems.length;
  }

  /** Bytes accounted for by parts. */
  get accounted(): number {
    return Object.values(this.bytes).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The totals for machines. */
  toJSON(): object {
    const { delivered, accounted, retransmitted, missing, foreign, bytes, problems } = this;
    const units = Object.fromEntries(this.units);
    return { delivered, accounted, retransmitted, missing, foreign, bytes, units, problems };
  }

  /** The totals as people read them, a line each. */
  lines(): string[] {
    const line = (name: string, bytes: number): string => `${name.padEnd(16)}${String(bytes).padStart(12)}`;
    return [
      line('payload bytes', this.delivered),
      ...Object.entries(this.bytes)
        .filter(([, bytes]) => bytes > 0)
        .map(([kind, bytes]) => line(`  ${kind}`, bytes)),
      line('accounted for', this.accounted),
      line('seen again', this.retransmitted),
      line('not captured', this.missing),
      line('not LNet', this.foreign),
      `units           ${[...this.units].map(([kind, count]) => `${kind} ${count}`).join(', ')}`,
      line('problems', this.problems),
    ];
  }
}

const miscounted = (message: string): LustreError =>
  new LustreError('ERR_LUSTRE_CAPTURE', message, {
    syscall: 'decode',
    hint: 'This is a bug of the decoder: please report it with the capture',
  });
