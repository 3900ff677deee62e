import { describe, expect, it } from 'vitest';
import type { FilesystemConfig } from '../../../lib/config/client-config.ts';
import { configMarker, decodeConfigRecord } from '../../../lib/config/config-record.ts';
import { ManagementClient, readClientConfig } from '../../../lib/config/management-client.ts';
import { Import } from '../../../lib/connection/import.ts';
import { TargetNode } from '../../../lib/connection/target-node.ts';
import { LockCallbacks } from '../../../lib/ldlm/lock-callbacks.ts';
import { findLog, readRecords } from '../../../lib/llog/plain-log.ts';
import { recordsOf } from '../../../lib/llog/record.ts';
import { PtlRpc } from '../../../lib/rpc/ptlrpc.ts';
import { MGS_TABLES } from '../../../lib/server/mgs/config-database.ts';
import { createMgs, type Mgs } from '../../../lib/server/mgs/mgs.ts';
import { registerTarget } from '../../../lib/server/registration.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import { createSimulation, type SimProcess } from '../../../lib/sim/simulation.ts';
import {
  RQF_LLOG_ORIGIN_HANDLE_CREATE,
  RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK,
  RQF_LLOG_ORIGIN_HANDLE_READ_HEADER,
  RQF_MGS_CONFIG_READ,
  RQF_MGS_TARGET_REG,
} from '../../../lib/wire/formats.ts';
import { capturedReplies } from '../../llog/captured-log.ts';

const MGS_NID = '10.0.0.1@tcp';
const SERVER = '10.0.2.15@tcp';

class MgsCluster {
  readonly sim = createSimulation({ seed: 3 });
  readonly disk = new MemoryDisk();
  process!: SimProcess;
  mgs!: Mgs;
  store!: ReturnType<typeof openMemoryStore>;
  #clients = 0;

  async start(): Promise<void> {
    this.process = this.sim.process('mgs');
    const { runtime, network } = this.process;
    const endpoint = await network.open({ nid: MGS_NID });
    this.store = openMemoryStore({ disk: this.disk, tables: MGS_TABLES });
    this.mgs = await createMgs({ runtime, store: this.store });
    new TargetNode(new PtlRpc(endpoint, runtime), runtime).add(this.mgs);
  }

  async client(): Promise<ManagementClient> {
    this.#clients += 1;
    const { runtime } = this.sim;
    const endpoint = await this.sim.network.open({ nid: `10.0.1.${this.#clients}@tcp` });
    const ptlrpc = new PtlRpc(endpoint, runtime);
    const callbacks = new LockCallbacks(ptlrpc, runtime);
    const mgc = new ManagementClient({ runtime, ptlrpc, callbacks, nids: [MGS_NID] });
    await mgc.connect();
    return mgc;
  }
}

function scenario(name: string, work: (cluster: MgsCluster) => Promise<void>): void {
  it(name, async () => {
    const cluster = new MgsCluster();
    await cluster.sim.run(work(cluster));
  });
}

async function registerLab(mgc: ManagementClient): Promise<void> {
  const fsname = 'lab';
  for (const [kind, index] of [
    ['mdt', 0],
    ['mdt', 1],
    ['ost', 0],
    ['ost', 1],
  ] as const)
    await registerTarget(mgc.import, { fsname, kind, index, nids: [SERVER] });
}

describe('registration', () => {
  scenario(
    'writes the client log that a kernel MGS wrote, but for steps and times',
    async (cluster: MgsCluster) => {
      await cluster.start();
      await registerLab(await cluster.client());
      const table = cluster.store.table('llogs');
      const ours = [...readRecords(table, findLog(table, 'lab-client')!)].map(decodeConfigRecord);
      const theirs = [...recordsOf(capturedReplies(502)[0]![1]!)].map(decodeConfigRecord);
      expect(ours).toHaveLength(theirs.length);
      ours.forEach((record, i) => {
        expect({ i, command: record.command, nid: record.nid }).toEqual({
          i,
          command: theirs[i]!.command,
          nid: theirs[i]!.nid,
        });
        // A kernel leaves old bytes behind the NULs of a marker's names.
        const plain = (r: typeof record) =>
          r.command === 0xcf010
            ? { ...configMarker(r), cm_step: 0, cm_createtime: 0n }
            : r.buffers.map((b) => new Uint8Array(b));
        expect(plain(record)).toEqual(plain(theirs[i]!));
      });
    },
  );

  scenario(
    'gives indices, refuses what is taken or makes no sense, and survives a restart',
    async (cluster) => {
      await cluster.start();
      const mgc = await cluster.client();
      const reg = (o: { flags?: number; fsname?: string; index?: number; nids?: bigint[] }) =>
        mgc.import.call(RQF_MGS_TARGET_REG, {
          mgs_target_info: {
            mti_fsname: o.fsname ?? 'demo',
            mti_flags: o.flags ?? 2,
            mti_stripe_index: o.index ?? 0,
            mti_nid_count: o.nids?.length ?? 1,
            mti_nids: o.nids ?? [0x200000a00020fn],
            mti_params: 'failover.node=10.0.0.9@tcp',
          },
        });
      const first = await reg({ flags: 2 | 0x10 | 0x20 });
      expect(first.values.mgs_target_info).toMatchObject({ mti_stripe_index: 0, mti_svname: 'demo-OST0000' });
      const second = await reg({ flags: 2 | 0x10 | 0x20 });
      expect(second.values.mgs_target_info).toMatchObject({ mti_svname: 'demo-OST0001' });
      await expect(reg({ flags: 2 | 0x20, index: 1 })).rejects.toMatchObject({ code: 'EADDRINUSE' });
      await expect(reg({ flags: 3 })).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(reg({ fsname: 'a/b' })).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(reg({ fsname: 'muchtoolong' })).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(reg({ nids: [] })).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(reg({ index: 70_000 })).rejects.toMatchObject({ code: 'EINVAL' });
      cluster.process.kill();
      cluster.store.crash();
      await cluster.start();
      expect(cluster.mgs.database.targets('demo', 'ost')).toEqual([
        { kind: 'ost', index: 0, nodes: [[SERVER], ['10.0.0.9@tcp']] },
        { kind: 'ost', index: 1, nodes: [[SERVER], ['10.0.0.9@tcp']] },
      ]);
    },
  );
});

