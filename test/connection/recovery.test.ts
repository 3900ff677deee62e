/** A server in recovery, played by hand (guide 05 §3, guide 06 §4): what it gets back, in which order, and when it does not. */
import { expect, test } from 'vitest';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import type { IncomingRequest } from '../../lib/rpc/rpc.ts';
import { RQF_CONNECT, RQF_LDLM_ENQUEUE, RQF_MDS_CLOSE, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, fullOffer, serverNid } from './cluster.ts';

type ConnectedImport = Awaited<ReturnType<Cluster['client']>>['imp'];

interface Played {
  readonly cluster: Cluster;
  /** Op flags and handle of the next connect reply. */
  connect: { opFlags: number; handle: bigint; status?: number };
  other: (request: IncomingRequest) => void;
  readonly seen: { opcode: number; flags: number; opFlags: number; handle: bigint; connCnt: number }[];
}

async function played(): Promise<Played> {
  const cluster = new Cluster();
  const endpoint = await cluster.sim.network.open({ nid: serverNid });
  const ptlrpc = new PtlRpc(endpoint, cluster.sim.runtime);
  const play: Played = {
    cluster,
    connect: { opFlags: 4, handle: 0x11n },
    other: (request) =>
      request.opcode === Opcode.LDLM_ENQUEUE
        ? request.reply(RQF_LDLM_ENQUEUE, {})
        : request.reply(RQF_OBD_PING, {}),
    seen: [],
  };
  ptlrpc.serve({
    portals: [12, 23],
    handler(request) {
      const { pb_flags, pb_op_flags, pb_handle, pb_conn_cnt } = request.body;
      play.seen.push({
        opcode: request.opcode,
        flags: pb_flags,
        opFlags: pb_op_flags,
        handle: pb_handle,
        connCnt: pb_conn_cnt,
      });
      if (request.opcode !== Opcode.MDS_CONNECT) return play.other(request);
      const { opFlags, handle, status } = play.connect;
      if (status !== undefined) return request.replyError(status);
      request.reply(
        RQF_CONNECT,
        { connect_data: { ...fullOffer, ocd_connect_flags2: 0n } },
        { opFlags, handle },
      );
    },
  });
  return play;
}

/** A test: what `steps` does with the played server and an import that is connected to it and has been served a first time. */
const withServer =
  <A>(steps: (play: Played, imp: ConnectedImport, argument: A) => Promise<void>) =>
  async (argument: A): Promise<void> => {
    const play = await played();
    await play.cluster.sim.run(
      (async () => {
        const { imp } = await play.cluster.client();
        await imp.connect();
        await imp.call(RQF_LDLM_ENQUEUE, {});
        await steps(play, imp, argument);
      })(),
    );
  };

/** The server was started again: from now on it knows nobody until they connect, and answers that with these flags. */
function restart(play: Played, opFlags: number): void {
  play.connect = { opFlags, handle: 0x22n };
  const { other } = play;
  play.other = (request) => (request.body.pb_handle === 0x22n ? other(request) : request.replyError(107));
}

const enqueues = (play: Played) =>
  play.seen
    .filter(({ opcode }) => opcode === Opcode.LDLM_ENQUEUE)
    .map(({ flags, handle }) => [flags & 2, handle]);

/** Makes the import connect again: its next ping is answered with -ENOTCONN. */
async function breakOff(play: Played, imp: ConnectedImport) {
  const { other } = play;
  play.other = (request) => request.replyError(107);
  await expect(imp.call(RQF_OBD_PING, {}, { noResend: true })).rejects.toMatchObject({ code: 'ENOTCONN' });
  play.other = other;
}

