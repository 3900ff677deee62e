/** What benches share: one row a measurement with its peer of the same run, child processes, CPU time of a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Row {
  readonly bench: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** What it is compared with in the same run; `ratio` is value / peer value (for times: peer / value, so 1 is parity, more is better). */
  readonly peer?: string;
  readonly peerValue?: number;
  readonly ratio?: number;
  /** It is a point of a line of a chart. */
  readonly curve?: { readonly chart: string; readonly line: string; readonly x: number };
}

/** A row with its ratio to a peer. `lessIsBetter` for times. */
export function row(
  bench: string,
  what: string,
  value: number,
  unit: string,
  peer?: { readonly name: string; readonly value: number },
  lessIsBetter = false,
): Row {
  if (peer === undefined) return { bench, what, value, unit };
  const ratio = lessIsBetter ? peer.value / value : value / peer.value;
  return { bench, what, value, unit, peer: peer.name, peerValue: peer.value, ratio };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A directory for one run, on disk unless `base` says otherwise. */
export function scratch(base = tmpdir()): Promise<string> {
  return mkdtemp(join(base, 'lustre-bench-'));
}

/**
 * Sees to it that so much memory is free that the machine really has, in the file system of `dir`. A virtual machine gives
 * what was free for some seconds back to its host, and to touch it anew costs up to 3 s/GiB: more than all that is measured,
 * and as much as the host likes.
 */
export async function haveFreePages(dir: string, bytes: number): Promise<void> {
  const path = join(dir, 'ballast');
  const chunk = Buffer.alloc(1 << 20, 1);
  const file = await open(path, 'w');
  for (let written = 0; written < bytes; written += chunk.length) await file.write(chunk);
  await file.close();
  await rm(path);
}

export interface Running {
  readonly child: ChildProcess;
  /** The next line of its standard output. */
  line(): Promise<string>;
  /** Says a line to it, and gives the JSON that it answers with. */
  ask<T>(question?: string): Promise<T>;
  /** Ends it and waits. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a program whose standard output is read by line; its standard error goes to ours. */
export function start(command: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const exited = once(child, 'exit');
  exited.catch(() => {});
  const line = async (): Promise<string> => {
    const next = await lines.next();
    if (next.done === true) throw new Error(`${command} ${args.join(' ')} ended before it said anything`);
    return next.value;
  };
  return {
    child,
    line,
    async ask<T>(question = '') {
      child.stdin!.write(`${question}\n`);
      return JSON.parse(await line()) as T;
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
  };
}

/** Runs a program to its end and gives its standard output; throws when it fails. */
export async function output(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk;
  });
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${errors || text}`);
  return text;
}

/** Another module of bench/, by its name without ending, as a child process of the same node with more options. */
export function startBench(
  name: string,
  args: readonly string[] = [],
  nodeOptions: readonly string[] = [],
): Running {
  const file = fileURLToPath(new URL(`${name}${extname(import.meta.url)}`, import.meta.url));
  return start(process.execPath, [...process.execArgv, ...nodeOptions, file, ...args]);
}

/** User and system CPU seconds that a process has used. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** How often the threads of a process were switched out, by themselves or not. */
export function contextSwitches(pid: number): number {
  let switches = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    for (const [, times] of status.matchAll(/ctxt_switches:\s+(\d+)/g)) switches += Number(times);
  }
  return switches;
}

/** Peak resident set of a process, MiB. */
export function peakRssMiB(pid: number): number {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}
