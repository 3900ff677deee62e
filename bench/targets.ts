/** What the project wants of its benches (docs/performance.md, "What stands where"), and a table of where a run stands. */
import type { Row } from './measure.ts';

interface Target {
  readonly bench: string;
  /** In the row's `what`. */
  readonly what: RegExp;
  /** In the row's `peer`. */
  readonly peer: RegExp;
  /** The least ratio, where more is better and 1 is the peer's. */
  readonly least: number;
}

/** iperf3's CPU may be exceeded by so much. */
const CPU_MOST = 1.3;

const targets: readonly Target[] = [
  { bench: 'lnet-stream', what: /^PUT stream/, peer: /bare C/, least: 0.95 },
  { bench: 'lnet-stream', what: /^PUT stream/, peer: /iperf3/, least: 0.85 },
  { bench: 'file', what: /write, stripe 2, checksums on$/, peer: /iperf3/, least: 0.6 },
  { bench: 'file', what: /read, stripe 2, checksums on$/, peer: /iperf3/, least: 0.75 },
  { bench: 'file', what: /write, stripe 2, checksums off$/, peer: /iperf3/, least: 0.65 },
  { bench: 'file', what: /read, stripe 2, checksums off$/, peer: /iperf3/, least: 0.9 },
  { bench: 'file', what: /stripe 2, checksums (on|off)$/, peer: /nginx|ganesha/, least: 1.5 },
  { bench: 'file', what: /stripe 2, checksums (on|off): .* CPU$/, peer: /iperf3/, least: 1 / CPU_MOST },
  { bench: 'rpc', what: /trip, 1 in flight, p50$/, peer: /bare C/, least: 1 / 1.5 },
  { bench: 'rpc', what: /thread of its own, 1 in flight, p50$/, peer: /bare C/, least: 1 / 2.5 },
  { bench: 'rpc', what: /trip, 64 in flight, rate$/, peer: /bare C/, least: 0.5 },
  {
    bench: 'metadata',
    what: /^(create|stat|unlink|create \+ stat \+ unlink), .* in flight/,
    peer: /ganesha/,
    least: 2,
  },
];

const show = (value: number, unit: string): string => `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`.trim();

/** Of the rows that something is wanted of: a table in Markdown, with what the run was taken on above it. */
export function whatStandsWhere(machine: string, rows: readonly Row[]): string {
  const lines = targets.flatMap(({ bench, what, peer, least }) =>
    rows
      .filter((r) => r.bench === bench && what.test(r.what) && r.peer !== undefined && peer.test(r.peer))
      .map((r) => {
        const theirs = `${r.peer} ${show(r.peerValue!, r.unit)}`;
        return `| ${r.what} | ${show(r.value, r.unit)} | ${theirs} | ${r.ratio!.toFixed(2)} | ${least.toFixed(2)} |`;
      }),
  );
  const head = '| what | ours | peer | ratio (more is better) | wanted |\n|---|---|---|---|---|';
  return `${machine}\n\n${head}\n${lines.join('\n')}\n`;
}
