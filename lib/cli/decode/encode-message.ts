/** A decoded request or reply through the encoder that clients and servers use. */
import { encodeBuffers } from '../../wire/format.ts';
import type { RpcMessage } from './rpc-messages.ts';

/** Encodes a message from its decoded values by its format; undefined where it has none, or is not little-endian. */
export function encodeMessage({ message, variant, side, values }: RpcMessage): Uint8Array | undefined {
  if (variant === undefined || !message.littleEndian) return undefined;
  const fields = variant.format[side];
  const { secflvr, repsize, cksum, flags, opc, buffers } = message;
  // Slots that are there and empty are told apart from those that are missing.
  const slots = fields.slice(0, buffers.length).map((field) => [field.key, values[field.key] ?? null]);
  return encodeBuffers(fields, Object.fromEntries(slots), {
    secflvr,
    repsize,
    cksum,
    flags,
    opc,
    slots: buffers.length,
  });
}
