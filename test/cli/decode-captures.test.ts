/** Every capture of kernel traffic: each byte belongs to something, nothing is undecodable, and it encodes back. */
import { describe, expect, it } from 'vitest';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import { encodeMessage } from '../../lib/cli/decode/encode-message.ts';
import { readCapture } from '../../lib/cli/decode/pcap.ts';
import { isDetail, unitLine, unitObject } from '../../lib/cli/decode/print.ts';
import { reencode } from '../../lib/cli/decode/reencode.ts';
import { capture, captures } from './captures.ts';

/** Messages that went through our own encoder. */
let encoded = 0;

/** What is wrong with a unit's way back to bytes. */
function wayBack(unit: Unit): string[] {
  const wrong: string[] = [...unit.problems];
  const again = reencode(unit.bytes, unit.parts);
  if (again.unexplained.length > 0)
    wrong.push(`values without their bytes at ${again.unexplained.slice(0, 8)}`);
  if (Buffer.compare(again.bytes, unit.bytes) !== 0) wrong.push('other bytes');
  if (unit.rpc === undefined || unit.security !== '') return wrong;
  encoded++;
  const message = encodeMessage(unit.rpc);
  if (message === undefined) return [...wrong, 'no format'];
  const start = unit.bytes.length - unit.rpc.message.size;
  for (let i = 0; i < message.length; i++) {
    // A byte may differ only where no value says what it is.
    if (message[i] !== unit.bytes[start + i] && !again.unsaid.has(start + i)) {
      wrong.push(`our encoder gives another byte ${i}`);
      break;
    }
  }
  if (message.length !== unit.rpc.message.size) wrong.push(`our encoder gives ${message.length} bytes`);
  return wrong;
}

describe.skipIf(captures.length === 0)('captures', () => {
  it.each(captures)('%s', async (_, path) => {
    const wrong: string[] = [];
    encoded = 0;
    let unsaid = 0;
    let replies = 0;
    let unmatched = 0;
    const ledger = await decodeCapture(readCapture(path), (unit) => {
      for (const what of wayBack(unit))
        if (wrong.length < 20) wrong.push(`${unit.frame} ${unit.kind}: ${what}`);
      unsaid += reencode(unit.bytes, unit.parts).remainder;
      if (unit.kind === 'reply') replies++;
      if ((unit.kind === 'reply' || unit.kind === 'bulk') && unit.request === undefined) unmatched++;
      if (!isDetail(unit)) expect(unitLine(unit)).not.toContain('undefined');
      if (unit.frame % 37 === 0) JSON.stringify(unitObject(unit, true));
    });
    expect(wrong).toEqual([]);
    expect(encoded).toBeGreaterThan(25);
    expect(ledger.accounted).toBe(ledger.delivered);
    expect(ledger.bytes.undecoded).toBe(0);
    expect(ledger.missing).toBe(0);
    expect(ledger.problems).toBe(0);
    expect(replies).toBeGreaterThan(30);
    // The server of 08 was reset, but no reply or bulk transfer comes out of nowhere.
    expect(unmatched).toBe(0);
    // What kernels leave in padding and behind NULs: a few hundred bytes of a capture, not a hiding place.
    expect(unsaid).toBeLessThan(1000);
  });

  it('would notice a value that lost its bytes', async () => {
    const units: Unit[] = [];
    await decodeCapture(readCapture(capture('01')), (unit) => units.push(unit));
    const unit = units.find((u) => u.rpc?.body.pb_opc === 38)!;
    const at = unit.parts.findIndex((part) => part.name === 'connect_data');
    const part = unit.parts[at]!;
    const value = { ...(part.value as object), ocd_version: 7 };
    const changed = unit.parts.with(at, { ...part, value });
    expect(reencode(unit.bytes, changed).unexplained).toEqual(
      [8, 9, 10, 11]
        .map((i) => part.offset + i)
        .filter((i) => unit.bytes[i] !== (i === part.offset + 8 ? 7 : 0)),
    );
    expect(reencode(unit.bytes, unit.parts).unexplained).toEqual([]);
  });
});
