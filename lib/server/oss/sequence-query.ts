/** SEQ_QUERY on the data portal (guide 07 §4): SEQ_ALLOC_META gives an MDT one sequence for its objects. */
import type { Operation } from '../../connection/target.ts';
import { Errno } from '../../runtime/errors.ts';
import { RangeType, SeqOp } from '../../wire/fid-constants.ts';
import { required } from '../../wire/format.ts';
import { RQF_SEQ_QUERY } from '../../wire/formats.ts';
import { operation } from '../operation.ts';
import type { OstContext } from './ost-context.ts';

export function seqQuery(ost: OstContext): Operation {
  return operation(RQF_SEQ_QUERY, async (call) => {
    const asked = required(call.values, 'seq_range');
    const opcode = required(call.values, 'seq_opc');
    // Super-sequences are the controller's, MDT0000.
    if (opcode === SeqOp.SEQ_ALLOC_SUPER) return call.fail(Errno.ENODEV);
    if (opcode !== SeqOp.SEQ_ALLOC_META) return call.fail(Errno.EINVAL);
    const seq = await ost.sequences.allocate();
    call.reply({
      seq_range: {
        lsr_start: seq,
        lsr_end: seq + 1n,
        lsr_index: asked.lsr_index,
        lsr_flags: asked.lsr_flags & RangeType.LU_SEQ_RANGE_MASK,
      },
    });
  });
}
