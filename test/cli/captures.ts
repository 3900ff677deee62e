/** The kernel's captures: those that tests need are kept in test/data; all are beside the checkout where that is there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { type CapturedFrame, readCaptureBytes } from '../../lib/cli/decode/pcap.ts';

const beside = fileURLToPath(new URL('../../../shared/captures/', import.meta.url));
const own = fileURLToPath(new URL('../data/', import.meta.url));
const folder = existsSync(beside) ? beside : own;
if (folder === own) console.log(`skipped: all captures but those of test/data, as there is no ${beside}`);

const list = (where: string): (readonly [string, string])[] =>
  readdirSync(where)
    .filter((name) => /\.pcap(\.br)?$/.test(name))
    .sort()
    .map((name) => [name.replace(/\.pcap(\.br)?$/, ''), `${where}${name}`] as const);

/** `[name, path]` of each that is no compressed file. */
export const captures: readonly (readonly [string, string])[] = list(folder).filter(
  ([, path]) => !path.endsWith('.br'),
);

const kept = list(own);

/** The path of one capture, for `captureBytes`; empty where it is absent. */
export function capture(prefix: string): string {
  return [...kept, ...captures].find(([name]) => name.startsWith(prefix))?.[1] ?? '';
}

/** What is in a capture. A Uint8Array and no Buffer: slices of those are not copies. */
export function captureBytes(path: string): Uint8Array {
  const bytes = readFileSync(path);
  return new Uint8Array(path.endsWith('.br') ? brotliDecompressSync(bytes) : bytes);
}

export const captureFrames = (path: string): AsyncGenerator<CapturedFrame> =>
  readCaptureBytes(path, captureBytes(path));
