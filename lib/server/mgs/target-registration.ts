/** MGS_TARGET_REG (guide 05 §6): what a target says of itself, checked, and the index and name it is given. */
import { NID_ANY, type Nid, nidFromBits, parseNid } from '../../lnet/nid.ts';
import { LustreError } from '../../runtime/errors.ts';
import { NidList, TargetFlag } from '../../wire/connection-constants.ts';
import type { MgsTargetInfo } from '../../wire/connection-structs.ts';
import { type RegisteredTarget, targetName } from './config-blocks.ts';
import type { ConfigDatabase } from './config-database.ts';

/** What a target asked for, checked. */
export interface TargetRegistration {
  readonly fsname: string;
  readonly target: RegisteredTarget;
  readonly name: string;
}

const INDEX_MAX = 0xffff;
const FAILOVER_NODES_MAX = 16;

function refuse(code: string, errno: number, message: string): LustreError {
  return new LustreError(code, message, { syscall: 'register' }, -errno);
}

/** Throws EINVAL for a malformed request and EADDRINUSE for an index that another target has. */
export function checkRegistration(info: MgsTargetInfo, database: ConfigDatabase): TargetRegistration {
  const { LDD_F_SV_TYPE_MDT, LDD_F_SV_TYPE_OST, LDD_F_NEED_INDEX, LDD_F_VIRGIN, LDD_F_WRITECONF } =
    TargetFlag;
  const flags = info.mti_flags;
  const isMdt = (flags & LDD_F_SV_TYPE_MDT) !== 0;
  const isOst = (flags & LDD_F_SV_TYPE_OST) !== 0;
  if (isMdt === isOst)
    throw refuse('EINVAL', 22, `A target with flags 0x${flags.toString(16)} is neither MDT nor OST`);
  const fsname = info.mti_fsname;
  if (!/^[A-Za-z0-9_-]{1,8}$/.test(fsname))
    throw refuse('EINVAL', 22, `'${fsname}' is not a file system's name (1 to 8 letters, digits, _ and -)`);
  const kind = isMdt ? 'mdt' : 'ost';
  const taken = new Set(database.targets(fsname, kind).map((target) => target.index));
  const index = (flags & LDD_F_NEED_INDEX) !== 0 ? firstFree(taken) : info.mti_stripe_index;
  if (index > INDEX_MAX) throw refuse('EINVAL', 22, `Target index ${index} is above ${INDEX_MAX}`);
  if (taken.has(index) && (flags & LDD_F_VIRGIN) !== 0 && (flags & LDD_F_WRITECONF) === 0) {
    throw refuse(
      'EADDRINUSE',
      98,
      `A new target asks for index ${index} of ${fsname}, which ${targetName(fsname, kind, index)} already has`,
    );
  }
  const nodes = [primaryNids(info), ...failoverNids(info.mti_params)];
  return { fsname, target: { kind, index, nodes }, name: targetName(fsname, kind, index) };
}

function firstFree(taken: ReadonlySet<number>): number {
  let index = 0;
  while (taken.has(index)) index += 1;
  return index;
}

function primaryNids(info: MgsTargetInfo): Nid[] {
  const count = info.mti_nid_count;
  if (count < 1 || count > NidList.MTI_NIDS_MAX) throw refuse('EINVAL', 22, `A target gives ${count} NIDs`);
  const nids = info.mti_nids.slice(0, count).map(nidFromBits);
  if (nids.includes(NID_ANY)) throw refuse('EINVAL', 22, 'A target gives a wildcard as its NID');
  return nids;
}

/** `failover.node=NID[,NID][:NID[,NID]]` entries of mti_params, a node each. */
function failoverNids(params: string): Nid[][] {
  const nodes = params
    .split(/\s+/)
    .filter((param) => param.startsWith('failover.node='))
    .flatMap((param) => param.slice('failover.node='.length).split(':'))
    .filter((node) => node !== '');
  if (nodes.length > FAILOVER_NODES_MAX)
    throw refuse('EINVAL', 22, `A target gives ${nodes.length} failover nodes`);
  return nodes.map((node) => node.split(',').map(parseNid));
}
