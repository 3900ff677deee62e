/** Targets that are not where they were (guide 05 §7, §11): other NIDs, and what the MGS tells of restarts. */
import { expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import { RQF_MDS_STATFS } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, fullOffer, serverNid, testTarget } from './cluster.ts';

const statfs: Operation<typeof RQF_MDS_STATFS> = {
  format: RQF_MDS_STATFS,
  handle: (call) => call.reply({ obd_statfs: { os_blocks: 42n } }),
};
const withStatfs = (): Map<number, Operation> => new Map([[Opcode.MDS_STATFS, statfs]]);

/** Runs a test's body in virtual time. */
function simulate(body: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = new Cluster();
  return cluster.sim.run(body(cluster));
}

test('finds the target at another of its NIDs when its node dies, and again at the first', () =>
  simulate(async (cluster) => {
    const other = '10.0.0.9@tcp';
    const target = testTarget(withStatfs());
    const first = await cluster.server([target]);
    const { imp } = await cluster.client({ nids: [serverNid, '10.0.0.8@tcp', other] });
    await imp.connect();
    first.process.kill();
    const second = await cluster.server([target], other);
    await imp.call(RQF_MDS_STATFS, {});
    expect([imp.state, imp.nid]).toEqual(['FULL', other]);
    second.process.kill();
    await cluster.server([target]);
    const before = cluster.sim.runtime.now();
    await imp.call(RQF_MDS_STATFS, {});
    expect(imp.nid).toBe(serverNid);
    // One round through all three, without a pause between them.
    expect(cluster.sim.runtime.now() - before).toBeLessThan(30_000);
  }));

test('waits for a target of which no NID answers, less and less often, and connects when one does', () =>
  simulate(async (cluster) => {
    const nids = [serverNid, '10.0.0.8@tcp'];
    const first = await cluster.server([testTarget(withStatfs())]);
    const { imp } = await cluster.client({ nids });
    await imp.connect();
    first.process.kill();
    const waiting = imp.call(RQF_MDS_STATFS, {});
    await cluster.sim.sleep(120_000);
    expect(imp.state).not.toBe('FULL');
    await cluster.server([testTarget(withStatfs())], '10.0.0.8@tcp');
    expect((await waiting).status).toBe(0);
    expect(imp.nid).toBe('10.0.0.8@tcp');
  }));

test('goes where it is told that the target was started again, at once', () =>
  simulate(async (cluster) => {
    const offer = (ocd_instance: number) => ({ connect: () => ({ ...fullOffer, ocd_instance }) });
    const first = await cluster.server([testTarget(withStatfs(), offer(1))]);
    const { imp } = await cluster.client();
    await imp.connect();
    imp.moved(['10.0.0.9@tcp'], 1);
    expect([imp.state, imp.nid]).toEqual(['FULL', serverNid]);
    first.process.kill();
    await cluster.server([testTarget(withStatfs(), offer(2))], '10.0.0.9@tcp');
    const before = cluster.sim.runtime.now();
    imp.moved(['10.0.0.9@tcp'], 2);
    await imp.call(RQF_MDS_STATFS, {});
    expect(imp.nid).toBe('10.0.0.9@tcp');
    // Without being told it would have gone on asking the NID that it knows.
    expect(cluster.sim.runtime.now() - before).toBeLessThan(3000);
  }));
