// One of several client processes that race for the same files (test/client/racing-processes.test.ts): takes a line of JSON
// {race, seconds} at a time and answers with what it did. What went wrong otherwise than a race may go ends it.
//
//   racing-client.mjs LIBRARY SPEC PORT NUMBER
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';

const [library, spec, port, number] = process.argv.slice(2);
const { mount } = await import(library);
const me = Number(number);
const CLIENTS = 8;
const RECORD = 1000;

const lustre = await mount(spec, { port: Number(port) });
const payload = (n, length) => Buffer.alloc(length, createHash('sha256').update(`${me}/${n}`).digest());

/** Repeats until the time is over; resolves with how often `work` said that it had done it. */
async function until(seconds, work) {
  let done = 0;
  for (const end = performance.now() + seconds * 1000; performance.now() < end; )
    if (await work(done)) done++;
  return done;
}

/** One more in a file of 16 digits; only who holds what excludes the others may do that. */
async function increment(path) {
  const file = await lustre.open(path, 'r+');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(16), 0, 16, 0);
    if (bytesRead !== 16) throw new Error(`${path} has ${bytesRead} bytes`);
    await file.write(String(Number(buffer.toString()) + 1).padStart(16, '0'), 0);
  } finally {
    await file.close();
  }
}

/** False where somebody was faster; all else is an error. */
const unless = (code) => (error) => {
  if (error.code !== code) throw error;
  return false;
};

const races = {
  /** One file, records of all clients in turn, none on a page's boundary. */
  async records(seconds) {
    const file = await lustre.open('/records', 'r+');
    const done = await until(seconds, async (n) => {
      await file.write(payload(n, RECORD), 0, RECORD, (n * CLIENTS + me) * RECORD);
      return true;
    });
    await file.close();
    return done;
  },

  /** All append to one file. */
  async appends(seconds) {
    const file = await lustre.open('/log', 'a');
    const done = await until(seconds, async (n) => {
      const bytes = payload(n, 40 + ((n * 37 + me * 11) % 3000));
      const head = Buffer.alloc(12);
      head.writeUInt32LE(me, 0);
      head.writeUInt32LE(n, 4);
      head.writeUInt32LE(bytes.length, 8);
      await file.write(Buffer.concat([head, bytes]));
      return true;
    });
    await file.close();
    return done;
  },

  /** Who could rename the ball to a name of his own has it. */
  renames: (seconds) =>
    until(seconds, async () => {
      const mine = `/court/ball-${me}`;
      if ((await lustre.rename('/court/ball', mine).catch(unless('ENOENT'))) === false) return false;
      await increment(mine);
      await lustre.rename(mine, '/court/ball');
      return true;
    }),

  /** Who could make the file has the turn, until he removes it. */
  unlinks: (seconds) =>
    until(seconds, async () => {
      const turn = await lustre.open('/court/turn', 'wx').catch(unless('EEXIST'));
      if (turn === false) return false;
      await turn.close();
      await increment('/court/count');
      await lustre.unlink('/court/turn');
      return true;
    }),

  /** Whole-file locks back and forth, and the extent locks of what is read and written under them. */
  async locks(seconds) {
    const file = await lustre.open('/court/locked', 'r+');
    const done = await until(seconds, async () => {
      await file.flock('exclusive');
      await increment('/court/locked');
      await file.flock('unlock');
      return true;
    });
    await file.close();
    return done;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { race, seconds } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ done: await races[race](seconds) })}\n`);
}
await lustre.unmount();
