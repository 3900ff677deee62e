/** A target's registration with the MGS (guide 05 §6), over the wire as any server sends it. */
import { type Nid, nidToBits } from '../lnet/nid.ts';
import type { Caller } from '../rpc/rpc.ts';
import { TargetFlag } from '../wire/connection-constants.ts';
import { required } from '../wire/format.ts';
import { RQF_MGS_TARGET_REG } from '../wire/formats.ts';
import { LUSTRE_VERSION } from './version.ts';

/** What the MGS made of it. */
export interface Registered {
  readonly name: string;
  readonly index: number;
}

/** Registers a target at this node's NIDs, new or known. Rejects with the MGS's error (EADDRINUSE, EINVAL ...). */
export async function registerTarget(
  mgc: Caller,
  o: { fsname: string; kind: 'mdt' | 'ost'; index: number; nids: readonly Nid[] },
): Promise<Registered> {
  const name = `${o.fsname}-${o.kind.toUpperCase()}${o.index.toString(16).padStart(4, '0')}`;
  const type = o.kind === 'mdt' ? TargetFlag.LDD_F_SV_TYPE_MDT : TargetFlag.LDD_F_SV_TYPE_OST;
  const reply = await mgc.call(
    RQF_MGS_TARGET_REG,
    {
      mgs_target_info: {
        mti_lustre_ver: LUSTRE_VERSION,
        mti_stripe_index: o.index,
        mti_flags: type | TargetFlag.LDD_F_UPDATE,
        mti_nid_count: o.nids.length,
        mti_fsname: o.fsname,
        mti_svname: name,
        mti_uuid: `${name}_UUID`,
        mti_nids: o.nids.map(nidToBits),
      },
    },
    { context: { syscall: 'register target', path: name } },
  );
  const info = required(reply.values, 'mgs_target_info');
  return { name: info.mti_svname, index: info.mti_stripe_index };
}
