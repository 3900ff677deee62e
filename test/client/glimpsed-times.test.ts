/**
 * Times set while another client asks for them (guide 11 §3, guide 12 §11): the server keeps what a holder tells, as it came, so
 * a holder that sets times tells the new ones from the moment that it sends them.
 */
import { expect, it } from 'vitest';
import { OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { MsgType } from '../../lib/wire/ptlrpc-constants.ts';
import { PtlrpcBodyV3 } from '../../lib/wire/ptlrpc-structs.ts';
import { overhear } from '../ldlm/overhear.ts';
import { withCluster } from './sim-cluster.ts';

const PAST = 1_158_966_889;

it('tells who asks the times that are on their way to the server', () =>
  withCluster(async ({ sim, mount }) => {
    const process = sim.process('setter');
    let sent = false;
    const told: bigint[] = [];
    const { network } = overhear(process, (bytes) => {
      const message = decodeMessage(bytes);
      const { pb_opc, pb_type } = PtlrpcBodyV3.decode(message.buffers[0]!);
      if (pb_opc === Opcode.OST_SETATTR && pb_type === MsgType.PTL_RPC_MSG_REQUEST) sent = true;
      if (!sent || pb_opc !== Opcode.LDLM_GL_CALLBACK || message.buffers.length < 2) return;
      told.push(OstLvb.decode(message.buffers[1]!).lvb_mtime);
    });
    const setter = await mount({ runtime: process.runtime, network });
    const other = await mount();
    await setter.writeFile('/f', 'here');
    await other.stat('/f');
    let done = false;
    const asking = Array.from({ length: 40 }, async (_, i) => {
      await sim.sleep(i / 20);
      while (!done) await other.stat('/f');
    });
    await setter.utimes('/f', PAST, PAST);
    done = true;
    await Promise.all(asking);
    expect(told.length).toBeGreaterThan(0);
    expect(told.filter((mtime) => mtime !== BigInt(PAST))).toEqual([]);
  }));
