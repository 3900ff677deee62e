/**
 * A metadata target (guides 09, 16): the root of a file system and what is below it, over one store, with objects on the
 * OSTs that it is told of.
 */

import { Import } from '../../connection/import.ts';
import type { Export, Operation, Target } from '../../connection/target.ts';
import { ROOT_FID } from '../../fid/fid.ts';
import { ServerNamespace } from '../../ldlm/server-namespace.ts';
import type { Intent } from '../../ldlm/server-operations.ts';
import type { Nid } from '../../lnet/nid.ts';
import type { PtlRpc } from '../../rpc/ptlrpc.ts';
import { type Runtime, withLog } from '../../runtime/runtime.ts';
import { ConnectFlag as F, ConnectFlag2 as F2 } from '../../wire/connection-constants.ts';
import { LovConstant } from '../../wire/layout-constants.ts';
import { IntentOpcode } from '../../wire/ldlm-constants.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { le32, struct } from '../../wire/struct.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import { LUSTRE_VERSION } from '../version.ts';
import { mdtConnect } from './connect.ts';
import { Mode } from './credential.ts';
import type { DefaultLayout } from './file-layout.ts';
import { MetadataTarget, type Storage } from './metadata-target.ts';
import { newInode } from './namespace.ts';
import { DIRECTORY_SIZE } from './namespace-create.ts';
import { destroy } from './namespace-remove.ts';
import { ObjectAllocator } from './object-allocator.ts';
import { batch } from './operations/batch.ts';
import { close } from './operations/close.ts';
import { getInfo, setInfo } from './operations/get-info.ts';
import { getRoot } from './operations/get-root.ts';
import { getattr, getattrName } from './operations/getattr.ts';
import { getxattr } from './operations/getxattr.ts';
import { hsmStateGet, hsmStateSet } from './operations/hsm-state.ts';
import { intentGetattr } from './operations/intent-getattr.ts';
import { intentGetxattr } from './operations/intent-getxattr.ts';
import { intentLayout } from './operations/intent-layout.ts';
import { intentOpen } from './operations/intent-open.ts';
import { readpage } from './operations/readpage.ts';
import { reint } from './operations/reint.ts';
import { fldQuery, fldRead, seqQuery } from './operations/sequences.ts';
import { statfs } from './operations/statfs.ts';
import { sync } from './operations/sync.ts';
import { Osp, type OstImport } from './osp.ts';
import { MdtTable, mdtTables } from './records.ts';
import { Sequences } from './sequences.ts';

/** Tables that a metadata target keeps in its store. */
export const MDT_TABLES: readonly string[] = mdtTables;

export interface OstDescription {
  readonly index: number;
  /** `demo-OST0001`. */
  readonly name: string;
  readonly uuid: string;
  readonly nids: readonly Nid[];
}

export interface MdtOptions {
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  /** With MDT_TABLES. The caller closes it after `stop`. */
  readonly store: KeyValueStore;
  readonly fsname: string;
  /** Default 0, the only one that there is so far. */
  readonly index?: number;
  /** Free space of the store (store/disk-space.ts). */
  readonly statfs: () => Promise<Storage>;
  /** Of files whose creators and directories do not say; default 1 stripe of 4 MiB. */
  readonly defaultLayout?: Partial<DefaultLayout>;
  /** How long a client may take to give back a lock, milliseconds. */
  readonly lockTimeoutMs?: number;
  /** Connects to an OST; default an Import over `ptlrpc`. */
  readonly connectOst?: (ost: OstDescription) => OstImport;
}

/** A metadata target, ready to be added to a TargetNode. */
export interface Mdt extends Target {
  readonly index: number;
  /** Tells it of an OST, at any time; again for one that it knows is no news. */
  addOst(ost: OstDescription): void;
  /** Disconnects from the OSTs and waits for the store; the target must have been removed from its node. */
  stop(): Promise<void>;
  /** For status pages and tests. */
  readonly core: MetadataTarget;
}

const Boots = struct('boots', 8, { boots: [0, le32] });
const BOOTS = Buffer.from('boots');

/** `demo-MDT0000`. */
export function mdtName(fsname: string, index: number): string {
  return `${fsname}-MDT${index.toString(16).padStart(4, '0')}`;
}

/** Opens a target over its store; makes the root in an empty one. Rejects with the store's errors. */
export async function createMdt(options: MdtOptions): Promise<Mdt> {
  const index = options.index ?? 0;
  const name = mdtName(options.fsname, index);
  const runtime = withLog(options.runtime, { target: name });
  const { store } = options;
  const boots = await countBoot(store);
  const objects = new ObjectAllocator(runtime);
  const sequences = new Sequences(store, index);
  await sequences.start();
  const timeoutMs = options.lockTimeoutMs;
  const core = new MetadataTarget({
    name,
    index,
    runtime,
    ptlrpc: options.ptlrpc,
    store,
    locks: new ServerNamespace({ name, runtime, ...(timeoutMs === undefined ? {} : { timeoutMs }) }),
    objects,
    sequences,
    defaultLayout: {
      stripeCount: options.defaultLayout?.stripeCount ?? 1,
      stripeSize: options.defaultLayout?.stripeSize ?? LovConstant.LOV_DESC_STRIPE_SIZE_DEFAULT,
    },
    statfs: options.statfs,
    epoch: BigInt(boots) << 32n,
  });
  await makeRoot(core);
  await removeOrphans(core);
  const connectOst =
    options.connectOst ?? ((ost) => importOf(options, `${name}-mdtlov_UUID`, ost, index, runtime));
  return {
    name,
    uuid: `${name}_UUID`,
    index,
    replayable: true,
    operations: operationsOf(core),
    connect: (asked) => mdtConnect(asked, boots),
    onDisconnect: (client) => disconnect(core, client),
    lastCommitted: () => core.lastCommitted,
    lockVolume: () => core.locks.volume,
    lastRcvd: core.lastRcvd,
    core,
    addOst(ost) {
      if (objects.get(ost.index) !== undefined) return;
      const osp = new Osp({
        index: ost.index,
        name: ost.name,
        import: connectOst(ost),
        store,
        runtime,
        onChange: () => objects.changed(),
      });
      objects.add(osp);
      osp.start();
    },
    async stop() {
      await Promise.all(objects.osps.map((osp) => osp.stop()));
      await store.sync();
    },
  };
}

