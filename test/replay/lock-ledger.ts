/** Locks of a replay: which of ours is which of the recording's, and which were given back. */
import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { handlesOf } from './recorded-bytes.ts';
import type { Exchange } from './recording.ts';

export class LockLedger {
  /** Our handles of locks by the kernel client's. */
  readonly #ours = new Map<bigint, bigint>();
  /** Our handles of locks by the server's. */
  readonly #byServer = new Map<bigint, bigint>();
  /** Server handles that were granted, with the target, and those given back. */
  readonly #granted = new Map<bigint, string>();
  readonly #cancelled = new Set<bigint>();

  /** Notes what a request of ours asks and gives back, answered as `exchange` was. */
  learn(exchange: Exchange, request: RpcMessage): void {
    const [theirs] = handlesOf(exchange.request);
    const [ours, ...given] = handlesOf(request);
    const enqueue = request.body.pb_opc === Opcode.LDLM_ENQUEUE;
    // Early cancels: an enqueue's first handle is that of the new lock.
    for (const handle of enqueue || ours === undefined ? given : [ours, ...given])
      this.#cancelled.add(handle);
    // A close that changes the layout ends the lease.
    const close = request.values.close_data as { cd_handle: bigint } | undefined;
    if (close !== undefined) this.#cancelled.add(close.cd_handle);
    if (exchange.request.body.pb_opc !== Opcode.LDLM_ENQUEUE || theirs === undefined || ours === undefined)
      return;
    this.#ours.set(theirs, ours);
    const reply = exchange.reply?.rpc?.values.dlm_rep as { lock_handle: bigint } | undefined;
    if (reply === undefined || reply.lock_handle === 0n) return;
    this.#granted.set(reply.lock_handle, exchange.purpose.target);
    this.#byServer.set(reply.lock_handle, ours);
  }

  /** Our handle of the kernel client's lock. */
  ours(theirs: bigint): bigint | undefined {
    return this.#ours.get(theirs);
  }

  /** Our handle of the lock that a request of ours names. */
  named(request: RpcMessage): bigint | undefined {
    return this.#byServer.get(handlesOf(request)[0] ?? 0n);
  }

  cancel(request: RpcMessage): void {
    for (const handle of handlesOf(request)) this.#cancelled.add(handle);
  }

  /** Our handle of the lock that a recorded callback names; undefined where ours has none, or has given it back. */
  heldByOurs(callback: RpcMessage): bigint | undefined {
    const theirs = handlesOf(callback);
    // Of a lock that ours has given back already no server would have asked.
    if (theirs.some((handle) => this.#cancelled.has(handle))) return undefined;
    return theirs.map((handle) => this.#ours.get(handle)).find((handle) => handle !== undefined);
  }

  /** A target that is connected to once more has forgotten all locks. */
  connected(target: string): void {
    for (const [handle, of] of this.#granted) if (of === target) this.#granted.delete(handle);
  }

  /** What was granted and not given back. */
  get kept(): bigint[] {
    return [...this.#granted.keys()].filter((handle) => !this.#cancelled.has(handle));
  }
}
