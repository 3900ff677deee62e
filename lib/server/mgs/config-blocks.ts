/**
 * The blocks of commands that an MGS writes into configuration logs (guide 14 §5, §6; guide 05 §5), in a kernel MGS's
 * order and content. A block becomes records between a START and an END marker.
 */

import { encodeConfigRecord } from '../../config/config-record.ts';
import { type Nid, nidToBits } from '../../lnet/nid.ts';
import { ConfigCommand, MarkerFlag } from '../../wire/connection-constants.ts';
import { CfgMarker, LmvDesc, LovDesc } from '../../wire/connection-structs.ts';

/** Commands between two markers. */
export interface ConfigBlock {
  /** cm_tgtname. */
  readonly target: string;
  /** cm_comment: `add osc`. */
  readonly comment: string;
  readonly commands: readonly Uint8Array[];
}

/** A target as it registered. `nodes`: NIDs of each node that may serve it, the primary first. */
export interface RegisteredTarget {
  readonly kind: 'mdt' | 'ost';
  readonly index: number;
  readonly nodes: readonly (readonly Nid[])[];
}

const C = ConfigCommand;
/** cm_comment has 64 bytes. */
const COMMENT_MAX = 63;
const LOV_MAGIC = 0xb0ccde5c;
const DEFAULT_STRIPE_SIZE = 4n << 20n;

/** `demo-OST0001`. */
export function targetName(fsname: string, kind: 'mdt' | 'ost', index: number): string {
  return `${fsname}-${kind.toUpperCase()}${index.toString(16).padStart(4, '0')}`;
}

export function clientLogName(fsname: string): string {
  return `${fsname}-client`;
}

/** A parameter for all clients, in the log `params`: `lctl set_param -P`. */
export function setParam(parameter: string): ConfigBlock {
  const [name = ''] = parameter.split('=', 1);
  const commands = [encodeConfigRecord(C.LCFG_SET_PARAM, ['general', parameter])];
  return { target: 'general', comment: name.slice(0, COMMENT_MAX), commands };
}

/** "lov setup" of a client (`demo-clilov`) or of an MDT (`demo-MDT0000-mdtlov`). */
export function lovSetup(device: string, markerTarget: string): ConfigBlock {
  const desc = LovDesc.encode({
    ld_active_tgt_count: LOV_MAGIC,
    ld_default_stripe_count: 1,
    ld_pattern: 1,
    ld_default_stripe_size: DEFAULT_STRIPE_SIZE,
    ld_default_stripe_offset: -1n,
    ld_qos_maxage: 5,
    ld_uuid: `${device}_UUID`,
  });
  return {
    target: markerTarget,
    comment: 'lov setup',
    commands: [
      encodeConfigRecord(C.LCFG_ATTACH, [device, 'lov', `${device}_UUID`]),
      encodeConfigRecord(C.LCFG_SETUP, [device, desc]),
    ],
  };
}

export function lmvSetup(device: string): ConfigBlock {
  return {
    target: device,
    comment: 'lmv setup',
    commands: [
      encodeConfigRecord(C.LCFG_ATTACH, [device, 'lmv', `${device}_UUID`]),
      encodeConfigRecord(C.LCFG_SETUP, [device, LmvDesc.encode({ ld_uuid: `${device}_UUID` })]),
    ],
  };
}

export function mountOptions(fsname: string): ConfigBlock {
  const log = clientLogName(fsname);
  return {
    target: log,
    comment: 'mount opts',
    commands: [encodeConfigRecord(C.LCFG_MOUNTOPT, ['', log, `${fsname}-clilov`, `${fsname}-clilmv`])],
  };
}

/** ADD_UUID of every NID of a node; the node's name is its first NID. */
function nodeNids(nids: readonly Nid[]): Uint8Array[] {
  return nids.map((nid) => encodeConfigRecord(C.LCFG_ADD_UUID, ['', nids[0]], { nid: nidToBits(nid) }));
}

/** ATTACH and SETUP of a device that talks to `target`, with its nodes (primary before, others after SETUP). */
function connection(
  device: string,
  type: string,
  owner: string,
  target: string,
  nodes: RegisteredTarget['nodes'],
): Uint8Array[] {
  const [primary = [], ...others] = nodes;
  return [
    ...nodeNids(primary),
    encodeConfigRecord(C.LCFG_ATTACH, [device, type, `${owner}_UUID`]),
    encodeConfigRecord(C.LCFG_SETUP, [device, `${target}_UUID`, primary[0]]),
    ...others.flatMap((nids) => [...nodeNids(nids), encodeConfigRecord(C.LCFG_ADD_CONN, [device, nids[0]])]),
  ];
}

