/** The curves of docs/performance.md, drawn from rows of bench.json that are points of one. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Row } from './measure.ts';
import { type Chart, svgChart } from './svg-chart.ts';

const charts: Record<string, Omit<Chart, 'lines' | 'y'>> = {
  size: { title: 'One file, stripe 2, by size of a call', x: 'bytes a call, 8 under way' },
  stripes: { title: 'One file by stripes, calls of 1 MiB', x: 'stripes, each on an OST of its own' },
  files: { title: 'Files at once, stripe 1, calls of 1 MiB', x: 'files, over 4 OSTs' },
  clients: { title: 'Clients at once, a file each, stripe 2', x: 'mounts, each with a thread of its own' },
  connections: { title: 'One file, stripe 2, calls of 1 MiB', x: 'connections of each bulk type' },
  'in-flight': { title: 'RPCs of 4 KiB each way', x: 'requests in flight' },
};

/** Writes DIR/NAME.svg for each chart that has points, and gives the names. */
export async function drawCurves(rows: readonly Row[], dir: string): Promise<string[]> {
  const drawn: string[] = [];
  for (const [name, words] of Object.entries(charts)) {
    const points = rows.filter((r) => r.curve?.chart === name);
    if (points.length === 0) continue;
    const lines = [...new Set(points.map((r) => r.curve!.line))].map((line) => ({
      name: line,
      points: points.filter((r) => r.curve!.line === line).map((r) => [r.curve!.x, r.value] as const),
    }));
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, `${name}.svg`), svgChart({ ...words, y: points[0]!.unit, lines }));
    drawn.push(name);
  }
  return drawn;
}
