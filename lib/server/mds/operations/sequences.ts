/** SEQ_QUERY, FLD_QUERY and FLD_READ (guide 07 §4, §5). */
import type { Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { RangeType, SeqOp } from '../../../wire/fid-constants.ts';
import { LuSeqRange, LuSeqRangeArray } from '../../../wire/fid-structs.ts';
import { required } from '../../../wire/format.ts';
import { RQF_FLD_QUERY, RQF_FLD_READ, RQF_SEQ_QUERY } from '../../../wire/formats.ts';
import type { MetadataTarget } from '../metadata-target.ts';

/** A reply of FLD_READ has one page. */
const READ_MAX = Math.floor((4096 - LuSeqRangeArray.size) / LuSeqRange.size);

export function seqQuery(mdt: MetadataTarget): Operation<typeof RQF_SEQ_QUERY> {
  return {
    format: RQF_SEQ_QUERY,
    async handle(call) {
      mdt.checkWritable(call.export);
      const asked = required(call.values, 'seq_range');
      const opcode = required(call.values, 'seq_opc');
      if (opcode === SeqOp.SEQ_ALLOC_META) call.reply({ seq_range: await mdt.sequences.grant(asked) });
      else if (opcode === SeqOp.SEQ_ALLOC_SUPER)
        call.reply({ seq_range: await mdt.sequences.grantSuper(asked) });
      else throw errnoError(22, { syscall: 'seq_query' });
    },
  };
}

export function fldQuery(mdt: MetadataTarget): Operation<typeof RQF_FLD_QUERY> {
  return {
    format: RQF_FLD_QUERY,
    handle(call) {
      const asked = required(call.values, 'fld_mdfld');
      if (required(call.values, 'fld_opc') !== SeqOp.FLD_LOOKUP)
        throw errnoError(22, { syscall: 'fld_query' });
      const type = asked.lsr_flags & RangeType.LU_SEQ_RANGE_MASK;
      call.reply({ fld_mdfld: mdt.sequences.locate(asked.lsr_start, type) });
    },
  };
}

export function fldRead(mdt: MetadataTarget): Operation<typeof RQF_FLD_READ> {
  return {
    format: RQF_FLD_READ,
    handle(call) {
      const from = required(call.values, 'fld_mdfld');
      const type = from.lsr_flags & RangeType.LU_SEQ_RANGE_MASK;
      const all = [...mdt.sequences.ranges()].filter(
        (r) => r.lsr_start > from.lsr_start && (type === RangeType.LU_SEQ_RANGE_ANY || r.lsr_flags === type),
      );
      const given = all.slice(0, READ_MAX);
      const array = new Uint8Array(LuSeqRangeArray.size + given.length * LuSeqRange.size);
      LuSeqRangeArray.encodeInto(array, 0, { lsra_count: given.length });
      given.forEach((range, i) => {
        LuSeqRange.encodeInto(array, LuSeqRangeArray.size + i * LuSeqRange.size, range);
      });
      const more = given.length < all.length;
      call.reply({ generic_data: array }, more ? { status: -11 } : {});
    },
  };
}
