/** OST_SYNC and OST_SEEK (guide 12 §4.5, §4.6). A SYNC is a commit: last_committed of its reply covers what came before. */
import type { Operation } from '../../connection/target.ts';
import { Errno } from '../../runtime/errors.ts';
import { required } from '../../wire/format.ts';
import { RQF_OST_SEEK, RQF_OST_SYNC } from '../../wire/formats.ts';
import { operation } from '../operation.ts';
import { ATTRIBUTES_VALID, attributeFields, objectOf, protocolError } from './object-request.ts';
import { OBJECT_EOF, type OstContext } from './ost-context.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;

export function ostSync(ost: OstContext): Operation {
  return operation(RQF_OST_SYNC, async (call) => {
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    const before = await ost.store.getAttributes(object.id);
    if (before.version === 0n || before.version > ost.commits.lastCommitted) await ost.commits.commit();
    const attributes = await ost.store.getAttributes(object.id);
    call.reply({
      ost_body: {
        oa: { ...attributeFields(attributes), o_valid: ATTRIBUTES_VALID, o_oi: { oi_fid: object.fid } },
      },
    });
  });
}

export function ostSeek(ost: OstContext): Operation {
  return operation(RQF_OST_SEEK, async (call) => {
    const { oa } = required(call.values, 'ost_body');
    const object = objectOf(oa, ost);
    if (oa.o_mode !== SEEK_DATA && oa.o_mode !== SEEK_HOLE)
      throw protocolError(`a seek with whence ${oa.o_mode}`);
    if (oa.o_size >> 63n !== 0n) throw protocolError('a seek before the beginning');
    const found = await ost.store.seek(object.id, oa.o_size, oa.o_mode === SEEK_DATA ? 'data' : 'hole');
    // The result travels as a signed number, an errno when negative; the operation itself has succeeded.
    const result = found ?? BigInt(-Errno.ENXIO) & OBJECT_EOF;
    call.reply({ ost_body: { oa: { ...oa, o_oi: { oi_fid: object.fid }, o_size: result } } });
  });
}
