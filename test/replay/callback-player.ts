/** The servers' callbacks of a recording: sent to our client where they were sent to the kernel's, for locks that both have. */
import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import type { ProcessId } from '../../lib/lnet/network.ts';
import { LdlmRequest } from '../../lib/wire/ldlm-structs.ts';
import { Opcode, Portal } from '../../lib/wire/opcodes.ts';
import type { LockLedger } from './lock-ledger.ts';
import type { PeerWire } from './peer-wire.ts';
import { bufferOffset, dissect, handlesOf, withBody } from './recorded-bytes.ts';
import { type Callback, type Exchange, purposeText, type Recording } from './recording.ts';

const ASIDE: readonly number[] = [Opcode.LDLM_CANCEL, Opcode.OBD_PING];

/** How many requests may overtake a callback, and for how long at most, milliseconds. */
const NEAR = 4;
const NEAR_MS = 2000;

/** Changes what is sent: what goes out instead, perhaps nothing, perhaps twice. `kind`: what it belongs to, the operation. */
export type Damage = (bytes: Uint8Array, kind: string) => readonly Uint8Array[];

export class CallbackPlayer {
  /** What our client answered. */
  readonly answers: { readonly purpose: string; readonly status: number }[] = [];
  damage: Damage = (bytes) => [bytes];
  readonly #recording: Recording;
  readonly #wire: PeerWire;
  readonly #locks: LockLedger;
  readonly #sent = new Set<Callback>();
  /** By mount and target: where our client is called. */
  readonly #destinations = new Map<string, { readonly handle: bigint; readonly peer: ProcessId }>();
  readonly #waiting = new Map<bigint, (status: number) => void>();
  #nextXid = 0x7000_0000_0000_0000n;

  constructor(recording: Recording, wire: PeerWire, locks: LockLedger) {
    this.#recording = recording;
    this.#wire = wire;
    this.#locks = locks;
    wire.listen(Portal.LDLM_CB_REPLY_PORTAL, (bytes, event) => {
      const { pb_status } = dissect(bytes).body;
      this.#waiting.get(BigInt(event.matchBits))?.(pb_status);
    });
  }

  /** Learns from a connect where callbacks go. */
  connected(mount: number, target: string, request: RpcMessage, peer: ProcessId): void {
    this.#destinations.set(`${mount} ${target}`, { handle: request.values.conn as bigint, peer });
  }

  /** What the servers sent because of a request; and that a lock which it asked for is granted, whenever they sent that. */
  after(exchange: Exchange): Callback[] {
    const { purpose, request } = exchange;
    const asked = request.body.pb_opc === Opcode.LDLM_ENQUEUE ? handlesOf(request)[0] : undefined;
    return this.#recording.callbacks.filter((callback) => {
      const { rpc } = callback.sent;
      if (callback.purpose.target !== purpose.target || rpc === undefined) return false;
      if (rpc.body.pb_opc === Opcode.LDLM_CP_CALLBACK) return handlesOf(rpc)[0] === asked;
      return this.#causeOf(callback) === exchange;
    });
  }

  /** The last request to that target before a callback; to an OST, where many are under way, the last for the same object. */
  #causeOf({ index, time, purpose }: Callback): Exchange | undefined {
    const [object = ''] = purpose.objects.split(' ');
    const before = this.#recording.exchanges
      .filter(
        (exchange) =>
          exchange.index < index &&
          exchange.time > time - NEAR_MS &&
          exchange.purpose.target === purpose.target &&
          !ASIDE.includes(exchange.request.body.pb_opc),
      )
      .slice(-NEAR);
    const same = purpose.target.includes('-OST')
      ? before.findLast((exchange) => exchange.purpose.objects.startsWith(object))
      : undefined;
    return same ?? before.at(-1);
  }

  /** Sends a callback for a lock that ours has, too, and waits for its answer. */
  async send(callback: Callback): Promise<void> {
    if (this.#sent.has(callback)) return;
    this.#sent.add(callback);
    const { rpc, payload, header } = callback.sent;
    const destination = this.#destinations.get(`${callback.mount} ${callback.purpose.target}`);
    const ours = rpc === undefined ? undefined : this.#locks.heldByOurs(rpc);
    if (destination === undefined || ours === undefined) return;
    const bytes = withBody(payload, (view, at) => view.setBigUint64(at, destination.handle, true));
    const dlmAt = bufferOffset(bytes, 1);
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(dlmAt + LdlmRequest.size, ours, true);
    this.#nextXid += 128n;
    const answered = new Promise<number>((resolve) => this.#waiting.set(this.#nextXid, resolve));
    const put = (each: Uint8Array): void =>
      this.#wire.put(destination.peer, header.portal, this.#nextXid, header.offset, each);
    const sent = this.damage(bytes, `callback ${callback.purpose.operation}`);
    for (const each of sent) put(each);
    // A server that gets no answer asks again, and would evict at last.
    if (sent.length !== 1 || sent[0] !== bytes) put(bytes);
    this.answers.push({ purpose: purposeText(callback.purpose), status: await answered });
  }
}
