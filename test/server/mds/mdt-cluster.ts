/** A simulated MDT with real OSTs behind it, and clients that speak formats to it. */
import { Import } from '../../../lib/connection/import.ts';
import { TargetNode } from '../../../lib/connection/target-node.ts';
import { type Fid, makeFid, ROOT_FID } from '../../../lib/fid/fid.ts';
import { fidResource } from '../../../lib/fid/resource.ts';
import { ClientNamespace, type EnqueueResult } from '../../../lib/ldlm/client-namespace.ts';
import { LockCallbacks } from '../../../lib/ldlm/lock-callbacks.ts';
import { PtlRpc } from '../../../lib/rpc/ptlrpc.ts';
import { createMdt, MDT_TABLES, type Mdt } from '../../../lib/server/mds/mdt.ts';
import { createOst, OST_TABLES, type Ost } from '../../../lib/server/oss/ost.ts';
import { MemoryObjectDisk, MemoryObjectStore } from '../../../lib/server/store/memory-object-store.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import { createSimulation, type SimProcess, type Simulation } from '../../../lib/sim/simulation.ts';
import { ConnectFlag as CF, ConnectFlag2 as CF2 } from '../../../lib/wire/connection-constants.ts';
import {
  RQF_LDLM_INTENT_GETATTR,
  RQF_LDLM_INTENT_OPEN,
  RQF_MDS_CLOSE,
  RQF_MDS_READPAGE,
  RQF_MDS_REINT_CREATE_ACL,
  RQF_MDS_REINT_RENAME,
  RQF_MDS_REINT_UNLINK,
  RQF_SEQ_QUERY,
} from '../../../lib/wire/formats.ts';
import { IntentOpcode, LockMode, LockType } from '../../../lib/wire/ldlm-constants.ts';
import { MdValid, OpenFlag, Reint } from '../../../lib/wire/mds-constants.ts';
import { Portal } from '../../../lib/wire/opcodes.ts';

export const mdtNid = '10.0.0.1@tcp';
const ostNid = '10.0.0.3@tcp';
const flags =
  CF.OBD_CONNECT_VERSION |
  CF.OBD_CONNECT_FID |
  CF.OBD_CONNECT_ATTRFID |
  CF.OBD_CONNECT_FULL20 |
  CF.OBD_CONNECT_IBITS |
  CF.OBD_CONNECT_AT |
  CF.OBD_CONNECT_BRW_SIZE |
  CF.OBD_CONNECT_BULK_MBITS |
  CF.OBD_CONNECT_LAYOUTLOCK |
  CF.OBD_CONNECT_NODEVOH |
  CF.OBD_CONNECT_CANCELSET |
  CF.OBD_CONNECT_MULTIMODRPCS |
  CF.OBD_CONNECT_FLAGS2;
const { MDS_OPEN_CREAT, MDS_FMODE_READ } = OpenFlag;
/** root with all capabilities. */
const root = { cap: 0xffffffff, none: 0xffffffff };

export interface Disks {
  readonly mdt: MemoryDisk;
  readonly osts: readonly { readonly meta: MemoryDisk; readonly objects: MemoryObjectDisk }[];
}

export interface Servers {
  readonly mdt: Mdt;
  readonly osts: readonly Ost[];
  readonly store: ReturnType<typeof openMemoryStore>;
  readonly process: SimProcess;
}

export class MdtCluster {
  readonly sim: Simulation;
  readonly disks: Disks;
  #clients = 0;
  #starts = 0;

  constructor(osts = 2, seed = 1) {
    this.sim = createSimulation({ seed });
    this.disks = {
      mdt: new MemoryDisk(),
      osts: Array.from({ length: osts }, () => ({ meta: new MemoryDisk(), objects: new MemoryObjectDisk() })),
    };
  }

  async start(options: { readonly lockTimeoutMs?: number } = {}): Promise<Servers> {
    const process = this.sim.process(`servers ${++this.#starts}`);
    const { runtime } = process;
    const ostEndpoint = await process.network.open({ nid: ostNid });
    const ostNode = new TargetNode(new PtlRpc(ostEndpoint, runtime), runtime);
    const osts: Ost[] = [];
    for (const [index, disk] of this.disks.osts.entries()) {
      const ost = await createOst({
        runtime,
        endpoint: ostEndpoint,
        fsname: 'demo',
        index,
        objects: new MemoryObjectStore({ runtime, disk: disk.objects }),
        store: openMemoryStore({ tables: OST_TABLES, disk: disk.meta }),
      });
      ostNode.add(ost);
      osts.push(ost);
    }
    const endpoint = await process.network.open({ nid: mdtNid });
    const ptlrpc = new PtlRpc(endpoint, runtime);
    const store = openMemoryStore({ tables: MDT_TABLES, disk: this.disks.mdt });
    const statfs = async () => ({
      blockSize: 4096,
      blocks: 1000n,
      free: 900n,
      available: 800n,
      files: 100n,
      filesFree: 90n,
    });
    const mdt = await createMdt({ runtime, ptlrpc, store, fsname: 'demo', statfs, ...options });
    const node = new TargetNode(ptlrpc, runtime);
    node.add(mdt);
    for (const ost of osts) mdt.addOst({ index: ost.index, name: ost.name, uuid: ost.uuid, nids: [ostNid] });
    return { mdt, osts, store, process };
  }

