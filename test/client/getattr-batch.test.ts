/** Many getattr intents in one request (guide 09 §9, guide 10 §11), and what servers make of good and bad ones. */
import { describe, expect, it, test } from 'vitest';
import { encodeBatch, GetattrBatch } from '../../lib/client/mdc/getattr-batch.ts';
import { type Fid, ROOT_FID } from '../../lib/fid/fid.ts';
import { fidResource } from '../../lib/fid/resource.ts';
import { ConnectFlag2 } from '../../lib/wire/connection-constants.ts';
import { decodeBuffers, type RequestInputs } from '../../lib/wire/format.ts';
import { RQF_BUT_GETATTR, RQF_LDLM_INTENT_GETATTR, RQF_MDS_BATCH } from '../../lib/wire/formats.ts';
import { Disposition, IntentOpcode, LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { MdValid, OpenFlag } from '../../lib/wire/mds-constants.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode, Portal } from '../../lib/wire/opcodes.ts';
import { Magic } from '../../lib/wire/ptlrpc-constants.ts';
import { BatchUpdateReply, BatchUpdateRequest, ButUpdateHeader } from '../../lib/wire/ptlrpc-structs.ts';
import { type MdtClient, MdtCluster, type Servers } from '../server/mds/mdt-cluster.ts';
import { capturedMessage } from './captured.ts';
import { rpcsOf } from './rpc-count.ts';
import { withCluster } from './sim-cluster.ts';

const CREATE = OpenFlag.MDS_FMODE_READ | OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_CREAT;
const FILES = 40;
type Request = RequestInputs<typeof RQF_LDLM_INTENT_GETATTR>;

interface Setup {
  readonly cluster: MdtCluster;
  readonly servers: Servers;
  readonly client: MdtClient;
  readonly directory: Fid;
  readonly fids: readonly Fid[];
}

/** A directory with f0, f1 ... in it, made by another client. */
const withFiles = (body: (setup: Setup) => Promise<void>) => async (): Promise<void> => {
  const cluster = new MdtCluster();
  await cluster.sim.run(
    (async () => {
      const servers = await cluster.start();
      const maker = await cluster.client();
      const directory = await maker.mkdir(ROOT_FID, 'd');
      const fids: Fid[] = [];
      for (let i = 0; i < FILES; i++) {
        const made = await maker.open(directory, `f${i}`, { flags: CREATE });
        await maker.close(made.body.mbo_open_handle, made.body.mbo_fid1);
        fids.push(made.body.mbo_fid1);
      }
      await maker.imp.disconnect();
      await body({ cluster, servers, client: await cluster.client(), directory, fids });
    })(),
  );
};

const buffers = (directory: Fid, name: string): Omit<Request, 'dlm_req'> => ({
  ldlm_intent: { opc: BigInt(IntentOpcode.IT_GETATTR) },
  mdt_body: { mbo_fid1: directory, mbo_valid: MdValid.OBD_MD_FLGETATTR, mbo_capability: 0xffff_ffff },
  name,
});

const request = (directory: Fid, name: string, handle: bigint): Request => ({
  ...buffers(directory, name),
  dlm_req: {
    lock_flags: LockFlag.LDLM_FL_HAS_INTENT,
    lock_desc: {
      l_resource: { lr_type: LockType.LDLM_IBITS, lr_name: { name: fidResource(directory) } },
      l_req_mode: LockMode.LCK_CR,
      l_policy_data: { l_inodebits: { bits: 3n } },
    },
    lock_handle: [handle],
  },
});

/** Asks for all names at once: name to attributes, or to what it was refused with. */
async function ask({ cluster, client, directory }: Setup, names: readonly string[]) {
  const { runtime } = cluster.sim;
  const granted = { ...client.imp.granted, ocd_connect_flags2: ConnectFlag2.OBD_CONNECT2_BATCH_RPC };
  const batch = new GetattrBatch({ name: 'demo-MDT0000', runtime, caller: client.imp, granted });
  return Promise.all(
    names.map(async (name) => {
      const { lock, reply } = await client.locks.enqueue({
        resource: fidResource(directory),
        type: LockType.LDLM_IBITS,
        mode: LockMode.LCK_CR,
        policy: { inodeBits: 3n },
        flags: LockFlag.LDLM_FL_HAS_INTENT,
        intent: { format: RQF_LDLM_INTENT_GETATTR, buffers: buffers(directory, name), call: batch.call },
      });
      if (lock !== undefined) client.locks.release(lock);
      const disposition = Number(reply.values.dlm_rep?.lock_policy_res1);
      if ((disposition & Disposition.DISP_LOOKUP_NEG) !== 0) return 'not there';
      return { fid: reply.values.mdt_body?.mbo_fid1, at: lock?.resource, bits: lock?.policy.inodeBits };
    }),
  );
}

const sent = ({ client }: Setup) => ({
  batches: client.ptlrpc.counters.of('client', Opcode.MDS_BATCH).requests,
  alone: client.ptlrpc.counters.of('client', Opcode.LDLM_ENQUEUE).requests,
});
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `f${i}`);
const found = (fid: Fid) => ({ fid, at: fidResource(fid), bits: 0x1bn });

