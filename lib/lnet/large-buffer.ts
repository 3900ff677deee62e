/**
 * New memory for bytes that come from the network: each page of it costs a fault when it is filled, and with pages of 4 KiB those
 * cost more than all else that a stream does. (The typed face of native/large_pages_binding.cc.)
 */
import { nativeOr } from './native-loader.ts';

/** A large page. */
const LARGE_PAGE = 2 << 20;

/** Where in the bytes large pages begin, of which there are as many as the bytes have but one. */
type Ask = (bytes: Uint8Array) => number;
let ask: Ask | undefined;

/** With whatever is in it, as `Buffer.allocUnsafeSlow`; on large pages, where the system has them. It may be a part of an
 * ArrayBuffer that is larger by as much as one of them. */
export function allocateLarge(size: number): Buffer {
  if (size < LARGE_PAGE) return Buffer.allocUnsafeSlow(size);
  ask ??= nativeOr<Ask>('askForLargePages', () => 0);
  const buffer = Buffer.allocUnsafeSlow(size + LARGE_PAGE);
  const offset = ask(buffer);
  return buffer.subarray(offset, offset + size);
}
