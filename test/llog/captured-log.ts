/** The replies to the llog requests of captures/01, as a kernel MGS sent them. */
import { capture, captureBytes } from '../cli/captures.ts';
import { buffers, messages, tcpStreams } from '../lnet/capture-bulk.ts';

/** Buffers behind the ptlrpc_body of each reply to `opcode`, in order. */
export function capturedReplies(opcode: number): Uint8Array[][] {
  const found: Uint8Array[][] = [];
  for (const message of tcpStreams(Buffer.from(captureBytes(capture('01')).buffer)).flatMap(messages)) {
    const [body, ...rest] = buffers(message.payload);
    if (body === undefined || body.length < 152) continue;
    if (body.readUInt32LE(8) === 4713 && body.readUInt32LE(16) === opcode) found.push(rest);
  }
  return found;
}
