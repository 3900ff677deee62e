/** `lustre doctor`: what it says of mounts that work and of those that do not. */
import { describe, expect, it } from 'vitest';
import { diagnose, type Finding } from '../../lib/client/mount/doctor.ts';
import { type SimCluster, withCluster } from './sim-cluster.ts';

async function findings(cluster: SimCluster, spec: string): Promise<Finding[]> {
  const { runtime, network } = cluster.sim.process('doctor');
  const found: Finding[] = [];
  for await (const finding of diagnose(spec, { runtime, network, nid: '127.0.9.1@tcp' })) found.push(finding);
  return found;
}

const brief = (list: readonly Finding[]): string[] => list.map(({ result, step }) => `${result} ${step}`);

describe('the doctor', () => {
  it('tells of each step of a mount that works, and leaves nothing behind', () =>
    withCluster(async (cluster) => {
      const found = await findings(cluster, cluster.node.spec);
      expect(brief(found)).toEqual([
        'ok specification',
        'ok node 127.0.0.1@tcp',
        'ok management server',
        'ok configuration',
        'ok sim-MDT0000',
        'ok sim-OST0000',
        'ok sim-OST0001',
        'ok mount',
      ]);
    }));

  it('says what is wrong with a specification, a node, a file system', () =>
    withCluster(async (cluster) => {
      expect((await findings(cluster, 'nonsense'))[0]).toMatchObject({
        result: 'failed',
        step: 'specification',
      });
      const nobody = await findings(cluster, '127.0.0.77@tcp:/sim');
      expect(nobody.at(-1)).toMatchObject({
        result: 'failed',
        step: 'node 127.0.0.77@tcp',
        hint: expect.stringContaining('Nothing listens'),
      });
      const other = await findings(cluster, '127.0.0.1@tcp:/other');
      expect(other.at(-1)).toMatchObject({
        result: 'failed',
        step: 'configuration',
        text: expect.stringContaining("knows no file system 'other'"),
      });
      // One of several nodes is enough.
      const second = await findings(cluster, '127.0.0.77@tcp:127.0.0.1@tcp:/sim');
      expect(brief(second).slice(1, 4)).toEqual([
        'failed node 127.0.0.77@tcp',
        'ok node 127.0.0.1@tcp',
        'ok management server',
      ]);
      expect(second.at(-1)).toMatchObject({ result: 'ok', step: 'mount' });
    }));
});