describe('a client', () => {
  scenario('reads the configuration, hears of a change, and of an address that moved', async (cluster) => {
    await cluster.start();
    const server = await cluster.client();
    await registerTarget(server.import, { fsname: 'demo', kind: 'mdt', index: 0, nids: [SERVER] });
    await registerTarget(server.import, { fsname: 'demo', kind: 'ost', index: 0, nids: [SERVER] });
    const mgc = await cluster.client();
    const changes: FilesystemConfig[] = [];
    const config = await readClientConfig(mgc, 'demo', {
      runtime: cluster.sim.runtime,
      onChange: (changed) => changes.push(changed),
    });
    expect(config).toMatchObject({
      fsname: 'demo',
      profile: 'demo-client',
      mdts: [{ index: 0, name: 'demo-MDT0000', uuid: 'demo-MDT0000_UUID', nids: [[SERVER]], active: true }],
      osts: [{ index: 0, name: 'demo-OST0000', nids: [[SERVER]] }],
    });
    await registerTarget(server.import, { fsname: 'demo', kind: 'ost', index: 1, nids: [SERVER] });
    await cluster.sim.sleep(5000);
    expect(changes.at(-1)?.osts.map((ost) => ost.name)).toEqual(['demo-OST0000', 'demo-OST0001']);
    const moved = {
      fsname: 'demo',
      kind: 'ost',
      index: 0,
      nids: ['10.0.2.99@tcp', '10.0.2.99@tcp1'],
    } as const;
    await registerTarget(server.import, moved);
    await cluster.sim.sleep(5000);
    expect(changes.at(-1)?.osts[0]).toMatchObject({ index: 0, nids: [['10.0.2.99@tcp', '10.0.2.99@tcp1']] });
    const fresh = await readClientConfig(await cluster.client(), 'demo', { runtime: cluster.sim.runtime });
    expect(fresh.osts).toEqual(changes.at(-1)?.osts);
    const seen = changes.length;
    await registerTarget(server.import, moved);
    await cluster.sim.sleep(5000);
    expect(changes).toHaveLength(seen);
    await mgc.disconnect();
  });

  scenario('is told which file system does not exist, and where', async (cluster) => {
    await cluster.start();
    const mgc = await cluster.client();
    await expect(readClientConfig(mgc, 'nope', { runtime: cluster.sim.runtime })).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringMatching(/10\.0\.0\.1@tcp.*'nope'/),
    });
  });

  scenario('gets errnos for logs, contexts and blocks that are not there', async (cluster) => {
    await cluster.start();
    const { import: mgc } = await cluster.client();
    const open = (name: string | undefined, context = 0) =>
      mgc.call(RQF_LLOG_ORIGIN_HANDLE_CREATE, { llogd_body: { lgd_ctxt_idx: context }, name, mdt_body: {} });
    await expect(open('demo-client')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(open('params', 18)).rejects.toMatchObject({ code: 'EPROTO' });
    await expect(open(undefined)).rejects.toMatchObject({ code: 'EINVAL' });
    const { lgd_logid } = (await open('params')).values.llogd_body!;
    const header = await mgc.call(RQF_LLOG_ORIGIN_HANDLE_READ_HEADER, {
      llogd_body: { lgd_logid, lgd_llh_flags: 4 },
    });
    expect(header.values.llog_log_hdr).toMatchObject({
      llh_count: 1,
      llh_flags: 4,
      llh_tgtuuid: 'config_uuid',
    });
    await expect(
      mgc.call(RQF_LLOG_ORIGIN_HANDLE_READ_HEADER, { llogd_body: { lgd_logid, lgd_llh_flags: 2 } }),
    ).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(
      mgc.call(RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK, {
        llogd_body: { lgd_logid, lgd_index: 1, lgd_len: 8192, lgd_cur_offset: 8192n },
      }),
    ).rejects.toMatchObject({ code: 'EBADR' });
    await expect(mgc.call(RQF_LLOG_ORIGIN_HANDLE_READ_HEADER, { llogd_body: {} })).rejects.toMatchObject({
      code: 'EINVAL',
    });
    await expect(
      mgc.call(RQF_MGS_CONFIG_READ, { mgs_config_body: { mcb_name: 'demo-cliir', mcb_type: 2 } }),
    ).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
  });

  scenario('is granted what a kernel client asks and this MGS has', async (cluster) => {
    await cluster.start();
    const { runtime, network } = cluster.sim;
    const imp = new Import({
      runtime,
      ptlrpc: new PtlRpc(await network.open({ nid: '10.0.3.1@tcp' }), runtime),
      target: { name: 'MGS', uuid: 'MGS', kind: 'mgs' },
      nids: [MGS_NID],
      clientUuid: 'kernel',
      ask: {
        ocd_connect_flags: 0xa000411001002060n,
        ocd_connect_flags2: 0x100100000n,
        ocd_version: 0x02110000,
      },
    });
    expect(await imp.connect()).toMatchObject({
      ocd_connect_flags: 0xa000001001000020n,
      ocd_connect_flags2: 0x100000n,
      ocd_version: 0x02110000,
    });
  });
});
