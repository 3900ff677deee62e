/** MDS_QUOTACTL and OST_QUOTACTL (guide 17 §5): one command about the quota of one user, group or project. */
import type { Caller } from '../../rpc/rpc.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_QUOTACTL, RQF_OST_QUOTACTL } from '../../wire/formats.ts';
import type { ObdDqblk } from '../../wire/quota-structs.ts';
import type { StructInput } from '../../wire/struct.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';

export interface QuotaTarget {
  readonly name: string;
  readonly index: number;
  readonly caller: Caller;
}

export interface QuotaRequest {
  /** `QuotaCommand`. */
  readonly command: number;
  /** `QuotaType`. */
  readonly type: number;
  readonly id: number;
  /** Of a command about a pool of OSTs. */
  readonly pool?: string | undefined;
  /** Of a command that sets them: KiB and files. */
  readonly limits?: StructInput<typeof ObdDqblk>;
}

export type DiskQuota = ObdDqblk;

export function quotactlRequest({
  command,
  type,
  id,
  pool,
  limits,
}: QuotaRequest): RequestInputs<typeof RQF_MDS_QUOTACTL> {
  return {
    obd_quotactl: {
      qc_cmd: command,
      qc_type: type,
      qc_id: id,
      ...(pool !== undefined && { qc_poolname: pool }),
      ...(limits !== undefined && { qc_dqblk: limits }),
    },
  };
}

/** Usage in bytes, limits in KiB. Rejects with EOPNOTSUPP where the server keeps no quotas, EPERM, ESRCH. */
export async function quotactl(
  target: QuotaTarget,
  request: QuotaRequest,
  options: RequestOptions,
): Promise<DiskQuota> {
  const { name, caller } = target;
  const format = name.includes('-MDT') ? RQF_MDS_QUOTACTL : RQF_OST_QUOTACTL;
  const reply = await caller.call(format, quotactlRequest(request), requestOptions(options));
  return required(reply.values, 'obd_quotactl').qc_dqblk;
}
