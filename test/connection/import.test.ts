import { expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import { RQF_MDS_STATFS, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, testTarget } from './cluster.ts';

const statfs: Operation<typeof RQF_MDS_STATFS> = {
  format: RQF_MDS_STATFS,
  handle: (call) => call.reply({ obd_statfs: { os_blocks: 42n } }),
};

test('connects, pings, calls and disconnects', async () => {
  const cluster = new Cluster();
  const target = testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, statfs]]));
  await cluster.sim.run(
    (async () => {
      await cluster.server([target]);
      const { imp } = await cluster.client();
      const granted = await imp.connect();
      expect(granted.ocd_maxmodrpcs).toBe(8);
      expect(imp.state).toBe('FULL');
      await imp.call(RQF_OBD_PING, {});
      const reply = await imp.call(RQF_MDS_STATFS, {});
      expect(reply.values.obd_statfs?.os_blocks).toBe(42n);
      await imp.disconnect();
      expect(target.disconnected).toHaveLength(1);
      expect(imp.state).toBe('CLOSED');
    })(),
  );
});
