/** The native endpoint as a kernel's socket sees it (guide 02): bytes on plain sockets, both roles. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { NativeLnetEndpoint } from '../../lib/lnet/native-endpoint.ts';
import { openNativeEndpoint } from '../../lib/lnet/native-network.ts';
import type { EndpointOptions, LnetEvent } from '../../lib/lnet/network.ts';
import { nidToBits } from '../../lib/lnet/nid.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { capture, captureBytes } from '../cli/captures.ts';
import { ByteReader } from './byte-reader.ts';
import { keptEvent } from './kept-event.ts';

const runtime = nodeRuntime();
const A = '127.0.0.1@tcp';
const B = '127.0.0.2@tcp';
const Type = { NONE: -1, CONTROL: 1, BULK_IN: 2, BULK_OUT: 3 } as const;

const cleanups: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function open(options: Partial<EndpointOptions> = {}): Promise<NativeLnetEndpoint> {
  const endpoint = await openNativeEndpoint(runtime, {
    nid: A,
    listen: '127.0.0.1:0',
    connsPerPeer: 1,
    ...options,
  });
  cleanups.push(() => endpoint.close());
  return endpoint;
}

interface Listener {
  readonly server: Server;
  readonly port: number;
  next(): Promise<Socket>;
}

/** A peer of ours that is only a listening socket. */
async function listen(): Promise<Listener> {
  const server = createServer();
  const waiting: ((socket: Socket) => void)[] = [];
  const arrived: Socket[] = [];
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    cleanups.push(() => socket.destroy());
    const waiter = waiting.shift();
    if (waiter === undefined) arrived.push(socket);
    else waiter(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return {
    server,
    port: address.port,
    next: () =>
      new Promise((resolve) => {
        const socket = arrived.shift();
        if (socket === undefined) waiting.push(resolve);
        else resolve(socket);
      }),
  };
}

function hello(type: number, source: string, destination: string, incarnation = 7n): Buffer {
  const bytes = Buffer.alloc(56);
  bytes.writeUInt32LE(0x45726963, 0);
  bytes.writeUInt32LE(3, 4);
  bytes.writeBigUInt64LE(nidToBits(source), 8);
  bytes.writeBigUInt64LE(nidToBits(destination), 16);
  bytes.writeUInt32LE(12345, 24);
  bytes.writeBigUInt64LE(incarnation, 32);
  bytes.writeInt32LE(type, 48);
  return bytes;
}

const inverse: Record<number, number> = { 1: 1, 2: 3, 3: 2 };

/** Accepts one connection as a kernel does; resolves with the type that the connector asked for. */
async function acceptAsPeer(
  listener: Listener,
): Promise<{ reader: ByteReader; socket: Socket; type: number; incarnation: bigint }> {
  const socket = await listener.next();
  const reader = new ByteReader(socket);
  const request = await reader.read(16);
  expect(request.toString('hex')).toBe('0071ceac01000000020000 7f00000200'.replace(' ', ''));
  const theirs = await reader.read(56);
  const type = theirs.readInt32LE(48);
  socket.write(hello(inverse[type]!, B, A));
  return { reader, socket, type, incarnation: theirs.readBigUInt64LE(32) };
}

function send(
  endpoint: NativeLnetEndpoint,
  bytes: number,
  more: { ack?: boolean } = {},
): Promise<LnetEvent[]> {
  const memory = endpoint.allocate(Math.max(bytes, 1));
  const events: LnetEvent[] = [];
  return new Promise((resolve) => {
    endpoint.put(
      {
        peer: { nid: B },
        portal: 12,
        matchBits: 1n,
        segments: [{ memory, offset: 0, length: bytes }],
        ...more,
      },
      (event) => {
        events.push(keptEvent(event));
        if (event.unlinked) resolve(events);
      },
    );
  });
}

describe('connecting', () => {
  test('CONTROL, BULK_IN, BULK_OUT in this order, one incarnation, messages by size', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` } });
    const big = send(endpoint, 2000);
    const small = send(endpoint, 900);
    const control = await acceptAsPeer(peer);
    const bulkIn = await acceptAsPeer(peer);
    const bulkOut = await acceptAsPeer(peer);
    expect([control.type, bulkIn.type, bulkOut.type]).toEqual([Type.CONTROL, Type.BULK_IN, Type.BULK_OUT]);
    expect(bulkIn.incarnation).toBe(control.incarnation);
    expect(bulkOut.incarnation).toBe(control.incarnation);
    const smallMessage = await control.reader.read(96 + 900);
    expect(smallMessage.readUInt32LE(24 + 28)).toBe(900);
    const bigMessage = await bulkOut.reader.read(96 + 2000);
    expect(bigMessage.readUInt32LE(24 + 28)).toBe(2000);
    await Promise.all([big, small]);
  });

  test('conns_per_peer', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` }, connsPerPeer: 2 });
    const sent = send(endpoint, 1);
    const types: number[] = [];
    for (let i = 0; i < 5; i++) types.push((await acceptAsPeer(peer)).type);
    expect(types).toEqual([Type.CONTROL, Type.BULK_IN, Type.BULK_OUT, Type.BULK_IN, Type.BULK_OUT]);
    await sent;
  });

  test('the first bytes are those of a kernel, but for the addresses and the incarnation', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` } });
    const sent = send(endpoint, 1);
    const socket = await peer.next();
    const bytes = await new ByteReader(socket).read(72);
    bytes.writeBigUInt64LE(0x18ea53c965f02351n, 16 + 32);
    const kernel = Buffer.from(
      '0071ceac010000000f02000a00000200' +
        '63697245030000001002000a000002000f02000a0000020039300000000000005123f065c953ea18' +
        '00000000000000000100000000000000',
      'hex',
    );
    kernel.writeBigUInt64LE(nidToBits(B), 8);
    kernel.writeBigUInt64LE(nidToBits(A), 24);
    kernel.writeBigUInt64LE(nidToBits(B), 32);
    expect(bytes.toString('hex')).toBe(kernel.toString('hex'));
    if (process.getuid?.() === 0) expect(socket.remotePort).toBeLessThan(1024);
    socket.destroy();
    expect((await sent).at(-1)?.status).toBeLessThan(0);
    expect(endpoint.lastError(B)?.message).toContain(B);
  });

  test('a refusal (ctype NONE) is tried again', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` } });
    const sent = send(endpoint, 1);
    const first = await peer.next();
    const reader = new ByteReader(first);
    await reader.read(72);
    first.end(hello(Type.NONE, B, A));
    const types: number[] = [];
    for (let i = 0; i < 3; i++) types.push((await acceptAsPeer(peer)).type);
    expect(types).toEqual([Type.CONTROL, Type.BULK_IN, Type.BULK_OUT]);
    expect((await sent).at(-1)?.status).toBe(0);
  });

  test.each([
    ['another NID', hello(Type.CONTROL, '127.0.0.9@tcp', A)],
    ['another type', hello(Type.BULK_IN, B, A)],
    ['a wrong magic', Buffer.alloc(56, 1)],
  ])('an answer with %s fails the attempt', async (_what, answer) => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` } });
    const sent = send(endpoint, 1);
    const socket = await peer.next();
    await new ByteReader(socket).read(72);
    socket.write(answer);
    expect(await sent).toMatchObject([{ type: 'send', status: -71, unlinked: true }]);
    expect(endpoint.lastError(B)).toMatchObject({ code: 'EPROTO', nid: B });
  });

  test('reconnects after the peer has gone, and reports it down once', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` } });
    const down: string[] = [];
    const gone = new Promise<void>((resolve) =>
      endpoint.onPeerDown((nid) => {
        down.push(nid);
        resolve();
      }),
    );
    const sent = send(endpoint, 1);
    const connections = [await acceptAsPeer(peer), await acceptAsPeer(peer), await acceptAsPeer(peer)];
    await sent;
    const waiting = send(endpoint, 1, { ack: true });
    connections[1]?.socket.destroy();
    // One gone is all gone: the siblings are closed by us.
    await Promise.all([once(connections[0]!.socket, 'close'), once(connections[2]!.socket, 'close'), gone]);
    expect((await waiting).at(-1)).toMatchObject({ type: 'ack', unlinked: true });
    expect((await waiting).at(-1)?.status).toBeLessThan(0);
    const again = send(endpoint, 1);
    for (let i = 0; i < 3; i++) await acceptAsPeer(peer);
    expect((await again).at(-1)?.status).toBe(0);
    expect(down).toEqual([B]);
  });

  test('without a listener of its own it comes back by itself', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` }, accept: false });
    expect(endpoint.port).toBe(0);
    const sent = send(endpoint, 1);
    const first = await acceptAsPeer(peer);
    await acceptAsPeer(peer);
    await acceptAsPeer(peer);
    await sent;
    first.socket.destroy();
    for (let i = 0; i < 3; i++) await acceptAsPeer(peer);
  });

  test('both connect at once: the connection of the higher NID stands, ours goes on', async () => {
    const peer = await listen();
    const endpoint = await open({ nid: B, listen: '127.0.0.2:0', nidMap: { [A]: `127.0.0.2:${peer.port}` } });
    const memory = endpoint.allocate(1);
    const sent = new Promise<LnetEvent>((resolve) =>
      endpoint.put(
        { peer: { nid: A }, portal: 1, matchBits: 1n, segments: [{ memory, offset: 0, length: 1 }] },
        resolve,
      ),
    );
    const ours = await peer.next();
    const ourReader = new ByteReader(ours);
    await ourReader.read(72);
    // A (lower) connects while B (higher) waits for A's answer: refused.
    const theirs = connect(endpoint.port, '127.0.0.2');
    cleanups.push(() => theirs.destroy());
    const request = Buffer.alloc(16);
    request.writeUInt32LE(0xacce7100, 0);
    request.writeUInt32LE(1, 4);
    request.writeBigUInt64LE(nidToBits(B), 8);
    theirs.write(Buffer.concat([request, hello(Type.CONTROL, A, B)]));
    const answer = await new ByteReader(theirs).read(56);
    expect(answer.readInt32LE(48)).toBe(Type.NONE);
    ours.write(hello(Type.CONTROL, A, B));
    expect((await ourReader.read(97)).length).toBe(97);
    expect((await sent).status).toBe(0);
  });
});

describe('peers that have other numbers of connections', () => {
  /** Connects as a kernel does and is answered. */
  async function connectAsPeer(endpoint: NativeLnetEndpoint, type: number): Promise<Socket> {
    const socket = connect(endpoint.port, '127.0.0.1');
    cleanups.push(() => socket.destroy());
    socket.on('error', () => {});
    const request = Buffer.alloc(16);
    request.writeUInt32LE(0xacce7100, 0);
    request.writeUInt32LE(1, 4);
    request.writeBigUInt64LE(nidToBits(A), 8);
    socket.write(Buffer.concat([request, hello(type, B, A)]));
    socket.pause();
    const answer = await once(socket, 'readable').then(() => socket.read(56) as Buffer);
    expect(answer.readInt32LE(48)).toBe(inverse[type]);
    return socket;
  }

  test('one that opens more than we would: all are taken, and what we send is spread over them', async () => {
    const endpoint = await open({ connsPerPeer: 1 });
    await connectAsPeer(endpoint, Type.CONTROL);
    const theirs: Socket[] = [];
    for (let i = 0; i < 3; i++) {
      theirs.push(await connectAsPeer(endpoint, Type.BULK_IN));
      await connectAsPeer(endpoint, Type.BULK_OUT);
    }
    expect(endpoint.counters().connectionsOpen).toBe(7);
    // Nobody reads yet, and no socket holds so much: what finds a queue goes another way.
    const size = 1 << 20;
    const sent = Array.from({ length: 24 }, () => send(endpoint, size));
    for (const socket of theirs) {
      await once(socket, 'readable');
      expect((socket.read(96) as Buffer).readUInt32LE(24 + 28)).toBe(size);
    }
    for (const socket of theirs) socket.resume();
    for (const events of await Promise.all(sent)) expect(events.at(-1)?.status).toBe(0);
  });

  test('small messages are not spread: together they cost one call', async () => {
    const endpoint = await open();
    await connectAsPeer(endpoint, Type.CONTROL);
    const first = await connectAsPeer(endpoint, Type.BULK_IN);
    const second = await connectAsPeer(endpoint, Type.BULK_IN);
    const sent = Array.from({ length: 8 }, () => send(endpoint, 2000));
    await new ByteReader(first).read(8 * 2096);
    for (const events of await Promise.all(sent)) expect(events.at(-1)?.status).toBe(0);
    expect(second.readableLength).toBe(0);
  });

  test('one that opens fewer than we would: we use what there is and open none', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` }, connsPerPeer: 4 });
    const control = await connectAsPeer(endpoint, Type.CONTROL);
    const bulk = await connectAsPeer(endpoint, Type.BULK_IN);
    await connectAsPeer(endpoint, Type.BULK_OUT);
    const sent = [send(endpoint, 1), send(endpoint, 2000)];
    expect((await new ByteReader(control).read(97)).readUInt32LE(24 + 28)).toBe(1);
    expect((await new ByteReader(bulk).read(2096)).readUInt32LE(24 + 28)).toBe(2000);
    for (const events of await Promise.all(sent)) expect(events.at(-1)?.status).toBe(0);
    expect(endpoint.counters().connectionsOpen).toBe(3);
  });

  test('one that refuses more than one of each: nothing waits for the others', async () => {
    const peer = await listen();
    const endpoint = await open({ nidMap: { [B]: `127.0.0.2:${peer.port}` }, connsPerPeer: 4 });
    const first = send(endpoint, 1);
    await acceptAsPeer(peer);
    await acceptAsPeer(peer);
    const bulkOut = await acceptAsPeer(peer);
    await first;
    const refuse = async (): Promise<void> => {
      const socket = await peer.next();
      await new ByteReader(socket).read(72);
      socket.end(hello(Type.NONE, B, A));
    };
    await refuse();
    const big = send(endpoint, 2000);
    expect((await bulkOut.reader.read(2096)).readUInt32LE(24 + 28)).toBe(2000);
    expect((await big).at(-1)?.status).toBe(0);
    expect(endpoint.counters().connectionsOpen).toBe(3);
  });
});

