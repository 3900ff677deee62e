/** A line chart as SVG, with a logarithmic x axis (everything here doubles) and a linear y axis from zero. */

export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [number, number])[];
  }[];
}

const WIDTH = 640;
const HEIGHT = 320;
const LEFT = 70;
const RIGHT = 170;
const TOP = 36;
const BOTTOM = 48;
const COLOURS = ['#1f6fb2', '#c8501e', '#3a8a3a', '#7a4fa3', '#8a6d1b'];

export function svgChart({ title, x, y, lines }: Chart): string {
  const points = lines.flatMap((line) => line.points);
  const xs = [...new Set(points.map(([at]) => at))].sort((a, b) => a - b);
  const top = roundUp(Math.max(...points.map(([, value]) => value)));
  const low = Math.log2(xs[0]!);
  const span = Math.log2(xs.at(-1)!) - low || 1;
  const across = (at: number): number => LEFT + ((Math.log2(at) - low) / span) * (WIDTH - LEFT - RIGHT);
  const up = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const text = (at: number, from: number, anchor: string, what: string): string =>
    `<text x="${at.toFixed(1)}" y="${from.toFixed(1)}" text-anchor="${anchor}">${escaped(what)}</text>`;
  const out: string[] = [text(LEFT, 18, 'start', title), text(LEFT - 8, TOP - 6, 'end', y)];
  for (let i = 0; i <= 4; i++) {
    const value = (top * i) / 4;
    const at = up(value).toFixed(1);
    out.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#ddd"/>`);
    out.push(text(LEFT - 8, up(value) + 4, 'end', short(value)));
  }
  for (const at of xs) out.push(text(across(at), HEIGHT - BOTTOM + 18, 'middle', short(at)));
  out.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, 'middle', x));
  lines.forEach(({ name, points: of }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const path = of.map(([at, value]) => `${across(at).toFixed(1)},${up(value).toFixed(1)}`).join(' ');
    out.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [at, value] of of)
      out.push(`<circle cx="${across(at).toFixed(1)}" cy="${up(value).toFixed(1)}" r="3" fill="${colour}"/>`);
    const row = TOP + 10 + i * 18;
    out.push(
      `<rect x="${WIDTH - RIGHT + 16}" y="${row - 9}" width="12" height="4" fill="${colour}"/>`,
      text(WIDTH - RIGHT + 34, row - 3, 'start', name),
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
${out.join('\n')}
</svg>
`;
}

/** 1, 2, 4 or 8 times a power of ten: four even steps lead to it. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return ([1, 2, 4, 8, 10].find((step) => step * power >= value) ?? 10) * power;
}

function short(value: number): string {
  if (value >= 1 << 20 && value % (1 << 20) === 0) return `${value / (1 << 20)}Mi`;
  if (value >= 1024 && value % 1024 === 0) return `${value / 1024}Ki`;
  return value >= 10_000 ? `${value / 1000}k` : String(Math.round(value * 100) / 100);
}

function escaped(what: string): string {
  return what.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
