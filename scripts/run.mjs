/**
 * How the project's scripts run other programs: output kept back while all goes well, shown whole when a program
 * fails. Plain Node, no packages: it runs before there are any.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's top folder, where every command runs. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A step that failed; what the user needs to know is already printed or in the message. */
export class StepError extends Error {}

/**
 * Runs a program in the project's top folder. Resolves with {status, output}; never rejects for a non-zero status.
 * `quiet` keeps the output back and returns it, otherwise it goes straight to the terminal.
 */
export function run(command, args, { quiet = true, env = {}, cwd = root, timeoutMs } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'],
      timeout: timeoutMs,
    });
    let output = '';
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout?.setEncoding('utf8').on('data', keep);
    child.stderr?.setEncoding('utf8').on('data', keep);
    child.on('error', (error) => resolve({ status: 127, output: `${command}: ${error.message}\n` }));
    child.on('close', (status, signal) => {
      if (signal) output += `${command} ended by ${signal}\n`;
      resolve({ status: status ?? 1, output });
    });
  });
}

/** Runs a step that must succeed: says what it does in a line, prints the program's output only when it fails. */
export async function step(title, command, args, options = {}) {
  process.stderr.write(`  ${title} ...`);
  const started = performance.now();
  const { status, output } = await run(command, args, options);
  if (status !== 0) {
    process.stderr.write(` failed\n${output}`);
    throw new StepError(`${title}: ${[command, ...args].join(' ')} ended with status ${status}`);
  }
  process.stderr.write(` ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

/** Where a program stands in the PATH, or undefined. */
export function which(program) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    const file = join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder; the next one may have it.
    }
  }
  return undefined;
}

/** The latest modification time, ms, of files and of everything below folders; missing paths count as 0. */
export function newest(paths, skip = () => false) {
  let latest = 0;
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full) || skip(path)) continue;
    const stats = statSync(full);
    latest = Math.max(latest, stats.mtimeMs);
    if (stats.isDirectory()) {
      latest = Math.max(
        latest,
        newest(
          readdirSync(full).map((name) => join(path, name)),
          skip,
        ),
      );
    }
  }
  return latest;
}
