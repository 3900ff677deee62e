/** What commands print: text for people, one JSON document with `--json`; errors on stderr, exit codes that mean something. */
import Table from 'cli-table3';

export const ExitCode = {
  OK: 0,
  /** The operation failed. */
  FAILED: 1,
  /** Wrong usage. */
  USAGE: 2,
  /** No connection to the servers. */
  NO_CONNECTION: 3,
} as const;

const noConnection = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTCONN',
  'ESHUTDOWN',
  'EADDRNOTAVAIL',
]);

export function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown }).code;
  if (code === 'ERR_LUSTRE_USAGE') return ExitCode.USAGE;
  return typeof code === 'string' && noConnection.has(code) ? ExitCode.NO_CONNECTION : ExitCode.FAILED;
}

/** Prints one JSON document; bigints as numbers where they fit, else as strings. */
export function printJson(value: unknown): void {
  process.stdout.write(`${toJson(value)}\n`);
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => {
    if (typeof v !== 'bigint') return v;
    return v <= BigInt(Number.MAX_SAFE_INTEGER) && v >= -BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(v)
      : v.toString();
  });
}

/** An error as one line for people or an object for machines. */
export function printError(error: unknown, json: boolean): void {
  const e = error as Error & { code?: string };
  if (json) {
    const { name: _name, stack: _stack, ...known } = { ...e };
    process.stderr.write(`${toJson({ error: { ...known, code: e.code, message: e.message } })}\n`);
    return;
  }
  process.stderr.write(`lustre: ${e.message}\n`);
  if (process.env.LUSTRE_DEBUG !== undefined && e.stack !== undefined) process.stderr.write(`${e.stack}\n`);
}

/** A table without rules between rows; the first row is the heading. Columns of numbers are set right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const numeric = head.map((_, i) =>
    rows.every((row) => /^[-\d.,%]*( ?[kKMGTP]?i?B?(\/s)?)?$/.test(row[i] ?? '')),
  );
  const table = new Table({
    head: [...head],
    colAligns: numeric.map((n) => (n ? 'right' : 'left')),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** 1536 -> `1.5 KiB`. */
export function formatBytes(bytes: number | bigint): string {
  let n = Number(bytes);
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return unit === 0 ? `${n} B` : `${n.toFixed(n < 10 ? 2 : 1)} ${units[unit]}`;
}

/** `4M`, `64k`, `1G` or a plain number -> bytes, as lfs takes sizes. Undefined when it is none of them. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)([kmgtp]?)i?b?$/i.exec(text.trim());
  if (match === null) return undefined;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf(match[2]!.toLowerCase());
  return Number(match[1]) * 1024 ** power;
}
