/**
 * `npm run bench [NAME ...]`: one table, each line with its peer measured in the same run on the same cores, and the
 * same as JSON in build/bench.json, what is wanted and where the run stands in build/bench.md, and curves in docs/curves where `scaling` ran. BENCH_QUICK=1 makes a short run that only shows that all of it works,
 * BENCH_FILES=N a smaller `metadata`, BENCH_FILE_MIB=N a smaller `file`.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import Table from 'cli-table3';
import { benchCache } from './cache.ts';
import { drawCurves } from './curves.ts';
import { benchEngine } from './engine.ts';
import { benchFile } from './file.ts';
import { benchLnetStream } from './lnet-stream.ts';
import { benchLocks } from './locks.ts';
import type { Row } from './measure.ts';
import { benchMetadata } from './metadata.ts';
import { benchPath } from './path.ts';
import { CONGESTION } from './peers.ts';
import { benchRpc } from './rpc.ts';
import { benchScaling } from './scaling.ts';
import { whatStandsWhere } from './targets.ts';

const quick = process.env.BENCH_QUICK !== undefined;
/** Smaller where others need the machine. */
const fileMib = Number(process.env.BENCH_FILE_MIB ?? 4096);
const files = Number(process.env.BENCH_FILES ?? (quick ? 200 : 100_000));
const benches: Record<string, () => Promise<Row[]>> = {
  'lnet-stream': () => benchLnetStream(quick ? 1 : 5, quick ? 200 : 12_000),
  locks: () => (quick ? benchLocks(1, 2000, 20_000) : benchLocks(5, 100_000, 1_000_000)),
  rpc: () => benchRpc(quick ? 1 : 5, quick ? 500 : 20_000),
  engine: () => (quick ? benchEngine(1, 200, 32) : benchEngine(3, 20_000, 1024)),
  path: () => (quick ? benchPath(1, 64) : benchPath(5, 1024)),
  file: () => benchFile(quick ? 1 : 3, quick ? 64 : fileMib),
  metadata: () => benchMetadata(quick || files >= 20_000 ? 1 : 3, files),
  scaling: () => benchScaling(quick ? { bytes: 8 << 20, rpcs: 200 } : { bytes: 512 << 20, rpcs: 20_000 }),
  cache: () =>
    benchCache(quick ? 1 : 3, {
      calls: quick ? 200 : 5000,
      entries: quick ? 300 : 100_000,
      bytes: quick ? 4 << 20 : 32 << 20,
    }),
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => benches[name] === undefined);
if (unknown !== undefined) {
  process.stderr.write(`there is no bench '${unknown}'; there are ${Object.keys(benches).join(', ')}\n`);
  process.exit(2);
}

const rows: Row[] = [];
for (const [name, run] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stderr.write(`${name} ...\n`);
  rows.push(...(await run()));
}

const machine = `${cpus().length} x ${cpus()[0]?.model}, Linux ${release()}, Node ${process.version}, TCP ${CONGESTION}`;
const table = new Table({
  head: ['bench', 'what', 'value', 'peer', 'peer value', 'ratio'],
  style: { head: [], border: [] },
});
const show = (n: number, unit: string): string =>
  `${n.toFixed(n < 10 ? 2 : 0)}${unit === '' ? '' : ` ${unit}`}`;
for (const r of rows) {
  table.push([
    r.bench,
    r.what,
    show(r.value, r.unit),
    r.peer ?? '',
    r.peerValue === undefined ? '' : show(r.peerValue, r.unit),
    r.ratio === undefined ? '' : r.ratio.toFixed(2),
  ]);
}
process.stdout.write(`${machine}\nratio: more is better, 1 is the peer's\n${table.toString()}\n`);
await mkdir('build', { recursive: true });
await writeFile(
  'build/bench.json',
  `${JSON.stringify({ machine, at: new Date().toISOString(), rows }, null, 2)}\n`,
);
await writeFile('build/bench.md', whatStandsWhere(machine, rows));
// A short run shows that it works; its curves would say nothing.
await drawCurves(rows, quick ? 'build/curves' : 'docs/curves');