  /** Waits in virtual time. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.sim.runtime.after(1, resolve));
  }

  async client(): Promise<MdtClient> {
    const nid = `10.0.1.${++this.#clients}@tcp`;
    const endpoint = await this.sim.network.open({ nid });
    const { runtime } = this.sim;
    const ptlrpc = new PtlRpc(endpoint, runtime);
    const imp = new Import({
      runtime,
      ptlrpc,
      target: { name: 'demo-MDT0000', uuid: 'demo-MDT0000_UUID', kind: 'mdt' },
      nids: [mdtNid],
      clientUuid: `client-${nid}`,
      ask: {
        ocd_connect_flags: flags,
        ocd_connect_flags2: CF2.OBD_CONNECT2_REP_MBITS | CF2.OBD_CONNECT2_INC_XID,
        ocd_version: 0x02110000,
        ocd_brw_size: 1 << 20,
        ocd_ibits_known: 0x7fn,
      },
    });
    const callbacks = new LockCallbacks(ptlrpc, runtime);
    const locks = new ClientNamespace({ name: 'demo-MDT0000', runtime, import: imp });
    callbacks.add(locks);
    await imp.connect();
    return new MdtClient(imp, locks, ptlrpc);
  }
}

export class MdtClient {
  readonly imp: Import;
  readonly locks: ClientNamespace;
  readonly ptlrpc: PtlRpc;
  time = 1_800_000_000n;
  #seq = 0n;
  #oid = 0;

  constructor(imp: Import, locks: ClientNamespace, ptlrpc: PtlRpc) {
    this.imp = imp;
    this.locks = locks;
    this.ptlrpc = ptlrpc;
  }

  async newFid(): Promise<Fid> {
    if (this.#seq === 0n) {
      const { values } = await this.imp.call(RQF_SEQ_QUERY, { seq_opc: 1, seq_range: {} });
      this.#seq = values.seq_range!.lsr_start;
    }
    return makeFid(this.#seq, ++this.#oid);
  }

  identity(prefix: string): { [key: string]: number } {
    return {
      [`${prefix}_cap`]: root.cap,
      [`${prefix}_suppgid1`]: root.none,
      [`${prefix}_suppgid2`]: root.none,
    };
  }

  /** Looks a name up with an intent; the lock stays cached. */
  async getattr(parent: Fid, name: string, opcode: number = IntentOpcode.IT_GETATTR) {
    const result = await this.locks.enqueue({
      resource: fidResource(parent),
      type: LockType.LDLM_IBITS,
      mode: LockMode.LCK_CR,
      policy: { inodeBits: 3n },
      flags: 0x1000,
      intent: {
        format: RQF_LDLM_INTENT_GETATTR,
        buffers: {
          ldlm_intent: { opc: BigInt(opcode) },
          mdt_body: {
            mbo_fid1: parent,
            mbo_valid: MdValid.OBD_MD_FLGETATTR | MdValid.OBD_MD_FLEASIZE | MdValid.OBD_MD_FLMODEASIZE,
            mbo_capability: root.cap,
            mbo_suppgid: root.none,
            mbo_eadatasize: 4096,
          },
          name,
        },
      },
    });
    if (result.lock !== undefined) this.locks.release(result.lock);
    return describe(result);
  }

