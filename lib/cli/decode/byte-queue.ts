/** Bytes of a stream waiting to be taken in pieces of known size; joins chunks only when a piece spans several. */
export class ByteQueue {
  private chunks: Uint8Array[] = [];
  private offset = 0;
  length = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.chunks.push(bytes);
    this.length += bytes.length;
  }

  /** Copies the last chunk, when it waits: it may be a small view of a large block that could otherwise be freed. */
  own(): void {
    const last = this.chunks.length - 1;
    if (last < 0) return;
    const chunk = this.chunks[last]!;
    if (chunk.buffer.byteLength === chunk.length) return;
    this.chunks[last] = new Uint8Array(last === 0 ? chunk.subarray(this.offset) : chunk);
    if (last === 0) this.offset = 0;
  }

  /** The first `size` bytes without taking them; there must be that many. */
  peek(size: number): Uint8Array {
    const first = this.chunks[0]!;
    if (first.length - this.offset >= size) return first.subarray(this.offset, this.offset + size);
    const out = new Uint8Array(size);
    let filled = 0;
    for (let i = 0; filled < size; i++) {
      const chunk = this.chunks[i]!.subarray(i === 0 ? this.offset : 0);
      out.set(chunk.subarray(0, size - filled), filled);
      filled += Math.min(chunk.length, size - filled);
    }
    return out;
  }

  take(size: number): Uint8Array {
    if (size === 0) return new Uint8Array(0);
    const bytes = this.peek(size);
    this.drop(size);
    return bytes;
  }

  drop(size: number): void {
    this.length -= size;
    let left = size;
    let used = 0;
    while (left > 0) {
      const have = this.chunks[used]!.length - this.offset;
      if (have > left) {
        this.offset += left;
        break;
      }
      left -= have;
      used++;
      this.offset = 0;
    }
    this.chunks.splice(0, used);
  }
}
