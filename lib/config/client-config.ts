/**
 * What a client makes of `<fsname>-client` (guide 14 §4, guide 05 §5): the commands are run as a kernel client runs them,
 * on a model of the devices that it would set up, and what stands at the end is the list of targets. Commands outside a
 * START/END pair of markers are passed over, and so is a whole block whose START says SKIP.
 */

import type { LlogRecord } from '../llog/record.ts';
import type { Nid } from '../lnet/nid.ts';
import { nidFromBits, parseNid } from '../lnet/nid.ts';
import { ProtocolError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/runtime.ts';
import { ConfigCommand, ConfigOther, MarkerFlag } from '../wire/connection-constants.ts';
import { LovDesc } from '../wire/connection-structs.ts';
import { type ConfigRecord, configMarker, configText, decodeConfigRecord } from './config-record.ts';

/** A server target as the log describes it. */
export interface TargetConfig {
  readonly index: number;
  /** `demo-MDT0000`. */
  readonly name: string;
  /** `demo-MDT0000_UUID`. */
  readonly uuid: string;
  /** A list per node that may serve it, the primary first; each node's list is its NIDs (guide 14 §5). */
  readonly nids: readonly (readonly Nid[])[];
  /** False for LOV_ADD_INA and EXCLUDE: known, but not to be used. */
  readonly active: boolean;
}

/** A parameter of clients as a record has it. */
export interface ConfigParameter {
  /** `lab-OST0001-osc`; `general` where the parameter names it itself. */
  readonly device: string;
  /** `osc.active=0`, `osc.*.active=0`. */
  readonly parameter: string;
}

/** A file system as its configuration log describes it. */
export interface FilesystemConfig {
  readonly fsname: string;
  readonly profile: string;
  /** By index. */
  readonly mdts: readonly TargetConfig[];
  readonly osts: readonly TargetConfig[];
  /** Default layout and the like, from "lov setup". */
  readonly lovDesc: LovDesc;
  /** PARAM records in order. */
  readonly params: readonly ConfigParameter[];
  /** Pools by name: UUIDs of their OSTs. */
  readonly pools: ReadonlyMap<string, readonly string[]>;
  /** obd_timeout in seconds, where the log sets it. */
  readonly timeout?: number;
}

interface Device {
  readonly type: string;
  target?: string;
  readonly nodes: string[];
}

/** ld_magic, which stands in ld_active_tgt_count (guide 14 §5). */
const LOV_MAGIC = 0xb0ccde5c;
const TARGETS_MAX = 0xffff;
const { LCFG_REQUIRED } = ConfigOther;
const C = ConfigCommand;

/** Runs records of a log; more may be added later (a log only grows). */
export class ConfigInterpreter {
  readonly #log: Logger;
  readonly #name: string;
  readonly #devices = new Map<string, Device>();
  readonly #nids = new Map<string, Nid[]>();
  readonly #targets = new Map<
    string,
    { kind: 'mdt' | 'ost'; index: number; device: string; active: boolean }
  >();
  readonly #params: { device: string; parameter: string }[] = [];
  readonly #pools = new Map<string, string[]>();
  #profile: { name: string; lov: string; lmv: string } | undefined;
  #lovDesc: LovDesc | undefined;
  #timeout: number | undefined;
  #block: 'outside' | 'inside' | 'skipping' = 'outside';
  #exclude = false;

  /** `name` is the log's, for messages. */
  constructor(name: string, log: Logger) {
    this.#name = name;
    this.#log = log;
  }

  /** Throws ERR_LUSTRE_CONFIG for a malformed record, and for an unknown command that is required. */
  run(records: Iterable<LlogRecord>): void {
    for (const record of records) this.#one(record.index, decodeConfigRecord(record));
  }

  #one(index: number, record: ConfigRecord): void {
    if (record.command === C.LCFG_MARKER) return this.#marker(record);
    if (this.#block === 'skipping') return;
    if (this.#block === 'outside') {
      this.#log.warn(
        { log: this.#name, record: index },
        'configuration record outside of markers passed over',
      );
      return;
    }
    const run = this.#commands[record.command];
    if (run !== undefined) return run(record);
    if ((record.command & LCFG_REQUIRED) !== 0) {
      throw this.#bad(
        `record ${index} has the required command 0x${record.command.toString(16)}, which is unknown`,
      );
    }
    this.#log.warn(
      { log: this.#name, command: record.command },
      'unknown optional configuration command ignored',
    );
  }

  #marker(record: ConfigRecord): void {
    const marker = configMarker(record);
    if ((marker.cm_flags & MarkerFlag.CM_START) !== 0) {
      const skip = (marker.cm_flags & MarkerFlag.CM_SKIP) !== 0;
      this.#block = skip ? 'skipping' : 'inside';
      this.#exclude = (marker.cm_flags & MarkerFlag.CM_EXCLUDE) !== 0;
    } else if ((marker.cm_flags & MarkerFlag.CM_END) !== 0) {
      this.#block = 'outside';
      this.#exclude = false;
    }
  }

  readonly #commands: { readonly [command: number]: (record: ConfigRecord) => void } = {
    [C.LCFG_ATTACH]: (r) => {
      this.#devices.set(configText(r, 0), { type: configText(r, 1), nodes: [] });
    },
    [C.LCFG_SETUP]: (r) => this.#setup(r),
    [C.LCFG_ADD_UUID]: (r) => this.#addUuid(r),
    [C.LCFG_ADD_CONN]: (r) => {
      this.#device(r).nodes.push(configText(r, 1));
    },
    [C.LCFG_DEL_CONN]: (r) => {
      const nodes = this.#device(r).nodes;
      const at = nodes.indexOf(configText(r, 1));
      if (at >= 0) nodes.splice(at, 1);
    },
    [C.LCFG_DEL_UUID]: (r) => {
      this.#nids.delete(configText(r, 1));
    },
    [C.LCFG_MOUNTOPT]: (r) => {
      this.#profile = { name: configText(r, 1), lov: configText(r, 2), lmv: configText(r, 3) };
    },
    [C.LCFG_DEL_MOUNTOPT]: () => {
      this.#profile = undefined;
    },
    [C.LCFG_LOV_ADD_OBD]: (r) => this.#addTarget(r, 'ost', !this.#exclude),
    [C.LCFG_LOV_ADD_INA]: (r) => this.#addTarget(r, 'ost', false),
    [C.LCFG_LOV_DEL_OBD]: (r) => {
      this.#targets.delete(configText(r, 1));
    },
    [C.LCFG_ADD_MDC]: (r) => this.#addTarget(r, 'mdt', !this.#exclude),
    [C.LCFG_DEL_MDC]: (r) => {
      this.#targets.delete(configText(r, 1));
    },
    [C.LCFG_PARAM]: (r) => {
      this.#params.push({ device: configText(r, 0), parameter: configText(r, 1) });
    },
    [C.LCFG_SET_PARAM]: (r) => {
      this.#params.push({ device: configText(r, 0), parameter: configText(r, 1) });
    },
    [C.LCFG_SET_TIMEOUT]: (r) => {
      this.#timeout = r.number;
    },
    [C.LCFG_SET_LDLM_TIMEOUT]: () => undefined,
    [C.LCFG_SPTLRPC_CONF]: () => undefined,
    [C.LCFG_CLEANUP]: (r) => {
      this.#devices.delete(configText(r, 0));
    },
    [C.LCFG_DETACH]: (r) => {
      this.#devices.delete(configText(r, 0));
    },
    [C.LCFG_POOL_NEW]: (r) => {
      this.#pools.set(configText(r, 2), []);
    },
    [C.LCFG_POOL_ADD]: (r) => {
      this.#pools.get(configText(r, 2))?.push(configText(r, 3));
    },
    [C.LCFG_POOL_REM]: (r) => {
      const members = this.#pools.get(configText(r, 2)) ?? [];
      const at = members.indexOf(configText(r, 3));
      if (at >= 0) members.splice(at, 1);
    },
    [C.LCFG_POOL_DEL]: (r) => {
      this.#pools.delete(configText(r, 2));
    },
  };

  #device(record: ConfigRecord): Device {
    const name = configText(record, 0);
    const device = this.#devices.get(name);
    if (device === undefined)
      throw this.#bad(`a command is for the device ${name}, which was never attached`);
    return device;
  }

  #setup(record: ConfigRecord): void {
    const device = this.#device(record);
    if (device.type === 'lov' || device.type === 'lmv') {
      const bytes = record.buffers[1];
      if (bytes === undefined || bytes.length < LovDesc.size)
        throw this.#bad(`${device.type} setup is cut off`);
      if (device.type !== 'lov') return;
      const desc = LovDesc.decode(bytes);
      if (desc.ld_active_tgt_count !== LOV_MAGIC) throw this.#bad('lov setup has a wrong magic');
      this.#lovDesc = desc;
      return;
    }
    device.target = configText(record, 1);
    device.nodes.unshift(configText(record, 2));
  }

  #addUuid(record: ConfigRecord): void {
    const node = configText(record, 1);
    const large = configText(record, 2);
    let nid: Nid;
    try {
      nid = record.nid !== 0n ? nidFromBits(record.nid) : parseNid(large);
    } catch (error) {
      this.#log.warn({ log: this.#name, nid: large, error }, 'NID that cannot be used ignored');
      return;
    }
    const nids = this.#nids.get(node) ?? [];
    this.#nids.set(node, nids);
    if (!nids.includes(nid)) nids.push(nid);
  }

  #addTarget(record: ConfigRecord, kind: 'mdt' | 'ost', active: boolean): void {
    const uuid = configText(record, 1);
    const text = configText(record, 2);
    const index = Number(text);
    if (!/^\d{1,5}$/.test(text) || index > TARGETS_MAX)
      throw this.#bad(`target ${uuid} has the index '${text}'`);
    const device = [...this.#devices].findLast(([, d]) => d.target === uuid)?.[0];
    if (device === undefined) throw this.#bad(`target ${uuid} is added before its device is set up`);
    this.#targets.set(uuid, { kind, index, device, active });
  }

  /** What the records so far describe. Throws ERR_LUSTRE_CONFIG when no profile or no lov was set up. */
  config(fsname: string): FilesystemConfig {
    if (this.#profile === undefined) throw this.#bad('names no profile (a MOUNTOPT record)');
    if (this.#lovDesc === undefined) throw this.#bad('sets no lov up');
    return {
      fsname,
      profile: this.#profile.name,
      mdts: this.#list('mdt'),
      osts: this.#list('ost'),
      lovDesc: this.#lovDesc,
      params: [...this.#params],
      pools: new Map([...this.#pools].map(([name, members]) => [name, [...members]])),
      ...(this.#timeout === undefined ? {} : { timeout: this.#timeout }),
    };
  }

  /** What a log of parameters says, which describes no file system. */
  get params(): readonly ConfigParameter[] {
    return this.#params;
  }

  /** The OSTs alone: what an MDT takes from its own log, which has no client profile. */
  osts(): TargetConfig[] {
    return this.#list('ost');
  }

  #list(kind: 'mdt' | 'ost'): TargetConfig[] {
    const list: TargetConfig[] = [];
    for (const [uuid, target] of this.#targets) {
      if (target.kind !== kind) continue;
      const nodes = this.#devices.get(target.device)?.nodes ?? [];
      list.push({
        index: target.index,
        name: uuid.replace(/_UUID$/, ''),
        uuid,
        nids: nodes.map((node) => this.#nids.get(node) ?? []).filter((nids) => nids.length > 0),
        active: target.active,
      });
    }
    return list.sort((a, b) => a.index - b.index);
  }

  #bad(what: string): ProtocolError {
    return new ProtocolError('ERR_LUSTRE_CONFIG', `Configuration log ${this.#name}: ${what}`);
  }
}
