/** Sums a file when this process has no descriptor left (start it with few), and prints the code of the error. */
import { closeSync, openSync } from 'node:fs';
import { openNativeStorage } from '../../../lib/lnet/native-storage.ts';

const storage = openNativeStorage();
const fd = openSync('/dev/null', 'r');
const taken: number[] = [];
try {
  for (;;) taken.push(openSync('/dev/null', 'r'));
} catch {
  // None left.
}
const summed = storage.checksumRanges({ fd, path: '/dev/null' }, [{ offset: 0, length: 1 }], 'crc32c');
const code = await summed.then(
  () => 'none',
  (error: NodeJS.ErrnoException) => error.code,
);
for (const other of taken) closeSync(other);
process.stdout.write(`${code}\n`);