/** "add mdc": an MDT in the client's log. */
export function addMdc(fsname: string, mdt: RegisteredTarget): ConfigBlock {
  const name = targetName(fsname, 'mdt', mdt.index);
  const lmv = `${fsname}-clilmv`;
  const device = `${name}-mdc`;
  return {
    target: name,
    comment: 'add mdc',
    commands: [
      ...connection(device, 'mdc', lmv, name, mdt.nodes),
      encodeConfigRecord(C.LCFG_ADD_MDC, [lmv, `${name}_UUID`, String(mdt.index), '1', `${device}_UUID`]),
    ],
  };
}

/** "add osc": an OST in the client's log, or in an MDT's (`mdtIndex`). */
export function addOsc(fsname: string, ost: RegisteredTarget, mdtIndex?: number): ConfigBlock {
  const name = targetName(fsname, 'ost', ost.index);
  const mdt = mdtIndex === undefined ? undefined : targetName(fsname, 'mdt', mdtIndex);
  const lov = mdt === undefined ? `${fsname}-clilov` : `${mdt}-mdtlov`;
  const device = mdt === undefined ? `${name}-osc` : `${name}-osc-${mdt.slice(mdt.lastIndexOf('-') + 1)}`;
  return {
    target: name,
    comment: 'add osc',
    commands: [
      ...connection(device, 'osc', lov, name, ost.nodes),
      encodeConfigRecord(C.LCFG_LOV_ADD_OBD, [lov, `${name}_UUID`, String(ost.index), '1']),
    ],
  };
}

/** "add osp": an MDT in another MDT's log. */
export function addOsp(fsname: string, mdt: RegisteredTarget, ownerIndex: number): ConfigBlock {
  const name = targetName(fsname, 'mdt', mdt.index);
  const owner = targetName(fsname, 'mdt', ownerIndex);
  const lov = `${owner}-mdtlov`;
  const device = `${name}-osp-${owner.slice(owner.lastIndexOf('-') + 1)}`;
  return {
    target: name,
    comment: 'add osp',
    commands: [
      ...connection(device, 'osp', lov, name, mdt.nodes),
      encodeConfigRecord(C.LCFG_ADD_MDC, [lov, `${name}_UUID`, String(mdt.index), '1']),
    ],
  };
}

/** "add mdt": the MDT's own set-up in its own log. */
export function addMdt(fsname: string, index: number): ConfigBlock {
  const name = targetName(fsname, 'mdt', index);
  const lov = `${name}-mdtlov`;
  return {
    target: name,
    comment: 'add mdt',
    commands: [
      encodeConfigRecord(C.LCFG_ATTACH, [name, 'mdt', `${name}_UUID`]),
      encodeConfigRecord(C.LCFG_MOUNTOPT, ['', name, lov]),
      encodeConfigRecord(C.LCFG_SETUP, [name, `${name}_UUID`, String(index), lov, 'f']),
    ],
  };
}

/** "add ost": the OST's own set-up in its own log. */
export function addOst(fsname: string, index: number): ConfigBlock {
  const name = targetName(fsname, 'ost', index);
  return {
    target: name,
    comment: 'add ost',
    commands: [
      encodeConfigRecord(C.LCFG_ATTACH, [name, 'obdfilter', `${name}_UUID`]),
      encodeConfigRecord(C.LCFG_SETUP, [name, 'dev', 'type', 'f']),
    ],
  };
}

/** A block's records with its markers. `createdAt` in seconds. */
export function blockRecords(
  block: ConfigBlock,
  step: number,
  createdAt: bigint,
  version: number,
): Uint8Array[] {
  const marker = (flags: number): Uint8Array =>
    encodeConfigRecord(C.LCFG_MARKER, [
      '',
      CfgMarker.encode({
        cm_step: step,
        cm_flags: flags,
        cm_vers: version,
        cm_createtime: createdAt,
        cm_tgtname: block.target,
        cm_comment: block.comment,
      }),
    ]);
  return [marker(MarkerFlag.CM_START), ...block.commands, marker(MarkerFlag.CM_END)];
}
