/** Fields of metadata requests that the codecs leave as they are: names as bytes, flags in halves (guide 09 §1.2). */

import type { IncomingRequest } from '../../rpc/rpc.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Format } from '../../wire/format.ts';

type Received = Pick<IncomingRequest, 'message'>;

/** A buffer's bytes; undefined when the request ends before it. Valid until the request is answered. */
export function rawBuffer(request: Received, format: Format, key: string): Uint8Array | undefined {
  const index = format.request.findIndex((field) => field.key === key);
  return index < 0 ? undefined : request.message.buffers[index];
}

/**
 * The bytes of a NUL-terminated buffer without the NUL. Empty for "no name": an absent buffer, a lone NUL, a sole '/'.
 * Throws EPROTO when the NUL is not exactly at the end.
 */
export function nameBytes(request: Received, format: Format, key: string): Uint8Array {
  const raw = rawBuffer(request, format, key);
  if (raw === undefined || raw.length === 0) return new Uint8Array(0);
  if (raw.indexOf(0) !== raw.length - 1) throw errnoError(71, { syscall: 'name' });
  const name = raw.slice(0, -1);
  return name.length === 1 && name[0] === 0x2f ? new Uint8Array(0) : name;
}

/** A value's bytes, kept beyond the request; undefined when empty or absent. */
export function valueBytes(request: Received, format: Format, key: string): Uint8Array | undefined {
  const raw = rawBuffer(request, format, key);
  return raw === undefined || raw.length === 0 ? undefined : raw.slice();
}
