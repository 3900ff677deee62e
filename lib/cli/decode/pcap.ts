/**
 * Packet captures: pcap (both byte orders, micro- and nanoseconds) and pcapng, read as a stream with bounded memory.
 * Whatever the file holds, the worst outcome is a CaptureError that names the file and the offset.
 */
import { open } from 'node:fs/promises';
import { LustreError } from '../../runtime/errors.ts';

/** A file that is no capture, or a damaged one. */
export class CaptureError extends LustreError {
  readonly offset: number;

  constructor(file: string, offset: number, message: string) {
    super('ERR_LUSTRE_CAPTURE', `${file}, offset ${offset}: ${message}`);
    this.name = 'CaptureError';
    this.offset = offset;
  }
}

/** One captured frame. `data` stays valid; `wireLength` is larger where the capture cut the frame. */
export interface CapturedFrame {
  /** Frame number as other tools count them, from 1. */
  readonly number: number;
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
  readonly linkType: number;
  readonly data: Uint8Array;
  readonly wireLength: number;
}

/** Larger than any frame that a kernel hands to a capture (segmentation offload gives up to 512 KiB). */
const FRAME_MAX = 4 << 20;
const BLOCK = 1 << 20;
const INTERFACES_MAX = 4096;

/** Bytes of a file in order; never holds more than a block and one record. */
class FileReader {
  private buffer: Uint8Array = new Uint8Array(0);
  private at = 0;
  /** Offset in the file of the next byte. */
  offset = 0;
  private ended = false;
  private readonly read: (size: number) => Promise<Uint8Array>;

  constructor(read: (size: number) => Promise<Uint8Array>) {
    this.read = read;
  }

  /** The next `size` bytes, or undefined when the file has fewer left; then `left` says how many. */
  async take(size: number): Promise<Uint8Array | undefined> {
    while (this.left < size && !this.ended) {
      const more = await this.read(Math.max(BLOCK, size - this.left));
      if (more.length === 0) this.ended = true;
      else if (this.left === 0) {
        this.buffer = more;
        this.at = 0;
      } else {
        // A fresh array: frames already handed out are views of the old one.
        this.buffer = Buffer.concat([this.buffer.subarray(this.at), more]);
        this.at = 0;
      }
    }
    if (this.left < size) return undefined;
    const bytes = this.buffer.subarray(this.at, this.at + size);
    this.at += size;
    this.offset += size;
    return bytes;
  }

