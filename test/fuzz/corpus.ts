/** Inputs for the decoders: bytes of nothing, and real ones with damage. */
import fc from 'fast-check';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import type { CapturedFrame } from '../../lib/cli/decode/pcap.ts';
import { encodeBuffers } from '../../lib/wire/format.ts';
import { RQF_LDLM_INTENT_OPEN, RQF_OST_BRW_WRITE } from '../../lib/wire/formats.ts';
import { capture, captureFrames } from '../cli/captures.ts';

/** Numbers that lengths, counts and offsets go wrong with. */
const spoilers = [0, 1, 7, 8, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff];

interface Damage {
  readonly at: number;
  readonly kind: 'bit' | 'word' | 'half' | 'cut' | 'repeat' | 'remove';
  readonly value: number;
}

const damage: fc.Arbitrary<Damage> = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('bit', 'word', 'half', 'cut', 'repeat', 'remove'),
  value: fc.oneof(fc.constantFrom(...spoilers), fc.nat(0xffffffff)),
});

/** Applies damages one after the other; gives a copy. */
export function spoil(bytes: Uint8Array, damages: readonly Damage[]): Uint8Array {
  let out: Uint8Array = bytes.slice();
  for (const { at, kind, value } of damages) {
    if (out.length === 0) break;
    const i = at % out.length;
    const view = new DataView(out.buffer, out.byteOffset, out.length);
    const aligned = i & ~3;
    if (kind === 'bit') out[i]! ^= 1 << (value & 7);
    else if (kind === 'word' && aligned + 4 <= out.length) view.setUint32(aligned, value, true);
    else if (kind === 'half' && aligned + 2 <= out.length) view.setUint16(aligned, value & 0xffff, true);
    else if (kind === 'cut') out = out.slice(0, i);
    else if (kind === 'repeat')
      out = Buffer.concat([out.subarray(0, i), out.subarray(i, i + (value & 63)), out.subarray(i)]);
    else if (kind === 'remove') out = Buffer.concat([out.subarray(0, i), out.subarray(i + (value & 63))]);
  }
  return out;
}

/** Random bytes, or one of these with some damage. */
export function damaged(originals: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const random = fc.uint8Array({ maxLength: 4096 });
  if (originals.length === 0) return random;
  const real = fc
    .tuple(fc.nat(originals.length - 1), fc.array(damage, { maxLength: 6 }))
    .map(([i, damages]) => spoil(originals[i]!, damages));
  return fc.oneof({ weight: 1, arbitrary: random }, { weight: 9, arbitrary: real });
}

/** The frames of the smaller captures, or of none. */
export async function realFrames(prefix: string, most: number): Promise<CapturedFrame[]> {
  const frames: CapturedFrame[] = [];
  const path = capture(prefix);
  if (path === '') return frames;
  for await (const frame of captureFrames(path)) {
    frames.push({ ...frame, data: frame.data.slice() });
    if (frames.length === most) break;
  }
  return frames;
}

/** Units of real traffic, one of each kind and operation; without captures two messages that we made. */
export async function realUnits(): Promise<Unit[]> {
  const units = new Map<string, Unit>();
  for (const prefix of ['01', '02', '04', '05', '07', '09', '10']) {
    const path = capture(prefix);
    if (path === '') continue;
    await decodeCapture(captureFrames(path), (unit) => {
      const key = `${unit.kind} ${unit.rpc?.variant?.format.name ?? unit.request?.opcode ?? ''} ${unit.security ?? ''}`;
      if (!units.has(key) && unit.bytes.length < 20_000)
        units.set(key, { ...unit, bytes: unit.bytes.slice() });
    });
  }
  return [...units.values()];
}

export const ownMessages: readonly Uint8Array[] = [
  encodeBuffers(RQF_LDLM_INTENT_OPEN.request, { ptlrpc_body: { pb_opc: 101, pb_type: 4711 }, name: 'file' }),
  encodeBuffers(RQF_OST_BRW_WRITE.request, {
    ptlrpc_body: { pb_opc: 4, pb_type: 4711 },
    obd_ioobj: [{ ioo_bufcnt: 1 }],
    niobuf_remote: [{ rnb_len: 4096 }],
  }),
];
