/** The kernel's captures beside the checkout. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../../shared/captures/', import.meta.url));

/** `[name, path]` of each; empty where they are absent. */
export const captures: readonly (readonly [string, string])[] = existsSync(folder)
  ? readdirSync(folder)
      .filter((name) => name.endsWith('.pcap'))
      .sort()
      .map((name) => [name.replace('.pcap', ''), `${folder}${name}`] as const)
  : [];

if (captures.length === 0) console.log(`skipped: no captures in ${folder}`);

/** The path of one capture. */
export function capture(prefix: string): string {
  return captures.find(([name]) => name.startsWith(prefix))?.[1] ?? '';
}