describe('a batch', () => {
  it('is what a kernel client sends (02 pkt 1274)', () => {
    const captured = capturedMessage('02-namespace', 1274, Opcode.MDS_BATCH).buffers[1]!;
    const header = ButUpdateHeader.decode(captured);
    const entries: { request: Request }[] = [];
    let at = ButUpdateHeader.size + BatchUpdateRequest.size;
    for (let i = 0; i < header.buh_update_count; i++) {
      const message = decodeMessage(captured.subarray(at));
      entries.push({ request: decodeBuffers(RQF_BUT_GETATTR.request, message) });
      at += message.size;
    }
    expect(entries.map(({ request: { name } }) => name)).toHaveLength(header.buh_update_count);
    expect(Buffer.from(encodeBatch(entries)).toString('hex')).toBe(Buffer.from(captured).toString('hex'));
  });

  test(
    'answers many names with a lock on each',
    withFiles(async (setup) => {
      expect(await ask(setup, names(FILES))).toEqual(setup.fids.map(found));
      // The first goes at once, the others when it is back.
      expect(sent(setup)).toEqual({ batches: 2, alone: 0 });
      expect(setup.servers.mdt.core.locks.counts.locks).toBe(FILES);
    }),
  );

  test(
    'goes on behind a name that is not there, which is asked for alone',
    withFiles(async (setup) => {
      const wanted = ['f0', 'f1', 'gone', 'f2', 'f3', 'gone too'];
      const [f0, f1, f2, f3] = setup.fids.map(found);
      expect(await ask(setup, wanted)).toEqual([f0, f1, 'not there', f2, f3, 'not there']);
      expect(sent(setup)).toEqual({ batches: 2, alone: 2 });
      expect(setup.servers.mdt.core.locks.counts.locks).toBe(4);
    }),
  );

  test(
    'does not wait for a lock, nor keep others waiting',
    withFiles(async (setup) => {
      const { servers, fids, cluster } = setup;
      const held = await servers.mdt.core.locks.lock(fidResource(fids[5]!), LockMode.LCK_EX, {
        inodeBits: 0x1bn,
      });
      let late = false;
      const all = ask(setup, names(10)).then((result) => {
        late = true;
        return result;
      });
      await cluster.sim.sleep(1000);
      expect(late).toBe(false);
      // Another wants what was granted on the way: it gets it.
      const other = await servers.mdt.core.locks.lock(fidResource(fids[1]!), LockMode.LCK_EX, {
        inodeBits: 2n,
      });
      other.release();
      held.release();
      expect(await all).toEqual(fids.slice(0, 10).map(found));
    }),
  );

  test(
    'whose answers do not fit is taken up where it ended',
    withFiles(async (setup) => {
      const { client, directory } = setup;
      const three = [1n, 2n, 3n].map((n) => ({ request: request(directory, `f${n}`, n) }));
      const reply = await client.imp.call(
        RQF_MDS_BATCH,
        { but_header: encodeBatch(three, 1000) },
        { replyRoom: 1000, accept: [75] },
      );
      expect(reply.status).toBe(-75);
      expect(BatchUpdateReply.decode(reply.values.but_reply!).burp_count).toBe(2);
      expect(setup.servers.mdt.core.locks.counts.locks).toBe(2);
    }),
  );

  test(
    'of several blocks is fetched from the client’s memory, as kernels send it',
    withFiles(async (setup) => {
      const { client, directory, servers } = setup;
      const block = (first: number, count: number): Buffer => {
        const entries = names(count).map((_, i) => ({
          request: request(directory, `f${first + i}`, BigInt(first + i + 1)),
        }));
        return Buffer.concat([encodeBatch(entries).subarray(ButUpdateHeader.size)], 4096);
      };
      const bytes = Buffer.concat([block(0, 9), block(9, 3)]);
      const memory = client.ptlrpc.endpoint.pin(bytes);
      const but_header = ButUpdateHeader.encode({
        buh_magic: Magic.BUT_HEADER_MAGIC,
        buh_count: 2,
        buh_reply_size: 16_000,
        buh_update_count: 12,
      });
      const { values } = await client.imp.call(
        RQF_MDS_BATCH,
        { but_header, but_buf: [{ bub_size: 4096 }, { bub_size: 4096 }] },
        {
          replyRoom: 16_000,
          bulk: {
            direction: 'source',
            portal: Portal.MDS_BULK_PORTAL,
            segments: [{ memory, offset: 0, length: bytes.length }],
          },
        },
      );
      expect(BatchUpdateReply.decode(values.but_reply!).burp_count).toBe(12);
      expect(servers.mdt.core.locks.counts.locks).toBe(12);
    }),
  );

  test(
    'that is no batch is refused by name, and nothing is left of it',
    withFiles(async ({ client, directory, servers, cluster }) => {
      const good = encodeBatch([1n, 2n].map((n) => ({ request: request(directory, `f${n}`, n) })));
      const at = ButUpdateHeader.size + BatchUpdateRequest.size;
      const damaged = (change: (bytes: DataView) => void): Uint8Array => {
        const bytes = good.slice();
        change(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
        return bytes;
      };
      const bad = [
        damaged((b) => b.setUint32(0, 1, true)),
        damaged((b) => b.setUint32(8, 0xffff_ffff, true)),
        damaged((b) => b.setUint32(8, 20, true)),
        damaged((b) => b.setUint32(8, 0, true)),
        damaged((b) => b.setUint32(24, 1, true)),
        damaged((b) => b.setUint16(28, 0, true)),
        damaged((b) => b.setUint16(28, 3, true)),
        damaged((b) => b.setUint16(28, 0xffff, true)),
        damaged((b) => b.setUint32(at + 8, 1, true)),
        damaged((b) => b.setUint32(at, 33, true)),
        damaged((b) => b.setUint32(at + 24, 2, true)),
        damaged((b) => b.setUint32(at + 32 + 4 * 5 + 4 + 104, IntentOpcode.IT_OPEN, true)),
        good.subarray(0, 20),
      ];
      for (const but_header of bad)
        await expect(
          client.imp.call(RQF_MDS_BATCH, { but_header }, { replyRoom: 4096 }),
        ).rejects.toMatchObject({ code: 'EPROTO' });
      await expect(client.imp.call(RQF_MDS_BATCH, {})).rejects.toMatchObject({ code: 'EPROTO' });
      const lines = cluster.sim.log.filter((line) => line.msg === 'bad request');
      expect(lines.length).toBeGreaterThanOrEqual(bad.length);
      expect(
        lines.every((line) => line.opcode === 'MDS_BATCH' && line.peer === client.ptlrpc.endpoint.nid),
      ).toBe(true);
      expect(servers.mdt.core.locks.counts.locks).toBe(0);
      expect((await client.getattr(directory, 'f1')).status).toBe(0);
    }),
  );
});

describe('a mount', () => {
  it('asks in batches for what a walk, or `ls -l`, will show, and sees what others do meanwhile', () =>
    withCluster(async ({ mount }) => {
      const [maker, walker, lister] = [await mount(), await mount(), await mount()];
      await maker.mkdir('/d');
      const want = new Map<string, number>();
      for (let i = 0; i < 150; i++) {
        await maker.writeFile(`/d/f${i}`, 'x'.repeat(i));
        want.set(`f${i}`, i);
      }
      const seen = new Map<string, number | undefined>();
      const spent = await rpcsOf(walker, async () => {
        for await (const { name, stats } of walker.walk('/d', { stats: 'all' })) seen.set(name, stats?.size);
      });
      expect(seen).toEqual(want);
      expect(spent.MDS_BATCH).toBeLessThan(30);
      // Sizes are asked of OSTs one by one.
      expect(spent.LDLM_ENQUEUE).toBeLessThan(150 + 30);
      await maker.writeFile('/d/f7', 'longer than it was');
      await maker.unlink('/d/f9');
      expect((await walker.stat('/d/f7')).size).toBe(18);
      await expect(walker.stat('/d/f9')).rejects.toMatchObject({ code: 'ENOENT' });
      // Names of files that a client has just made are under locks of its own.
      await maker.unmount();
      const listed = await rpcsOf(lister, async () => {
        for (const name of await lister.readdir('/d'))
          expect((await lister.stat(`/d/${name}`)).size).toBe(name === 'f7' ? 18 : want.get(name));
      });
      expect(listed.MDS_BATCH).toBeLessThan(30);
      expect(listed.LDLM_ENQUEUE).toBeLessThan(149 + 45);
    }));
});
