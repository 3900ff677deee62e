/** A capture to units: frames, TCP streams or RoCE packets, LNet messages, the conversation. Streams; memory is bounded. */
import { Conversation, type Unit } from './conversation.ts';
import { Ledger } from './ledger.ts';
import { parseFrame, type TcpSegment } from './link-layer.ts';
import type { CapturedFrame } from './pcap.ts';
import { ROCE_PORT, RoceDecoder } from './roce.ts';
import { SocklndStream } from './socklnd-stream.ts';
import { TcpStreams } from './tcp-streams.ts';

/** The port of LNet's acceptor (guide 02 §1). */
const ACCEPTOR_PORT = 988;

export interface DecodeOptions {
  /** Ports whose connections are LNet even where their beginning is missing; 988 always is one. */
  readonly ports?: readonly number[] | undefined;
}

/** Decodes frames, gives each unit to `take` in the order in which they were complete, and gives the account. */
export async function decodeCapture(
  frames: AsyncIterable<CapturedFrame>,
  take: (unit: Unit) => void,
  options: DecodeOptions = {},
): Promise<Ledger> {
  const ledger = new Ledger();
  const conversation = new Conversation();
  const ports = new Set([ACCEPTOR_PORT, ...(options.ports ?? [])]);
  const give = (unit: Unit): void => {
    ledger.add(unit);
    take(unit);
  };
  const streams = new TcpStreams((segment) => openStream(segment, ports, conversation, ledger, give));
  const roce = new RoceDecoder(conversation, ledger, give);
  for await (const frame of frames) {
    const datagram = parseFrame(frame.linkType, frame.data);
    if (datagram?.protocol === 'tcp') streams.segment(datagram, frame.time, frame.number);
    else if (datagram?.destinationPort === ROCE_PORT) roce.packet(datagram, frame.time, frame.number);
  }
  streams.finishAll();
  roce.finish();
  ledger.retransmitted += streams.retransmitted;
  return ledger;
}

function openStream(
  segment: TcpSegment,
  ports: ReadonlySet<number>,
  conversation: Conversation,
  ledger: Ledger,
  give: (unit: Unit) => void,
): SocklndStream {
  const source = `${segment.source}:${segment.sourcePort}`;
  const destination = `${segment.destination}:${segment.destinationPort}`;
  const known = ports.has(segment.sourcePort) || ports.has(segment.destinationPort);
  const stream = new SocklndStream(known, (unit) => give(conversation.socklnd(unit, source, destination)));
  const end = stream.end.bind(stream);
  stream.end = () => {
    end();
    ledger.delivered += stream.taken - stream.foreign;
    ledger.foreign += stream.foreign;
    ledger.missing += stream.missing;
  };
  return stream;
}
