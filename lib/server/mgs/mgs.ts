/**
 * The management server (guides 05 §4 to §6 and §12, 14, 16 §3.1): keeps the configuration logs, enters targets into them
 * and tells clients of changes by revoking the locks they hold on them.
 */

import { configResource } from '../../config/config-lock.ts';
import type { ConnectGrant, Operation, Target } from '../../connection/target.ts';
import type { ResourceId } from '../../ldlm/lock.ts';
import { ServerNamespace } from '../../ldlm/server-namespace.ts';
import { Errno, errnoOf } from '../../runtime/errors.ts';
import { type Runtime, withLog } from '../../runtime/runtime.ts';
import { ConfigType, ConnectFlag, ConnectFlag2, TargetFlag } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { required } from '../../wire/format.ts';
import { RQF_MGS_CONFIG_READ, RQF_MGS_SET_INFO, RQF_MGS_TARGET_REG } from '../../wire/formats.ts';
import { LockMode } from '../../wire/ldlm-constants.ts';
import { Opcode } from '../../wire/opcodes.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import { LUSTRE_VERSION } from '../version.ts';
import { ConfigDatabase, LLOG_TABLE } from './config-database.ts';
import { logOperations } from './log-operations.ts';
import { checkRegistration } from './target-registration.ts';

export interface MgsOptions {
  readonly runtime: Runtime;
  /** With the tables MGS_TABLES. The caller closes it. */
  readonly store: KeyValueStore;
}

/** The MGS as a target, ready to be added to a TargetNode. */
export interface Mgs extends Target {
  readonly database: ConfigDatabase;
  readonly locks: ServerNamespace;
  /** Sets a parameter for all clients, those that are mounted too, as `lctl set_param -P` does. */
  setParam(parameter: string): Promise<void>;
}

const GRANTED_FLAGS =
  ConnectFlag.OBD_CONNECT_VERSION |
  ConnectFlag.OBD_CONNECT_AT |
  ConnectFlag.OBD_CONNECT_FULL20 |
  ConnectFlag.OBD_CONNECT_BULK_MBITS |
  ConnectFlag.OBD_CONNECT_FLAGS2;

/** Opens the MGS over its store. Rejects with the store's error. */
export async function createMgs(options: MgsOptions): Promise<Mgs> {
  const runtime = withLog(options.runtime, { target: 'MGS' });
  const seconds = (): bigint => BigInt(Math.floor(runtime.wallTime() / 1000));
  const database = new ConfigDatabase(options.store, LUSTRE_VERSION, seconds);
  await database.prepare();
  const locks = new ServerNamespace({ name: 'MGS', runtime });
  const operations = new Map<number, Operation>([
    ...locks.operations({}),
    ...logOperations(options.store.table(LLOG_TABLE)),
    [Opcode.MGS_TARGET_REG, targetReg(database, locks, runtime)],
    [Opcode.MGS_CONFIG_READ, configRead],
    [Opcode.MGS_SET_INFO, setInfo],
  ]);
  return {
    name: 'MGS',
    uuid: 'MGS',
    replayable: false,
    operations,
    database,
    locks,
    async setParam(parameter) {
      await database.setParam(parameter);
      revoke(locks, configResource('params', ConfigType.MGS_CFG_T_PARAMS), runtime);
    },
    connect: (asked: ObdConnectData): ConnectGrant => ({
      ocd_connect_flags: GRANTED_FLAGS & asked.ocd_connect_flags,
      ocd_connect_flags2: ConnectFlag2.OBD_CONNECT2_REP_MBITS & asked.ocd_connect_flags2,
      ocd_version: LUSTRE_VERSION,
    }),
    onDisconnect: (client) => locks.dropExport(client),
    lastCommitted: () => 0n,
  };
}

function targetReg(database: ConfigDatabase, locks: ServerNamespace, runtime: Runtime): Operation {
  const operation: Operation<typeof RQF_MGS_TARGET_REG> = {
    format: RQF_MGS_TARGET_REG,
    async handle(call) {
      const info = required(call.values, 'mgs_target_info');
      try {
        const { fsname, target, name } = checkRegistration(info, database);
        const changed = await database.register(fsname, target);
        if (changed) revoke(locks, configResource(fsname), runtime);
        runtime.log.info(
          { peer: call.request.peer, registered: name, nodes: target.nodes, changed },
          'target registered',
        );
        const kept = ~(TargetFlag.LDD_F_NEED_INDEX | TargetFlag.LDD_F_VIRGIN | TargetFlag.LDD_F_UPDATE);
        call.reply({
          mgs_target_info: {
            ...info,
            mti_stripe_index: target.index,
            mti_svname: name,
            mti_uuid: `${name}_UUID`,
            mti_flags: (info.mti_flags & kept) | TargetFlag.LDD_F_REWRITE_LDD,
          },
        });
      } catch (error) {
        runtime.log.warn({ peer: call.request.peer, opcode: 'MGS_TARGET_REG', error }, 'target refused');
        const flags = (info.mti_flags | TargetFlag.LDD_F_ERROR) >>> 0;
        call.fail(errnoOf(error), { mgs_target_info: { ...info, mti_flags: flags } });
      }
    },
  };
  return operation as Operation;
}

/** Takes the EX lock, which makes every client give up its CR lock, and lets it go: they read on (guide 05 §4.1). */
function revoke(locks: ServerNamespace, resource: ResourceId, runtime: Runtime): void {
  locks.lock(resource, LockMode.LCK_EX, {}).then(
    (lock) => lock.release(),
    (error: unknown) => runtime.log.warn({ error }, 'configuration locks could not be revoked'),
  );
}

/** Only for logs that we do not keep: recovery and nodemap (guide 14 §7). */
const configRead = {
  format: RQF_MGS_CONFIG_READ,
  handle: (call) => call.fail(Errno.EOPNOTSUPP),
} satisfies Operation<typeof RQF_MGS_CONFIG_READ> as Operation;

const setInfo = {
  format: RQF_MGS_SET_INFO,
  handle: (call) => call.fail(Errno.EOPNOTSUPP),
} satisfies Operation<typeof RQF_MGS_SET_INFO> as Operation;
