/** What a recorded message says, and copies of it that say something else in one place. */
import { Dissection } from '../../lib/cli/decode/dissection.ts';
import { dissectMessage, type RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { decodeMessage, messageHeaderSize } from '../../lib/wire/message.ts';

export function dissect(bytes: Uint8Array): RpcMessage {
  return dissectMessage(new Dissection(bytes), () => undefined);
}

/** Locks that a message names. */
export function handlesOf({ values }: RpcMessage): bigint[] {
  const request = values.dlm_req as { lock_handle: bigint[] } | undefined;
  return (request?.lock_handle ?? []).filter((handle) => handle !== 0n);
}

/** Where a message's buffer begins. */
export function bufferOffset(bytes: Uint8Array, which: number): number {
  const { buffers } = decodeMessage(bytes);
  return buffers
    .slice(0, which)
    .reduce((sum, buffer) => sum + ((buffer.length + 7) & ~7), messageHeaderSize(buffers.length));
}

/** A copy with something in its ptlrpc_body changed. */
export function withBody(payload: Uint8Array, change: (view: DataView, at: number) => void): Uint8Array {
  const bytes = new Uint8Array(payload);
  change(new DataView(bytes.buffer), bufferOffset(bytes, 0));
  return bytes;
}