  get left(): number {
    return this.buffer.length - this.at;
  }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** The frames of a capture file, in file order. Throws CaptureError for anything else than a whole, sound file. */
export async function* readCapture(file: string): AsyncGenerator<CapturedFrame> {
  const handle = await open(file, 'r');
  try {
    const reader = new FileReader(async (size) => {
      const { bytesRead, buffer } = await handle.read(new Uint8Array(size), 0, size, null);
      return buffer.subarray(0, bytesRead);
    });
    yield* readFrames(file, reader);
  } finally {
    await handle.close();
  }
}

/** The same of a capture in memory; `file` is for error messages. */
export async function* readCaptureBytes(file: string, bytes: Uint8Array): AsyncGenerator<CapturedFrame> {
  let at = 0;
  yield* readFrames(
    file,
    new FileReader((size) => {
      const part = bytes.subarray(at, at + size);
      at += part.length;
      return Promise.resolve(part);
    }),
  );
}

async function* readFrames(file: string, reader: FileReader): AsyncGenerator<CapturedFrame> {
  const start = await reader.take(4);
  if (start === undefined) throw new CaptureError(file, 0, 'is too short for a capture');
  const magic = viewOf(start).getUint32(0, true);
  if (magic === 0x0a0d0d0a) yield* readPcapng(file, reader);
  else if (magic === 0xa1b2c3d4 || magic === 0xa1b23c4d)
    yield* readPcap(file, reader, true, magic === 0xa1b23c4d);
  else if (magic === 0xd4c3b2a1 || magic === 0x4d3cb2a1)
    yield* readPcap(file, reader, false, magic === 0x4d3cb2a1);
  else throw new CaptureError(file, 0, `is neither pcap nor pcapng (magic 0x${magic.toString(16)})`);
}

async function* readPcap(
  file: string,
  reader: FileReader,
  little: boolean,
  nanoseconds: boolean,
): AsyncGenerator<CapturedFrame> {
  const header = await reader.take(20);
  if (header === undefined) throw new CaptureError(file, reader.offset, 'the file header is cut off');
  // The high bits tell of a frame check sequence; its bytes are then part of the frames.
  const linkType = viewOf(header).getUint32(16, little) & 0xffff;
  for (let number = 1; ; number++) {
    const offset = reader.offset;
    const record = await reader.take(16);
    if (record === undefined) {
      if (reader.left === 0) return;
      throw new CaptureError(file, offset, 'a record header is cut off');
    }
    const view = viewOf(record);
    const fraction = BigInt(view.getUint32(4, little));
    const time = BigInt(view.getUint32(0, little)) * 1_000_000_000n + fraction * (nanoseconds ? 1n : 1000n);
    const length = view.getUint32(8, little);
    if (length > FRAME_MAX) throw new CaptureError(file, offset, `a frame claims ${length} bytes`);
    const data = await reader.take(length);
    if (data === undefined) throw new CaptureError(file, offset, `a frame of ${length} bytes is cut off`);
    yield { number, time, linkType, data, wireLength: Math.max(length, view.getUint32(12, little)) };
  }
}

interface Interface {
  readonly linkType: number;
  /** Timestamp units in a second, and what to add to a timestamp, in seconds. */
  readonly resolution: bigint;
  readonly offset: bigint;
}

async function* readPcapng(file: string, reader: FileReader): AsyncGenerator<CapturedFrame> {
  let little = true;
  let interfaces: Interface[] = [];
  let number = 0;
  let type = 0x0a0d0d0a;
  for (let first = true; ; first = false) {
    const offset = first ? 0 : reader.offset;
    const head = await reader.take(first ? 4 : 8);
    if (head === undefined) {
      if (reader.left === 0) return;
      throw new CaptureError(file, offset, 'a block header is cut off');
    }
    if (!first) type = viewOf(head).getUint32(0, little);
    let lead = 8;
    let order: Uint8Array | undefined;
    if (type === 0x0a0d0d0a) {
      order = await reader.take(4);
      if (order === undefined) throw new CaptureError(file, offset, 'a section header is cut off');
      const magic = viewOf(order).getUint32(0, true);
      if (magic !== 0x1a2b3c4d && magic !== 0x4d3c2b1a)
        throw new CaptureError(file, offset, 'a section has a wrong byte-order magic');
      little = magic === 0x1a2b3c4d;
      interfaces = [];
      lead = 12;
    }
    const length = viewOf(head).getUint32(first ? 0 : 4, little);
    if (length < lead + 4 || length % 4 !== 0 || length > FRAME_MAX + 1024)
      throw new CaptureError(file, offset, `a block claims ${length} bytes`);
    const body = await reader.take(length - lead);
    if (body === undefined) throw new CaptureError(file, offset, `a block of ${length} bytes is cut off`);
    const view = viewOf(body.subarray(0, body.length - 4));
    if (type === 1) {
      if (view.byteLength < 8 || interfaces.length >= INTERFACES_MAX)
        throw new CaptureError(file, offset, 'an interface block is too short, or there are too many');
      interfaces.push(interfaceOf(view, little));
    } else if (type === 6 || type === 2 || type === 3) {
      number++;
      yield frameOf(file, offset, number, type, view, little, interfaces);
    }
  }
}

function interfaceOf(view: DataView, little: boolean): Interface {
  let resolution = 1_000_000n;
  let offset = 0n;
  for (let at = 8; at + 4 <= view.byteLength; ) {
    const code = view.getUint16(at, little);
    const length = view.getUint16(at + 2, little);
    if (code === 0 || at + 4 + length > view.byteLength) break;
    if (code === 9 && length === 1) {
      const value = view.getUint8(at + 4);
      if ((value & 0x7f) <= 63) resolution = (value & 0x80 ? 2n : 10n) ** BigInt(value & 0x7f);
    }
    if (code === 14 && length === 8) offset = view.getBigInt64(at + 4, little);
    at += 4 + ((length + 3) & ~3);
  }
  return { linkType: view.getUint16(0, little), resolution, offset };
}

/** Enhanced (6), obsolete (2) and simple (3) packet blocks. */
function frameOf(
  file: string,
  offset: number,
  number: number,
  type: number,
  view: DataView,
  little: boolean,
  interfaces: readonly Interface[],
): CapturedFrame {
  const header = type === 3 ? 4 : 20;
  if (view.byteLength < header) throw new CaptureError(file, offset, 'a packet block is too short');
  const index = type === 3 ? 0 : type === 2 ? view.getUint16(0, little) : view.getUint32(0, little);
  const from = interfaces[index];
  if (from === undefined)
    throw new CaptureError(file, offset, `a packet names interface ${index}, which is not there`);
  const wireLength = view.getUint32(type === 3 ? 0 : 16, little);
  const length = type === 3 ? Math.min(wireLength, view.byteLength - 4) : view.getUint32(12, little);
  if (header + length > view.byteLength)
    throw new CaptureError(file, offset, `a packet claims ${length} bytes, its block has fewer`);
  let time = 0n;
  if (type !== 3) {
    const ticks = (BigInt(view.getUint32(4, little)) << 32n) | BigInt(view.getUint32(8, little));
    time = (ticks * 1_000_000_000n) / from.resolution + from.offset * 1_000_000_000n;
  }
  const data = new Uint8Array(view.buffer, view.byteOffset + header, length);
  return { number, time, linkType: from.linkType, data, wireLength: Math.max(length, wireLength) };
}
