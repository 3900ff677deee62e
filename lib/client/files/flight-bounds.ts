/** What may be in flight of one file: requests of the negotiated size (guide 12 §5.1) in all slots of the OSTs that its layout is wide. */
import { ALL_OSTS, type FileLayout } from '../../layout/file-layout.ts';
import { rpcSize } from '../osc/brw.ts';
import type { Session } from '../session.ts';
import type { FlightBounds } from '../transfers/transfers.ts';

/** Of a target that there is none of. */
const NOTHING = { requests: 1 << 20, most: 8 << 20 };

/** Of the widest component, whether it has its objects already or not; OSTs of one file system differ little. */
export function flightBounds({ osts }: Pick<Session, 'osts'>, layout: FileLayout | undefined): FlightBounds {
  const counts = (layout?.components ?? []).map(({ stripeCount }) =>
    stripeCount === ALL_OSTS ? osts.size : stripeCount,
  );
  const width = Math.max(1, Math.min(osts.size, Math.max(1, ...counts)));
  const sizes = [...osts.values()].filter(({ active }) => active);
  if (sizes.length === 0) return NOTHING;
  const requests = width * Math.min(...sizes.map(({ granted }) => rpcSize(granted)));
  return { requests, most: requests * Math.min(...sizes.map(({ slots }) => slots.count)) };
}