/** Each start has transnos of its own, above all earlier ones. */
async function countBoot(store: KeyValueStore): Promise<number> {
  return store.transact((tx) => {
    const table = tx.table(MdtTable.target);
    const bytes = table.get(BOOTS);
    const boots = (bytes === undefined ? 0 : Boots.decode(bytes).boots) + 1;
    table.put(BOOTS, Boots.encode({ boots }));
    return boots;
  });
}

async function makeRoot(core: MetadataTarget): Promise<void> {
  if (core.view.find(ROOT_FID) !== undefined) return;
  const now = core.now();
  const times = { atime: now, mtime: now, ctime: now, btime: now };
  await core.modifyOwn((ns) =>
    ns.putInode(
      ROOT_FID,
      newInode({
        mode: Mode.S_IFDIR | 0o755,
        nlink: 2,
        size: DIRECTORY_SIZE,
        blocks: 8n,
        parent: { ...ROOT_FID },
        ...times,
      }),
    ),
  );
}

/** Nobody has them open any more (guide 09 §5.4; opens are not replayed yet). */
async function removeOrphans(core: MetadataTarget): Promise<void> {
  for (const fid of core.view.orphans()) await core.modifyOwn((ns) => destroy(ns, fid, core.removal));
}

async function disconnect(core: MetadataTarget, client: Export): Promise<void> {
  core.locks.dropExport(client);
  await core.closeAll(client);
}

function operationsOf(core: MetadataTarget): Map<number, Operation> {
  const open: Intent = intentOpen(core) as Intent;
  const attributes: Intent = intentGetattr(core) as Intent;
  const intents = new Map<number, Intent>([
    [IntentOpcode.IT_OPEN, open],
    [IntentOpcode.IT_OPEN_CREAT, open],
    [IntentOpcode.IT_GETATTR, attributes],
    [IntentOpcode.IT_LOOKUP, attributes],
    [IntentOpcode.IT_GETXATTR, intentGetxattr(core) as Intent],
    [IntentOpcode.IT_LAYOUT, intentLayout(core) as Intent],
  ]);
  const own: [number, Operation][] = [
    [Opcode.MDS_GET_ROOT, getRoot(core)],
    [Opcode.MDS_STATFS, statfs(core)],
    [Opcode.MDS_GETATTR, getattr(core)],
    [Opcode.MDS_GETATTR_NAME, getattrName(core)],
    [Opcode.MDS_GETXATTR, getxattr(core)],
    [Opcode.MDS_READPAGE, readpage(core)],
    [Opcode.MDS_CLOSE, close(core)],
    [Opcode.MDS_SYNC, sync(core)],
    [Opcode.MDS_HSM_STATE_GET, hsmStateGet(core)],
    [Opcode.MDS_HSM_STATE_SET, hsmStateSet(core)],
    [Opcode.MDS_REINT, reint(core)],
    [Opcode.MDS_BATCH, batch(core)],
    [Opcode.MDS_GET_INFO, getInfo(core)],
    [Opcode.MDS_SET_INFO, setInfo(core)],
    [Opcode.SEQ_QUERY, seqQuery(core)],
    [Opcode.FLD_QUERY, fldQuery(core)],
    [Opcode.FLD_READ, fldRead(core)],
  ];
  return new Map<number, Operation>([...core.locks.operations({ intents }), ...own]);
}

/** As the reference's OSP connects (guide 16 §11.1): it is an MDT, knows FIDs, and never has ids used again. */
function importOf(
  options: MdtOptions,
  clientUuid: string,
  ost: OstDescription,
  index: number,
  runtime: Runtime,
): OstImport {
  const flags =
    F.OBD_CONNECT_INDEX |
    F.OBD_CONNECT_VERSION |
    F.OBD_CONNECT_AT |
    F.OBD_CONNECT_FULL20 |
    F.OBD_CONNECT_MDS |
    F.OBD_CONNECT_SKIP_ORPHAN |
    F.OBD_CONNECT_FID |
    F.OBD_CONNECT_LVB_TYPE |
    F.OBD_CONNECT_BULK_MBITS |
    F.OBD_CONNECT_FLAGS2;
  return new Import({
    runtime,
    ptlrpc: options.ptlrpc,
    target: { name: ost.name, uuid: ost.uuid, kind: 'ost' },
    nids: ost.nids,
    clientUuid,
    ask: {
      ocd_connect_flags: flags,
      ocd_connect_flags2: F2.OBD_CONNECT2_REP_MBITS,
      ocd_version: LUSTRE_VERSION,
      ocd_index: ost.index,
      ocd_group: index,
    },
  });
}
