/** Clients and servers that lie, for the tests of what becomes of them and of the others. */
import type { Export } from '../../lib/connection/target.ts';
import type { ServerLock } from '../../lib/ldlm/server-lock.ts';
import type { ServerNamespace } from '../../lib/ldlm/server-namespace.ts';
import type { Intent } from '../../lib/ldlm/server-operations.ts';
import type { IncomingRequest, Reply } from '../../lib/rpc/rpc.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { RQF_LDLM_CANCEL, RQF_LDLM_ENQUEUE, RQF_LDLM_INTENT_BASIC } from '../../lib/wire/formats.ts';
import { LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import type { LdlmReply } from '../../lib/wire/ldlm-structs.ts';
import { Portal } from '../../lib/wire/opcodes.ts';
import type { StructInput } from '../../lib/wire/struct.ts';
import { EOF, extent, type LockClient, lockClient, resource } from './lock-cluster.ts';

/** What was logged as a refusal of `opcode`, with the peer that it names. */
export const said = (sim: Simulation, opcode: string) =>
  sim.log
    .filter((line) => line.opcode === opcode && typeof line.reason === 'string')
    .map((line) => ({ peer: line.peer, reason: String(line.reason) }));

/** The server's side of the one lock that there is, and its client. */
export function only(namespace: ServerNamespace): { lock: ServerLock; client: Export } {
  const lock = [...namespace.locks.all()][0]!;
  return { lock, client: lock.client! };
}

/** A client whose lock callbacks are answered by `answer` instead. */
export async function liar(sim: Simulation, answer: (request: IncomingRequest) => void): Promise<LockClient> {
  const client = await lockClient(sim);
  await client.callbacks.close();
  client.ptlrpc.serve({ portals: [Portal.LDLM_CB_REQUEST_PORTAL], handler: answer });
  return client;
}

/** An intent that is answered with whatever `answer` says. */
export const intentAnswering = (
  answer: () => StructInput<typeof LdlmReply>,
): Intent<typeof RQF_LDLM_INTENT_BASIC> => ({
  format: RQF_LDLM_INTENT_BASIC,
  handle: (call) => call.reply({ dlm_rep: answer() }),
});

/** A lock on the whole of an object. */
export const whole = (client: LockClient, n: number, mode: number = LockMode.LCK_PR) =>
  client.locks.enqueue({ resource: resource(n), type: LockType.LDLM_EXTENT, mode, policy: extent(0, EOF) });

/** An enqueue for writing that no lock of the client's own stands behind. */
export const rawEnqueue = (
  client: LockClient,
  what: { type: number; flags: number; n: number; handle: bigint; policy: object },
): Promise<Reply<typeof RQF_LDLM_ENQUEUE>> =>
  client.imp.call(
    RQF_LDLM_ENQUEUE,
    {
      dlm_req: {
        lock_flags: what.flags,
        lock_desc: {
          l_resource: { lr_type: what.type, lr_name: { name: resource(what.n) } },
          l_req_mode: LockMode.LCK_PW,
          l_policy_data: what.policy,
        },
        lock_handle: [what.handle],
      },
    },
    { noResend: true },
  );

export const rawCancel = (client: LockClient, lock_handle: bigint[], lock_count = lock_handle.length) =>
  client.imp.call(RQF_LDLM_CANCEL, { dlm_req: { lock_count, lock_handle } });
