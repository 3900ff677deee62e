/**
 * OSTs that take their clients back after a restart, as kernels' do and ours do not: what the servers say on connects to OSTs and what
 * they are sent in a recovery is changed on its way. They ask for nothing in a certain order: test/connection looks at that.
 */
import type { Endpoint, LnetEvent, Network } from '../../lib/lnet/network.ts';
import { Opcode, Portal } from '../../lib/wire/opcodes.ts';
import { MsgFlag, MsgOpFlag } from '../../lib/wire/ptlrpc-constants.ts';
import { bufferOffset, withBody } from '../replay/recorded-bytes.ts';
import { SERVER_NID } from './sim-cluster.ts';

const HANDLE = 0;
const OPCODE = 16;
const STATUS = 20;
const TRANSNO = 48;
const FLAGS = 56;
const OP_FLAGS = 60;
/** o_handle in an ost_body. */
const LOCK = 128;
const REQUEST_PORTALS: readonly number[] = [Portal.OST_REQUEST_PORTAL, Portal.OST_IO_PORTAL];
const REPLAYED = MsgFlag.MSG_REPLAY | MsgFlag.MSG_REQ_REPLAY_DONE | MsgFlag.MSG_LOCK_REPLAY_DONE;

interface Asked {
  readonly opcode: number;
  readonly transno: bigint;
  readonly handle: bigint;
}

export class RecoveringOsts {
  /** Opcodes of what was replayed, with the transactions. */
  readonly replays: { readonly opcode: number; readonly transno: bigint }[] = [];
  /** What these opcodes are answered when they are replayed. */
  refuses: { readonly opcode: number; readonly status: number } | undefined;
  readonly #asked = new Map<string, Asked>();

  readonly wrap = (network: Network): Network => ({
    open: async (options) => this.#wrap(await network.open(options)),
  });

  #wrap(endpoint: Endpoint): Endpoint {
    const attach: Endpoint['attach'] = (entry, handler) => {
      const memory = entry.segments[0]?.memory;
      if (!REQUEST_PORTALS.includes(entry.portal) || memory === undefined)
        return endpoint.attach(entry, handler);
      return endpoint.attach(entry, (event) => {
        if (event.type === 'put' && event.status === 0)
          this.#came(event, memory.bytes.subarray(event.offset, event.offset + event.mlength));
        handler(event);
      });
    };
    const send: Endpoint['send'] = (options, handler) => {
      const name = `${options.peer.nid} ${options.matchBits}`;
      const asked = this.#asked.get(name);
      const [segment] = options.segments;
      if (asked === undefined || segment === undefined || options.portal !== Portal.OSC_REPLY_PORTAL)
        return endpoint.send(options, handler);
      this.#asked.delete(name);
      const { memory, offset, length } = segment;
      const bytes = this.#answer(asked, memory.bytes.subarray(offset, offset + length));
      return endpoint.send(
        { ...options, segments: [{ memory: endpoint.pin(bytes), offset: 0, length }] },
        handler,
      );
    };
    return new Proxy(endpoint, {
      get(target, key) {
        if (key === 'attach') return attach;
        if (key === 'send') return send;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  #came({ initiator, matchBits }: LnetEvent, bytes: Uint8Array): void {
    if (initiator.nid === SERVER_NID) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const at = bufferOffset(bytes, 0);
    const opcode = view.getUint32(at + OPCODE, true);
    const flags = view.getUint32(at + FLAGS, true);
    const replay = (flags & REPLAYED) !== 0;
    if (!replay && opcode !== Opcode.OST_CONNECT) return;
    const transno = view.getBigUint64(at + TRANSNO, true);
    this.#asked.set(`${initiator.nid} ${matchBits}`, {
      opcode,
      transno,
      handle: view.getBigUint64(at + HANDLE, true),
    });
    if (!replay) return;
    this.replays.push({ opcode, transno });
    view.setUint32(at + FLAGS, flags & ~REPLAYED, true);
    view.setBigUint64(at + TRANSNO, 0n, true);
    // A kernel's do not look whether the lock is there; it comes after the bytes.
    if (opcode === Opcode.OST_WRITE) view.setBigUint64(bufferOffset(bytes, 1) + LOCK, 0n, true);
  }

  #answer({ opcode, transno, handle }: Asked, reply: Uint8Array): Uint8Array {
    return withBody(reply, (view, at) => {
      if (opcode !== Opcode.OST_CONNECT) {
        view.setBigUint64(at + TRANSNO, transno, true);
        if (this.refuses?.opcode === opcode) view.setInt32(at + STATUS, this.refuses.status, true);
        return;
      }
      const flags = view.getUint32(at + OP_FLAGS, true) | MsgOpFlag.MSG_CONNECT_REPLAYABLE;
      const again = handle !== 0n && (flags & MsgOpFlag.MSG_CONNECT_RECONNECT) === 0;
      view.setUint32(at + OP_FLAGS, flags | (again ? MsgOpFlag.MSG_CONNECT_RECOVERING : 0), true);
    });
  }
}
