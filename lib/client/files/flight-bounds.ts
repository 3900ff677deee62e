/** What may be in flight of one file: requests of the negotiated size (guide 12 §5.1) in all slots of the OSTs that its layout is wide. */
import { ALL_OSTS, type FileLayout } from '../../layout/file-layout.ts';
import { RPC_MAX, rpcSize } from '../osc/brw.ts';
import type { Session } from '../session.ts';
import type { FlightBounds } from '../transfers/transfers.ts';

/** What kernels let max_rpcs_in_flight be. */
const SLOTS_MAX = 256;

/** Of the widest component, whether it has its objects already or not; OSTs of one file system differ little. */
export function flightBounds({ osts }: Pick<Session, 'osts'>, layout: FileLayout | undefined): FlightBounds {
  const counts = (layout?.components ?? []).map(({ stripeCount }) =>
    stripeCount === ALL_OSTS ? osts.size : stripeCount,
  );
  const width = Math.max(1, Math.min(osts.size, Math.max(1, ...counts)));
  const active = [...osts.values()].filter((ost) => ost.active);
  return {
    width,
    rpcBytes: Math.min(RPC_MAX, ...active.map(({ granted }) => rpcSize(granted))),
    rpcs: Math.min(SLOTS_MAX, ...active.map(({ slots }) => slots.count)),
  };
}
