/** Progress of long work: a bar on a TTY's stderr, a plain line now and then otherwise, nothing with `--json`. */
import cliProgress from 'cli-progress';
import { formatBytes } from './output.ts';

export interface Progress {
  add(bytes: number, files: number): void;
  done(): void;
}

/** Plain lines come at most this often. */
const LINE_EVERY_MS = 5000;

export function startProgress(
  label: string,
  totalBytes: number,
  totalFiles: number,
  quiet = false,
): Progress {
  if (quiet) return { add: () => {}, done: () => {} };
  return process.stderr.isTTY ? bar(label, totalBytes, totalFiles) : lines(label, totalBytes, totalFiles);
}

function bar(label: string, totalBytes: number, totalFiles: number): Progress {
  let bytes = 0;
  let files = 0;
  const started = performance.now();
  const view = new cliProgress.SingleBar(
    {
      format: '{label} {bar} {percentage}% | {files}/{totalFiles} files | {size} | {rate}/s',
      hideCursor: true,
      clearOnComplete: false,
      stream: process.stderr,
      fps: 8,
    },
    cliProgress.Presets.shades_classic,
  );
  const payload = (): object => ({
    label: label.padEnd(10),
    files,
    totalFiles,
    size: formatBytes(bytes),
    rate: formatBytes(bytes / Math.max(0.001, (performance.now() - started) / 1000)),
  });
  view.start(Math.max(1, totalBytes), 0, payload());
  return {
    add(moreBytes, moreFiles) {
      bytes += moreBytes;
      files += moreFiles;
      view.update(Math.min(bytes, totalBytes), payload());
    },
    done() {
      view.update(Math.max(1, totalBytes), payload());
      view.stop();
    },
  };
}

function lines(label: string, totalBytes: number, totalFiles: number): Progress {
  let bytes = 0;
  let files = 0;
  let last = performance.now();
  const print = (): void => {
    process.stderr.write(
      `${label}: ${files}/${totalFiles} files, ${formatBytes(bytes)} of ${formatBytes(totalBytes)}\n`,
    );
  };
  return {
    add(moreBytes, moreFiles) {
      bytes += moreBytes;
      files += moreFiles;
      if (performance.now() - last < LINE_EVERY_MS) return;
      last = performance.now();
      print();
    },
    done: print,
  };
}
