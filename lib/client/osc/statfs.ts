/** OST_STATFS (guide 12 §4.8). */

import { required } from '../../wire/format.ts';
import { RQF_OST_STATFS } from '../../wire/formats.ts';
import type { ObdStatfs } from '../../wire/mds-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { type ObjectTarget, OST_CREATE_PORTAL } from './target.ts';

export async function statfs(ost: ObjectTarget, options: RequestOptions = {}): Promise<ObdStatfs> {
  const reply = await ost.caller.call(
    RQF_OST_STATFS,
    {},
    {
      requestPortal: OST_CREATE_PORTAL,
      noResend: true,
      context: { syscall: 'statfs' },
      ...requestOptions(options),
    },
  );
  return required(reply.values, 'obd_statfs');
}
