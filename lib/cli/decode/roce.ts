/** RoCE: placeholder until the next edit. */
import type { Conversation, Unit } from './conversation.ts';
import type { Ledger } from './ledger.ts';
import type { UdpDatagram } from './link-layer.ts';
export const ROCE_PORT = 4791;
export class RoceDecoder {
  constructor(_c: Conversation, _l: Ledger, _g: (unit: Unit) => void) {}
  packet(_d: UdpDatagram, _t: bigint, _f: number): void {}
  finish(): void {}
}
