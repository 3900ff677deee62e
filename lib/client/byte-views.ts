/** What a program gives to be written or filled, as bytes. */
import { LustreError } from '../runtime/errors.ts';

export function viewBytes(view: ArrayBufferView): Uint8Array {
  return view instanceof Uint8Array ? view : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

export function toBytes(data: string | ArrayBufferView, encoding: BufferEncoding = 'utf8'): Uint8Array {
  return typeof data === 'string' ? Buffer.from(data, encoding) : viewBytes(data);
}

/** One Buffer of several pieces; a single piece is not copied. */
export function joinChunks(chunks: readonly Uint8Array[]): Buffer {
  const [only] = chunks;
  if (chunks.length === 1 && only !== undefined)
    return Buffer.from(only.buffer, only.byteOffset, only.length);
  return Buffer.concat(chunks);
}

/** A part of a view; throws ERR_OUT_OF_RANGE for what is not within it. */
export function slice(view: ArrayBufferView, offset: number, length: number | undefined): Uint8Array {
  const bytes = viewBytes(view);
  const size = length ?? bytes.length - offset;
  if (
    !Number.isInteger(offset) ||
    offset < 0 ||
    !Number.isInteger(size) ||
    size < 0 ||
    offset + size > bytes.length
  ) {
    throw new LustreError(
      'ERR_OUT_OF_RANGE',
      `${size} bytes at ${offset} are not within a buffer of ${bytes.length} bytes`,
    );
  }
  return bytes.subarray(offset, offset + size);
}
