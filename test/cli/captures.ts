/** The kernel's captures beside the checkout; without them those that are kept in test/data. */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const beside = fileURLToPath(new URL('../../../shared/captures/', import.meta.url));
const own = fileURLToPath(new URL('../data/', import.meta.url));
const folder = existsSync(beside) ? beside : own;
if (folder === own) console.log(`skipped: all captures but those of test/data, as there is no ${beside}`);

const list = (where: string, ending: string): (readonly [string, string])[] =>
  readdirSync(where)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => [name.replace(ending, ''), `${where}${name}`] as const);

/** `[name, path]` of each. */
export const captures: readonly (readonly [string, string])[] = list(folder, '.pcap');

/** Those of test/data that are kept compressed, for tests of the client. */
const compressed = list(own, '.pcap.gz');

/** The path of one capture, `.pcap` or `.pcap.gz`; empty where it is absent. */
export function capture(prefix: string): string {
  return [...captures, ...compressed].find(([name]) => name.startsWith(prefix))?.[1] ?? '';
}
