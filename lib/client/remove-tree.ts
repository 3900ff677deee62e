/** rm with `recursive`: children before their directory, several at a time. */
import { Errno, errnoError, type LustreError } from '../runtime/errors.ts';
import type { Engine } from './engine.ts';
import { isDirectory } from './namespace/attributes.ts';
import type { Operations, SignalOption } from './operations.ts';

/** Names removed at the same time in one directory. */
const PARALLEL = 16;

export async function removeTree(
  engine: Engine,
  operations: Operations,
  path: string,
  options: SignalOption & { readonly recursive?: boolean; readonly force?: boolean },
): Promise<void> {
  const tolerant = (error: LustreError): void => {
    if (error.code !== 'ENOENT' || options.force !== true) throw error;
  };
  try {
    await operations.run(options, (op) => engine.unlink(path, op));
  } catch (error) {
    const { code } = error as LustreError;
    // Linux says EISDIR, POSIX EPERM.
    if (code !== 'EISDIR' && code !== 'EPERM') return tolerant(error as LustreError);
    const directory = await operations
      .run(options, (op) => engine.stat(path, false, op))
      .then((stats) => isDirectory(stats.mode));
    if (!directory) throw error;
    if (options.recursive !== true)
      throw errnoError(Errno.EISDIR, {
        syscall: 'rm',
        path,
        hint: 'Give recursive: true to remove a directory',
      });
    await removeDirectory(engine, operations, path, options).catch(tolerant);
  }
}

async function removeDirectory(
  engine: Engine,
  operations: Operations,
  path: string,
  options: SignalOption,
): Promise<void> {
  const handle = await operations.run(options, (op) => engine.opendir(path, op));
  try {
    for (;;) {
      const entries = await operations.run(options, (op) => engine.readdir(handle, op));
      if (entries.length === 0) break;
      await inParallel(entries, async ({ name, type }) => {
        const child = path.endsWith('/') ? path + name : `${path}/${name}`;
        if (isDirectory(type)) return removeDirectory(engine, operations, child, options);
        await removeTree(engine, operations, child, { ...options, recursive: true, force: true });
      });
    }
  } finally {
    await engine.close(handle);
  }
  await operations.run(options, (op) => engine.rmdir(path, op));
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && next < items.length) {
      try {
        await work(items[next++] as T);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL, items.length) }, lane));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