  async open(
    parent: Fid,
    name: string,
    options: { flags?: bigint; mode?: number; fid?: Fid; uid?: number; cap?: number; ea?: Uint8Array } = {},
  ) {
    const openFlags = options.flags ?? MDS_FMODE_READ;
    const creates = (openFlags & MDS_OPEN_CREAT) !== 0n;
    const fid2 = options.fid ?? (creates ? await this.newFid() : makeFid(0n, 0));
    const result = await this.locks.enqueue({
      resource: fidResource(parent),
      type: LockType.LDLM_IBITS,
      mode: creates ? LockMode.LCK_CW : LockMode.LCK_CR,
      policy: { inodeBits: creates ? 2n : 1n },
      flags: 0x1000,
      modifies: true,
      intent: {
        format: RQF_LDLM_INTENT_OPEN,
        buffers: {
          ldlm_intent: { opc: BigInt(creates ? IntentOpcode.IT_OPEN_CREAT : IntentOpcode.IT_OPEN) },
          rec_reint: {
            cr_opcode: Reint.REINT_OPEN,
            cr_fsuid: options.uid ?? 0,
            cr_cap: options.cap ?? root.cap,
            cr_suppgid1: root.none,
            cr_suppgid2: root.none,
            cr_fid1: parent,
            cr_fid2: fid2,
            cr_time: this.time,
            cr_mode: 0o100000 | (options.mode ?? 0o644),
            cr_flags_l: Number(openFlags & 0xffffffffn),
            cr_flags_h: Number(openFlags >> 32n),
            cr_umask: 0o22,
          },
          name,
          eadata: options.ea ?? new Uint8Array(128),
        },
      },
    });
    if (result.lock !== undefined) this.locks.release(result.lock);
    return describe(result);
  }

  close(handle: bigint, fid: Fid, more: object = {}) {
    return this.imp.call(
      RQF_MDS_CLOSE,
      {
        mdt_epoch: { mio_open_handle: handle },
        rec_reint: { sa_opcode: Reint.REINT_SETATTR, sa_fid: fid, sa_valid: 0n, ...more },
      },
      { modifies: true },
    );
  }

  async mkdir(parent: Fid, name: string, more: object = {}): Promise<Fid> {
    const fid = await this.newFid();
    await this.imp.call(
      RQF_MDS_REINT_CREATE_ACL,
      {
        rec_reint: {
          cr_opcode: Reint.REINT_CREATE,
          ...this.identity('cr'),
          cr_fid1: parent,
          cr_fid2: fid,
          cr_mode: 0o40777,
          cr_umask: 0o22,
          cr_time: this.time,
          ...more,
        },
        name,
        eadata: new Uint8Array(0),
      },
      { modifies: true },
    );
    return fid;
  }

  unlink(parent: Fid, name: string, directory = false) {
    return this.imp.call(
      RQF_MDS_REINT_UNLINK,
      {
        rec_reint: {
          ul_opcode: Reint.REINT_UNLINK,
          ...this.identity('ul'),
          ul_fid1: parent,
          ul_mode: directory ? 0o40000 : 0o100000,
          ul_time: this.time,
        },
        name,
      },
      { modifies: true },
    );
  }

  rename(from: Fid, fromName: string, to: Fid, toName: string) {
    return this.imp.call(
      RQF_MDS_REINT_RENAME,
      {
        rec_reint: {
          rn_opcode: Reint.REINT_RENAME,
          ...this.identity('rn'),
          rn_fid1: from,
          rn_fid2: to,
          rn_time: this.time,
        },
        name: fromName,
        symtgt: toName,
      },
      { modifies: true },
    );
  }

  /** Names of a directory, in listed order. */
  async list(fid: Fid = ROOT_FID): Promise<string[]> {
    const memory = this.ptlrpc.endpoint.allocate(1 << 20);
    const { bulkBytes } = await this.imp.call(
      RQF_MDS_READPAGE,
      { mdt_body: { mbo_fid1: fid, mbo_nlink: 1 << 20, mbo_size: 0n, mbo_mode: 3 } },
      {
        bulk: {
          direction: 'sink',
          portal: Portal.MDS_BULK_PORTAL,
          segments: [{ memory, offset: 0, length: 1 << 20 }],
        },
      },
    );
    const names: string[] = [];
    for (let page = 0; page < bulkBytes; page += 4096) {
      const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset + page, 4096);
      if ((view.getUint32(16, true) & 1) !== 0) continue;
      for (let at = 24; ; ) {
        const length = view.getUint16(at + 24, true);
        const size = view.getUint16(at + 26, true);
        names.push(Buffer.from(memory.bytes.subarray(page + at + 32, page + at + 32 + size)).toString());
        if (length === 0) break;
        at += length;
      }
    }
    memory.release();
    return names;
  }
}

function describe<F extends typeof RQF_LDLM_INTENT_GETATTR | typeof RQF_LDLM_INTENT_OPEN>(
  result: EnqueueResult<F>,
) {
  const values = result.reply.values as EnqueueResult<typeof RQF_LDLM_INTENT_GETATTR>['reply']['values'];
  const rep = values.dlm_rep!;
  return {
    status: result.status,
    transno: result.reply.transno,
    disposition: Number(rep.lock_policy_res1),
    result: Number(BigInt.asIntN(64, rep.lock_policy_res2)),
    bits: result.lock?.policy.inodeBits,
    lock: result.lock,
    rep,
    body: values.mdt_body!,
    md: values.mdt_md === undefined ? undefined : Uint8Array.from(values.mdt_md),
  };
}