describe('the error says what to do', () => {
  test('a port in use, an address that is not ours, options that make no sense', async () => {
    const first = await open();
    await expect(open({ nid: B, listen: `127.0.0.1:${first.port}` })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
    await expect(openNativeEndpoint(runtime, { nid: '192.0.2.1@tcp', port: 9988 })).rejects.toMatchObject({
      code: 'EADDRNOTAVAIL',
      message: expect.stringContaining('listen'),
    });
    await expect(open({ listen: 'nonsense' })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(open({ nidMap: { [B]: '127.0.0.2:0' } })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(open({ nid: '10.0.0.1@o2ib' })).rejects.toMatchObject({ code: 'EPROTONOSUPPORT' });
    await expect(open({ connsPerPeer: 0 })).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(open({ busyPollUs: -1 })).rejects.toMatchObject({ code: 'EINVAL' });
  });
});

describe('a kernel’s own bytes (captures/01)', () => {
  /** Payload bytes of the first TCP packet from port `from` to port `to` that has any, in order. */
  function packets(from: number, to: number, count: number): Buffer[] {
    const bytes = Buffer.from(captureBytes(capture('01')).buffer);
    const found: Buffer[] = [];
    for (let at = 24; at + 16 <= bytes.length && found.length < count; ) {
      const length = bytes.readUInt32LE(at + 8);
      const ip = bytes.subarray(at + 16 + 14, at + 16 + length);
      at += 16 + length;
      const tcp = ip.subarray((ip[0]! & 15) * 4);
      if (ip[9] !== 6 || tcp.readUInt16BE(0) !== from || tcp.readUInt16BE(2) !== to) continue;
      const payload = tcp.subarray((tcp[12]! >> 4) * 4, ip.readUInt16BE(2) - (ip[0]! & 15) * 4);
      if (payload.length > 0) found.push(Buffer.from(payload));
    }
    return found;
  }

  test('its request, HELLO, ping and push are answered as its own server did', async () => {
    const [request, theirHello, ping, push] = packets(1023, 988, 4);
    const [helloAnswer, pingAnswer] = packets(988, 1023, 2);
    expect([request?.length, theirHello?.length, ping?.length]).toEqual([16, 56, 96]);
    const endpoint = await open({ nid: '10.0.2.15@tcp', listen: '127.0.0.1:0' });
    const socket = connect(endpoint.port, '127.0.0.1');
    cleanups.push(() => socket.destroy());
    const reader = new ByteReader(socket);
    socket.write(Buffer.concat([request!, theirHello!]));
    const answer = await reader.read(56);
    answer.set(helloAnswer!.subarray(32, 40), 32); // incarnation
    expect(answer.toString('hex')).toBe(helloAnswer!.toString('hex'));
    socket.write(ping!);
    const pong = await reader.read(96 + 48);
    expect(pong.subarray(0, 96).toString('hex')).toBe(pingAnswer!.subarray(0, 96).toString('hex'));
    // The same block but for the features (0x0e, no discovery, for the kernel's 0x1e) and its second interface's fields.
    const block = pong.subarray(96);
    expect(block.readUInt32LE(0)).toBe(0x70696e67);
    expect(block.readUInt32LE(4)).toBe(0x0e);
    expect(block.subarray(8).toString('hex')).toBe(pingAnswer!.subarray(96 + 8, 96 + 48).toString('hex'));
    socket.write(push!);
    const ack = await reader.read(96);
    expect(ack.readUInt32LE(24 + 24)).toBe(0);
    expect(ack.subarray(24 + 32, 24 + 48)).toEqual(push!.subarray(24 + 32, 24 + 48));
    expect(ack.readUInt32LE(24 + 32 + 24)).toBe(48);
  });
});
