/** The kernel's captures beside the checkout; without them the one that is kept in test/data. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const beside = fileURLToPath(new URL('../../../shared/captures/', import.meta.url));
const own = fileURLToPath(new URL('../data/', import.meta.url));
const folder = existsSync(beside) ? beside : own;
if (folder === own) console.log(`skipped: all captures but those of test/data, as there is no ${beside}`);

/** `[name, path]` of each. */
export const captures: readonly (readonly [string, string])[] = readdirSync(folder)
  .filter((name) => name.endsWith('.pcap'))
  .sort()
  .map((name) => [name.replace('.pcap', ''), `${folder}${name}`] as const);

/** The path of one capture; empty where it is absent. */
export function capture(prefix: string): string {
  return captures.find(([name]) => name.startsWith(prefix))?.[1] ?? '';
}