test(
  'RECOVERING: the final ping waits for the barrier, however long, and nothing is lost',
  withServer(async (play, imp) => {
    expect(play.seen[0]).toMatchObject({ opFlags: 0x20, handle: 0n, connCnt: 1 });
    const order: string[] = [];
    imp.onEvicted(() => void order.push('evicted'));
    imp.onReconnected(() => void order.push('usable'));
    play.connect = { opFlags: 5, handle: 0x22n };
    let finish: (() => void) | undefined;
    await breakOff(play, imp);
    play.other = (request) => {
      finish = () => request.reply(RQF_OBD_PING, {});
    };
    await play.cluster.sim.sleep(90_000);
    expect(imp.state).toBe('REPLAY_WAIT');
    expect(play.seen.at(-1)).toMatchObject({ opcode: Opcode.OBD_PING, flags: 0xc0, handle: 0x22n });
    expect(play.seen.filter(({ opcode }) => opcode === Opcode.MDS_CONNECT)).toHaveLength(2);
    finish?.();
    await play.cluster.sim.sleep(100);
    expect(imp.state).toBe('FULL');
    expect(order).toEqual(['usable']);
    expect(imp.generation).toBe(1);
  }),
);

test.each([
  {
    what: 'RECONNECT with the same handle keeps everything',
    connect: { opFlags: 6, handle: 0x11n },
    generation: 1,
  },
  {
    what: 'RECONNECT with another handle is an eviction',
    connect: { opFlags: 6, handle: 0x22n },
    generation: 2,
  },
  { what: 'no flag is an eviction', connect: { opFlags: 4, handle: 0x22n }, generation: 2 },
])(
  '$what',
  withServer(async (play, imp, { connect, generation }) => {
    play.connect = connect;
    await breakOff(play, imp);
    await play.cluster.sim.sleep(5000);
    expect(imp.state).toBe('FULL');
    expect(imp.generation).toBe(generation);
    expect(play.seen.at(-1)).toMatchObject({ opFlags: 0, handle: 0x11n, connCnt: 2 });
  }),
);

test(
  'requests that were not answered are sent again when the server is through with its recovery',
  withServer(async (play, imp) => {
    restart(play, 5);
    const lock = imp.call(RQF_LDLM_ENQUEUE, {});
    const close = imp.call(RQF_MDS_CLOSE, {});
    expect((await lock).status).toBe(0);
    expect((await close).status).toBe(0);
    expect(imp.generation).toBe(1);
    expect(enqueues(play)).toEqual([
      [0, 0x11n],
      [0, 0x11n],
      [2, 0x22n],
    ]);
  }),
);

test(
  'requests begin afresh at a server that has forgotten us, unless they are bound to what it had',
  withServer(async (play, imp) => {
    restart(play, 4);
    const lock = imp.call(RQF_LDLM_ENQUEUE, {});
    const close = imp.call(RQF_MDS_CLOSE, {}).catch((error: { code: string }) => error.code);
    expect((await lock).status).toBe(0);
    expect(await close).toBe('EIO');
    expect(imp.generation).toBe(2);
    // The third is a new request: not marked RESENT (2), for the server has never seen it.
    expect(enqueues(play)).toEqual([
      [0, 0x11n],
      [0, 0x11n],
      [0, 0x22n],
    ]);
  }),
);

test(
  'a change that a server may have made is not made again after an eviction',
  withServer(async (play, imp) => {
    play.connect = { opFlags: 4, handle: 0x22n };
    const { other } = play;
    play.other = () => undefined;
    const modifies = imp.call(RQF_LDLM_ENQUEUE, {}, { modifies: true });
    const failed = expect(modifies).rejects.toMatchObject({ code: 'EIO' });
    const asks = imp.call(RQF_LDLM_ENQUEUE, {});
    await play.cluster.sim.sleep(1000);
    play.other = other;
    await failed;
    expect((await asks).status).toBe(0);
  }),
);

test(
  'a closed connection to a server says why in every later call',
  withServer(async (play, imp) => {
    play.connect = { opFlags: 0, handle: 0n, status: 13 };
    await breakOff(play, imp);
    await play.cluster.sim.sleep(5000);
    expect(imp.state).toBe('CLOSED');
    await expect(imp.call(RQF_OBD_PING, {})).rejects.toMatchObject({ code: 'EACCES' });
  }),
);
