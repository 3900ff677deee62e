/** An event is its endpoint's again when its handler returns: what tests look at later is a copy. */
import type { LnetEvent } from '../../lib/lnet/network.ts';

export function keptEvent(event: LnetEvent): LnetEvent {
  const { type, status, initiator, target, matchBits, hdrData, offset, rlength, mlength } = event;
  const { checksum, fileError, unlinked } = event;
  return {
    type,
    status,
    initiator,
    target,
    matchBits,
    hdrData,
    offset,
    rlength,
    mlength,
    checksum,
    fileError,
    unlinked,
  };
}
