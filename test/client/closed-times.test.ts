/**
 * What a close tells of a file's times (guide 11 §3). MDTs before 2.16 take a later time of modification than theirs whatever
 * the close's ctime says, so that one which is not certain any more undoes what another client has set.
 */
import { expect, it } from 'vitest';
import type { Filesystem } from '../../lib/index.ts';
import { SetattrValid } from '../../lib/wire/mds-constants.ts';
import { MdtRecSetattr } from '../../lib/wire/mds-structs.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { MsgType } from '../../lib/wire/ptlrpc-constants.ts';
import { PtlrpcBodyV3 } from '../../lib/wire/ptlrpc-structs.ts';
import { overhear } from '../ldlm/overhear.ts';
import { type SimCluster, withCluster } from './sim-cluster.ts';

const PAST = 1_158_966_889;

interface Closed {
  readonly mtime: number | undefined;
  readonly atime: number | undefined;
}

/** A mount, and what its closes have told. */
async function overheard({ sim, mount }: SimCluster): Promise<{ fs: Filesystem; closed: Closed[] }> {
  const process = sim.process('overheard');
  const closed: Closed[] = [];
  const { network } = overhear(process, (bytes) => {
    const message = decodeMessage(bytes);
    const { pb_opc, pb_type } = PtlrpcBodyV3.decode(message.buffers[0]!);
    if (pb_opc !== Opcode.MDS_CLOSE || pb_type !== MsgType.PTL_RPC_MSG_REQUEST) return;
    const { sa_valid, sa_mtime, sa_atime } = MdtRecSetattr.decode(message.buffers[2]!);
    const told = (bit: bigint, time: bigint): number | undefined =>
      (sa_valid & bit) === 0n ? undefined : Number(time);
    closed.push({
      mtime: told(SetattrValid.MDS_ATTR_MTIME_SET, sa_mtime),
      atime: told(SetattrValid.MDS_ATTR_ATIME_SET, sa_atime),
    });
  });
  return { fs: await mount({ runtime: process.runtime, network }), closed };
}

it('tells no time of before another client set it', () =>
  withCluster(async (cluster) => {
    const { fs, closed } = await overheard(cluster);
    const other = await cluster.mount();
    await other.writeFile('/f', 'here');
    const writing = await fs.open('/f', 'r+');
    await writing.write(Buffer.from('there'), { position: 0 });
    const idle = await fs.open('/f', 'r+');
    await other.utimes('/f', PAST, PAST);
    closed.length = 0;
    await idle.close();
    await writing.close();
    expect(closed).toEqual([
      { mtime: undefined, atime: undefined },
      { mtime: undefined, atime: undefined },
    ]);
    expect((await fs.stat('/f')).mtimeMs).toBe(PAST * 1000);
  }));

it('tells the time that was set, where nobody can have changed it', () =>
  withCluster(async (cluster) => {
    const { fs, closed } = await overheard(cluster);
    const other = await cluster.mount();
    await other.writeFile('/f', 'here');
    const handle = await fs.open('/f', 'r+');
    await other.utimes('/f', PAST, PAST);
    // Brings the lock on the object.
    await handle.read(Buffer.alloc(4), { position: 0 });
    closed.length = 0;
    await handle.close();
    expect(closed).toEqual([{ mtime: PAST, atime: expect.any(Number) }]);
  }));

it('tells when it wrote', () =>
  withCluster(async (cluster) => {
    const { fs, closed } = await overheard(cluster);
    const handle = await fs.open('/f', 'w');
    await handle.write(Buffer.from('here'));
    const written = Math.floor(cluster.sim.runtime.wallTime() / 1000);
    await handle.close();
    expect(closed).toEqual([{ mtime: written, atime: undefined }]);
  }));

it('leaves the time of access that was set after the last read', () =>
  withCluster(async ({ mount }) => {
    const [reader, setter] = [await mount(), await mount()];
    await setter.writeFile('/f', 'here');
    const handle = await reader.open('/f', 'r+');
    await handle.read(Buffer.alloc(4), { position: 0 });
    await setter.utimes('/f', PAST, PAST);
    await handle.close();
    expect((await setter.stat('/f')).atimeMs).toBe(PAST * 1000);
    expect((await reader.stat('/f')).atimeMs).toBe(PAST * 1000);
  }));
