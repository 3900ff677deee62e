/**
 * How a running process is looked into from outside: a Unix socket, for its own user only. One question a connection, a
 * line of JSON; one answer, JSON, then the end.
 */
import { chmod, rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { ReportOptions } from './ldlm/lock-report.ts';
import { errnoOf, LustreError } from './runtime/errors.ts';

/** Of a question, bytes; and how long one may take to come, milliseconds. */
const QUESTION_MAX = 4096;
const QUESTION_MS = 5000;
/** Of an answer that is taken in, bytes. */
const ANSWER_MAX = 1 << 30;
/** What the kernel can name. */
const PATH_MAX = 107;

/** Where `lustre serve` listens. */
export function controlPath(dir: string): string {
  return join(dir, 'control.sock');
}

/** By what is asked. What they give goes out as JSON; bigints are not for it. */
export type ControlAnswers = Readonly<
  Record<string, (question: Readonly<Record<string, unknown>>) => unknown>
>;

export interface ControlSocket {
  readonly path: string;
  close(): Promise<void>;
}

/** Listens at `path`; a socket that a dead process left there is replaced. Rejects with EADDRINUSE when one answers. */
export async function listenControl(path: string, answers: ControlAnswers): Promise<ControlSocket> {
  if (Buffer.byteLength(path) > PATH_MAX)
    throw new LustreError(
      'ENAMETOOLONG',
      `a socket's path has at most ${PATH_MAX} bytes`,
      { path, hint: 'Use a directory with a shorter name' },
      -36,
    );
  const server = createServer({ allowHalfOpen: true }, (socket) => answer(socket, answers));
  server.unref();
  try {
    await listen(server, path);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE' || (await isAnswered(path))) throw error;
    await rm(path, { force: true });
    await listen(server, path);
  }
  await chmod(path, 0o600);
  return {
    path,
    // Closing removes the socket from its directory.
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** The socket of a mount or of servers, whose locks can be asked for, and what `more` names. */
export function listenForLocks(
  path: string,
  locks: (options: ReportOptions) => unknown,
  more: ControlAnswers = {},
): Promise<ControlSocket> {
  return listenControl(path, {
    ...more,
    locks: ({ limit, contended }) =>
      locks({ ...(typeof limit === 'number' && { limit }), contended: contended === true }),
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function answer(socket: Socket, answers: ControlAnswers): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.setTimeout(QUESTION_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > QUESTION_MAX) socket.destroy();
    else if (text.includes('\n')) {
      socket.removeAllListeners('data');
      void reply(socket, text, answers);
    }
  });
}

async function reply(socket: Socket, text: string, answers: ControlAnswers): Promise<void> {
  try {
    const question: unknown = JSON.parse(text);
    const asked = typeof question === 'object' && question !== null ? { ...question } : {};
    const name = 'ask' in asked ? String(asked.ask) : '';
    const give = Object.hasOwn(answers, name) ? answers[name] : undefined;
    if (give === undefined) {
      const known = Object.keys(answers).sort().join(', ');
      throw new LustreError(
        'EINVAL',
        `nothing is known of '${name}'`,
        { hint: `Ask for one of: ${known}` },
        -22,
      );
    }
    socket.end(`${JSON.stringify({ answer: await give(asked) })}\n`);
  } catch (error) {
    socket.end(`${JSON.stringify({ error: (error as Error).message })}\n`);
  }
}

/** Asks a running process. Rejects with ENOENT or ECONNREFUSED when none listens, and with what it says went wrong. */
export async function askControl(
  path: string,
  ask: string,
  question: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const socket = createConnection(path);
  try {
    socket.end(`${JSON.stringify({ ...question, ask })}\n`);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > ANSWER_MAX) throw new LustreError('EFBIG', 'the answer is too long', { path }, -27);
    }
  } catch (error) {
    if (error instanceof LustreError) throw error;
    throw new LustreError(
      (error as { code?: string }).code ?? 'EIO',
      'no process answers at this socket',
      { path, hint: 'Is the process running, and run by the same user?', cause: error },
      -errnoOf(error),
    );
  } finally {
    socket.destroy();
  }
  const said: unknown = JSON.parse(Buffer.concat(chunks).toString());
  if (typeof said === 'object' && said !== null && 'answer' in said) return said.answer;
  const why = typeof said === 'object' && said !== null && 'error' in said ? String(said.error) : 'no answer';
  throw new LustreError('EIO', why, { path }, -5);
}
