/** OST_GET_INFO, OST_SET_INFO, OST_LADVISE, OST_QUOTACTL (guide 12 §4.7, §7, §8, §9): requests with a key, and advice. */
import type { Call, Operation } from '../../connection/target.ts';
import type { IncomingRequest } from '../../rpc/rpc.ts';
import { Errno } from '../../runtime/errors.ts';
import { LuFid } from '../../wire/fid-structs.ts';
import { type Format, required } from '../../wire/format.ts';
import {
  RQF_OBD_SET_INFO,
  RQF_OST_GET_INFO,
  RQF_OST_GET_INFO_FIEMAP,
  RQF_OST_GET_INFO_LAST_FID,
  RQF_OST_GET_INFO_LAST_ID,
  RQF_OST_LADVISE,
  RQF_OST_QUOTACTL,
  RQF_OST_SET_GRANT_INFO,
} from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { Ladvise } from '../../wire/ost-constants.ts';
import { operation } from '../operation.ts';
import { objectFiemap } from './fiemap.ts';
import { objectOf, protocolError } from './object-request.ts';
import type { OstContext } from './ost-context.ts';

const decoder = new TextDecoder();

/** The key in buffer 1, up to its NUL. */
function keyOf(request: IncomingRequest): string {
  const key = request.message.buffers[1] ?? new Uint8Array(0);
  const nul = key.indexOf(0);
  return decoder.decode(nul === -1 ? key : key.subarray(0, nul));
}

export function ostGetInfo(ost: OstContext): Operation {
  const formats: { readonly [key: string]: Format } = {
    fiemap: RQF_OST_GET_INFO_FIEMAP,
    last_fid: RQF_OST_GET_INFO_LAST_FID,
    last_id: RQF_OST_GET_INFO_LAST_ID,
  };
  return {
    format: (request) => formats[keyOf(request)] ?? RQF_OST_GET_INFO,
    async handle(call) {
      switch (keyOf(call.request)) {
        case 'fiemap':
          return objectFiemap(ost, call as Call<typeof RQF_OST_GET_INFO_FIEMAP>);
        case 'last_fid':
          return lastFid(ost, call as Call<typeof RQF_OST_GET_INFO_LAST_FID>);
        case 'last_id':
          return (call as Call<typeof RQF_OST_GET_INFO_LAST_ID>).reply({
            obd_id: BigInt(ost.store.lastId(0n)),
          });
        default:
          call.fail(Errno.EOPNOTSUPP);
      }
    },
  };
}

/** LAST_ID of a sequence. The FID in the request is little-endian whatever the message is (guide 12 §8). */
function lastFid(ost: OstContext, call: Call<typeof RQF_OST_GET_INFO_LAST_FID>): void {
  const bytes = call.request.message.buffers[2];
  if (bytes === undefined || bytes.length < LuFid.size) return call.fail(Errno.EPROTO);
  const { f_seq } = LuFid.decode(bytes);
  call.reply({ fid: { f_seq, f_oid: ost.store.lastId(f_seq), f_ver: 0 } });
}

export function ostSetInfo(ost: OstContext): Operation {
  return {
    format: (request) => (keyOf(request) === 'grant_shrink' ? RQF_OST_SET_GRANT_INFO : RQF_OBD_SET_INFO),
    handle(call) {
      if (keyOf(call.request) !== 'grant_shrink') return call.fail(Errno.EOPNOTSUPP);
      const shrink = call as Call<typeof RQF_OST_SET_GRANT_INFO>;
      const { oa } = required(shrink.values, 'ost_body');
      const refused = ost.grants.shrink(call.export.clientUuid, oa, ost.space.availableBytes);
      const reply = { ...oa, o_valid: oa.o_valid | MdValid.OBD_MD_FLGRANT, o_grant: BigInt(refused) };
      shrink.reply({ ost_body: { oa: reply } });
    },
  };
}

/** Advice is checked and taken note of; the page cache below knows better. */
export function ostLadvise(ost: OstContext): Operation {
  return operation(RQF_OST_LADVISE, (call) => {
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    const header = required(call.values, 'ost_ladvise_hdr');
    const advice = required(call.values, 'ost_ladvise');
    if (
      header.lah_magic !== Ladvise.LADVISE_MAGIC ||
      header.lah_count < 1 ||
      header.lah_count > advice.length
    )
      throw protocolError('malformed advice');
    for (const one of advice) {
      if (one.lla_end <= one.lla_start) throw protocolError('advice for an empty range');
      if (one.lla_advice !== Ladvise.LU_LADVISE_WILLREAD && one.lla_advice !== Ladvise.LU_LADVISE_DONTNEED)
        return call.fail(Errno.EOPNOTSUPP);
    }
    if (!ost.store.exists(object.id)) return call.fail(Errno.ENOENT);
    call.reply({ ost_body: { oa } });
  });
}

/** There are no quotas. */
export function ostQuotactl(): Operation {
  return operation(RQF_OST_QUOTACTL, (call) => call.fail(Errno.EOPNOTSUPP));
}
