/**
 * Random operations on a few files and directories by several clients, each checked against a model at once (in the manner of
 * fsx and fsstress). Lanes run side by side, each in a directory of its own; within a lane one operation follows the other,
 * each by a client that chance picks. One seed decides all of it.
 */
import type { FileHandle, Filesystem, StripingOptions } from '../../lib/index.ts';
import { SeededRandom } from '../../lib/sim/random.ts';
import { outcome, same, sameBytes, sameStat } from './comparison.ts';
import { type Inode, Model, resize, write } from './model.ts';

export interface Exercise {
  readonly clients: readonly Filesystem[];
  /** Exists and is empty. */
  readonly dir: string;
  readonly seed: number;
  readonly lanes: number;
  /** Layouts that new files get, besides the default. */
  readonly layouts: readonly StripingOptions[];
  /** Whether another operation follows, in each lane, after so many. */
  readonly goOn: (done: number) => boolean;
}

const FILE_MAX = 3 << 20;
const OPEN_MAX = 6;
/** The last operations of a lane, for whoever looks into a failure. */
const LOG_LINES = 100;
const directories = ['', 'p/', 'q/', 'p/r/'];
const names = ['a', 'b', 'c', 'd', 'e', 'p', 'q', 'r'];
const xattrNames = ['user.one', 'user.two'];

interface Open {
  readonly handle: FileHandle;
  /** How the log calls it. */
  readonly name: string;
  readonly inode: Inode;
  readonly append: boolean;
  readonly writable: boolean;
}

/** Resolves with the operations done; throws what went wrong, with the seed and what came before. */
export async function exercise(options: Exercise): Promise<number> {
  const lanes = Array.from({ length: options.lanes }, (_, lane) => new Lane(options, lane));
  const done = await Promise.all(lanes.map((lane) => lane.run()));
  return done.reduce((sum, count) => sum + count, 0);
}

class Lane {
  readonly #options: Exercise;
  readonly #dir: string;
  readonly #random: SeededRandom;
  readonly #model = new Model();
  readonly #open: Open[] = [];
  readonly #log: string[] = [];
  readonly #operations: readonly (readonly [number, () => Promise<void>])[] = [
    [8, () => this.#openFile()],
    [14, () => this.#write()],
    [14, () => this.#read()],
    [4, () => this.#resize()],
    [4, () => this.#close()],
    [2, () => this.#sync()],
    [4, () => this.#handleStat()],
    [6, () => this.#stat()],
    [4, () => this.#readFile()],
    [2, () => this.#writeFile()],
    [3, () => this.#truncate()],
    [4, () => this.#mkdir()],
    [2, () => this.#rmdir()],
    [4, () => this.#unlink()],
    [6, () => this.#rename()],
    [3, () => this.#link()],
    [2, () => this.#symlink()],
    [2, () => this.#readlink()],
    [4, () => this.#readdir()],
    [2, () => this.#chmod()],
    [2, () => this.#utimes()],
    [2, () => this.#setxattr()],
    [2, () => this.#getxattr()],
  ];

  constructor(options: Exercise, lane: number) {
    this.#options = options;
    this.#dir = `${options.dir}/lane${lane}`;
    this.#random = new SeededRandom(options.seed, lane);
  }

  async run(): Promise<number> {
    let done = 0;
    try {
      await this.#client().mkdir(this.#dir);
      const weights = this.#operations.reduce((sum, [weight]) => sum + weight, 0);
      while (this.#options.goOn(done)) {
        await this.#operation(this.#random.below(weights));
        done++;
      }
      for (const { handle } of this.#open.splice(0)) await handle.close();
      for (const client of this.#options.clients) await this.#compareAll(client, '', this.#model.root);
    } catch (error) {
      throw new Error(
        `seed ${this.#options.seed}, ${this.#dir}, operation ${done}: ${error instanceof Error ? error.message : error}\n` +
          this.#log.join('\n'),
        { cause: error },
      );
    }
    return done;
  }

  // ---- what chance picks

  #operation(ticket: number): Promise<void> {
    let left = ticket;
    for (const [weight, operation] of this.#operations) {
      if (left < weight) return operation();
      left -= weight;
    }
    throw new RangeError(`no operation has ticket ${ticket}`);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!;
  }

  #client(): Filesystem {
    return this.#pick(this.#options.clients);
  }

  #path(): string {
    return this.#pick(directories) + this.#pick(names);
  }

  #layout(): StripingOptions {
    return this.#random.chance(0.5) ? this.#pick([{}, ...this.#options.layouts]) : {};
  }

  /** Mostly small, around pages now and then, sometimes more than an RPC. */
  #length(): number {
    const kind = this.#random.below(10);
    if (kind < 6) return 1 + this.#random.below(300);
    if (kind < 9) return 4096 * this.#random.below(16) + this.#random.below(3);
    return this.#random.below(FILE_MAX / 2);
  }

  #offset(size: number): number {
    if (this.#random.chance(0.4)) return this.#random.below(size + 1);
    return Math.min(this.#random.below(FILE_MAX), this.#random.below(4) * 65536 + this.#random.below(5000));
  }

  #bytes(length: number): Buffer {
    return Buffer.alloc(length, this.#random.bytes(16 + this.#random.below(16)));
  }

  // ---- how an operation is checked

  /** Both do it: the same error, or the same value. Resolves with the model's value, or undefined after an error. */
  async #both<T>(
    what: string,
    client: Filesystem,
    real: () => Promise<unknown>,
    model: () => T,
    same: (real: unknown, model: T) => void = () => {},
  ): Promise<T | undefined> {
    const line = `client ${this.#options.clients.indexOf(client)}: ${what}`;
    this.#note(line);
    const wanted = outcome(model);
    let got: { value: unknown } | { error: Error & { code?: string } };
    try {
      got = { value: await real() };
    } catch (error) {
      got = { error: error as Error };
    }
    if ('error' in got) {
      if ('code' in wanted && wanted.code.split(' or ').includes(got.error.code ?? '')) return undefined;
      const expected = 'code' in wanted ? wanted.code : 'success';
      throw new Error(`${line}: ${expected} was expected`, { cause: got.error });
    }
    if ('code' in wanted) throw new Error(`${line}: ${wanted.code} was expected`);
    try {
      same(got.value, wanted.value);
    } catch (error) {
      throw new Error(`${line}: ${(error as Error).message}`);
    }
    return wanted.value;
  }

  #note(line: string): void {
    this.#log.push(line);
    if (this.#log.length > LOG_LINES) this.#log.shift();
  }

  #real(path: string): string {
    return `${this.#dir}/${path}`;
  }

  // ---- open files

  async #openFile(): Promise<void> {
    if (this.#open.length >= OPEN_MAX) return this.#close();
    const client = this.#client();
    const path = this.#path();
    const flags = this.#pick(['r', 'r+', 'w', 'w+', 'wx', 'a', 'a+'] as const);
    // A file that is there has its layout.
    const there = outcome(() => this.#model.lookup(path));
    const layout = 'code' in there && flags !== 'r' && flags !== 'r+' ? this.#layout() : {};
    const direct = this.#random.chance(0.2);
    let handle: FileHandle | undefined;
    const inode = await this.#both(
      `open ${path} ${flags} ${direct ? 'direct ' : ''}${JSON.stringify(layout)}`,
      client,
      async () => {
        handle = await client.open(this.#real(path), flags, 0o644, { ...layout, direct });
      },
      () => {
        if (flags === 'r') return this.#model.openForReading(path);
        if (flags === 'wx') return this.#model.create(path, 'file', 0o644);
        if (flags === 'r+') {
          const found = this.#model.openForReading(path);
          return found.kind === 'directory' ? this.#model.openForWriting(path, 0) : found;
        }
        const found = this.#model.openForWriting(path, 0o644);
        if (flags.startsWith('w') && found.bytes.length > 0) resize(found, 0);
        if (flags.startsWith('w')) found.mtime = undefined;
        return found;
      },
    );
    if (handle === undefined || inode === undefined) return;
    const name = `${this.#options.clients.indexOf(client)}/${handle.fd}`;
    this.#note(`  it is ${name}`);
    if (inode.kind === 'directory') await handle.close();
    else this.#open.push({ handle, name, inode, append: flags.startsWith('a'), writable: flags !== 'r' });
  }

  #opened(which: (open: Open) => boolean): Open | undefined {
    const fitting = this.#open.filter(which);
    return fitting.length === 0 ? undefined : this.#pick(fitting);
  }

  async #write(): Promise<void> {
    const open = this.#opened(({ writable }) => writable);
    if (open === undefined) return this.#openFile();
    const { inode, handle, name, append } = open;
    const at = append ? inode.bytes.length : this.#offset(inode.bytes.length);
    const bytes = this.#bytes(Math.min(this.#length(), FILE_MAX - Math.min(at, FILE_MAX - 1)));
    if (at + bytes.length > FILE_MAX) return this.#resize();
    this.#note(`write ${name} at ${at}: ${bytes.length}${append ? ' (append)' : ''}`);
    // Where an append goes is not the caller's to say.
    await handle.write(bytes, { position: append ? 0 : at });
    write(inode, at, bytes);
  }

  async #read(): Promise<void> {
    const open = this.#opened(() => true);
    if (open === undefined) return this.#openFile();
    const at = this.#offset(open.inode.bytes.length);
    const buffer = Buffer.alloc(this.#length());
    this.#note(`read ${open.name} at ${at}: ${buffer.length}`);
    const readable = await open.handle.read(buffer, { position: at }).then(
      ({ bytesRead }) => buffer.subarray(0, bytesRead),
      (error: Error & { code?: string }) => {
        // Opened for writing only.
        if (error.code !== 'EBADF') throw error;
        return undefined;
      },
    );
    if (readable !== undefined) sameBytes(readable, open.inode.bytes.subarray(at, at + buffer.length), at);
  }

  async #resize(): Promise<void> {
    const open = this.#opened(({ writable }) => writable);
    if (open === undefined) return this.#openFile();
    const length = this.#offset(open.inode.bytes.length);
    this.#note(`ftruncate ${open.name} to ${length}`);
    await open.handle.truncate(length);
    resize(open.inode, length);
  }

  async #close(): Promise<void> {
    if (this.#open.length === 0) return;
    const [{ handle, name }] = this.#open.splice(this.#random.below(this.#open.length), 1) as [Open];
    this.#note(`close ${name}`);
    await handle.close();
  }

  async #sync(): Promise<void> {
    const open = this.#opened(() => true);
    this.#note(`fsync ${open?.name}`);
    await open?.handle.sync();
  }

  async #handleStat(): Promise<void> {
    const open = this.#opened(() => true);
    if (open === undefined) return;
    this.#note(`fstat ${open.name}`);
    sameStat(await open.handle.stat(), open.inode);
  }

  // ---- names

  async #stat(): Promise<void> {
    const [client, path, follow] = [this.#client(), this.#path(), this.#random.chance(0.5)];
    await this.#both(
      `${follow ? 'stat' : 'lstat'} ${path}`,
      client,
      () => (follow ? client.stat(this.#real(path)) : client.lstat(this.#real(path))),
      () => (follow ? this.#model.follow(path) : this.#model.lookup(path)),
      (real, inode) => sameStat(real as Awaited<ReturnType<Filesystem['lstat']>>, inode),
    );
  }

  async #readFile(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    await this.#both(
      `readFile ${path}`,
      client,
      () => client.readFile(this.#real(path)),
      () => {
        const found = this.#model.openForReading(path);
        return found.kind === 'directory' ? this.#model.openForWriting(path, 0) : found;
      },
      (real, inode) => sameBytes(real as Buffer, inode.bytes, 0),
    );
  }

  async #writeFile(): Promise<void> {
    const [client, path, bytes] = [this.#client(), this.#path(), this.#bytes(this.#length())];
    await this.#both(
      `writeFile ${path}: ${bytes.length}`,
      client,
      () => client.writeFile(this.#real(path), bytes, { mode: 0o644 }),
      () => {
        const found = this.#model.openForWriting(path, 0o644);
        resize(found, 0);
        write(found, 0, bytes);
      },
    );
  }

  async #truncate(): Promise<void> {
    const [client, path, length] = [this.#client(), this.#path(), this.#offset(0)];
    await this.#both(
      `truncate ${path} to ${length}`,
      client,
      () => client.truncate(this.#real(path), length),
      () => this.#model.truncate(path, length),
    );
  }

  async #mkdir(): Promise<void> {
    const client = this.#client();
    // Mostly those that paths go through.
    const path = this.#random.chance(0.8) ? this.#pick(['p', 'q', 'p/r']) : this.#path();
    await this.#both(
      `mkdir ${path}`,
      client,
      () => client.mkdir(this.#real(path), { mode: 0o755 }),
      () => this.#model.create(path, 'directory', 0o755),
    );
  }

  async #rmdir(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    await this.#both(
      `rmdir ${path}`,
      client,
      () => client.rmdir(this.#real(path)),
      () => this.#model.rmdir(path),
    );
  }

  async #unlink(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    await this.#both(
      `unlink ${path}`,
      client,
      () => client.unlink(this.#real(path)),
      () => this.#model.unlink(path),
    );
  }

  async #rename(): Promise<void> {
    const [client, from, to] = [this.#client(), this.#path(), this.#path()];
    await this.#both(
      `rename ${from} ${to}`,
      client,
      () => client.rename(this.#real(from), this.#real(to)),
      () => this.#model.rename(from, to),
    );
  }

  async #link(): Promise<void> {
    const [client, from, to] = [this.#client(), this.#path(), this.#path()];
    await this.#both(
      `link ${from} ${to}`,
      client,
      () => client.link(this.#real(from), this.#real(to)),
      () => this.#model.link(from, to),
    );
  }

  async #symlink(): Promise<void> {
    // To a letter that is a name of no link: no circles.
    const [client, path, target] = [this.#client(), this.#path(), 'none'];
    await this.#both(
      `symlink ${target} ${path}`,
      client,
      () => client.symlink(target, this.#real(path)),
      () => this.#model.create(path, 'symlink', 0o777, target),
    );
  }

  async #readlink(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    await this.#both(
      `readlink ${path}`,
      client,
      () => client.readlink(this.#real(path)),
      () => this.#model.readlink(path),
      (real, target) => same(real, target),
    );
  }

  async #readdir(): Promise<void> {
    const client = this.#client();
    const path = this.#pick(['', 'p', 'q', 'p/r']);
    await this.#both(
      `readdir ${path}`,
      client,
      () => client.readdir(this.#real(path)),
      () => {
        const found = this.#model.follow(path);
        return found.kind === 'directory' ? found : this.#model.place(`${path}/x`).parent;
      },
      (real, inode) => same((real as string[]).sort(), [...inode.entries.keys()].sort()),
    );
  }

  async #chmod(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    const mode = 0o600 + this.#random.below(0o100);
    await this.#both(
      `chmod ${path} ${mode.toString(8)}`,
      client,
      () => client.chmod(this.#real(path), mode | 0o100),
      () => {
        this.#model.follow(path).mode = mode | 0o100;
      },
    );
  }

  async #utimes(): Promise<void> {
    const [client, path] = [this.#client(), this.#path()];
    const mtime = 1_000_000_000 + this.#random.below(500_000_000);
    await this.#both(
      `utimes ${path} ${mtime}`,
      client,
      () => client.utimes(this.#real(path), mtime, mtime),
      () => {
        const found = this.#model.follow(path);
        if (found.kind === 'file') found.mtime = mtime;
      },
    );
  }

  async #setxattr(): Promise<void> {
    const [client, path, name] = [this.#client(), this.#path(), this.#pick(xattrNames)];
    const value = `${this.#random.next()}`.repeat(1 + this.#random.below(20));
    await this.#both(
      `setxattr ${path} ${name}`,
      client,
      () => client.setxattr(this.#real(path), name, value),
      () => void this.#model.follow(path).xattrs.set(name, value),
    );
  }

  async #getxattr(): Promise<void> {
    const [client, path, name] = [this.#client(), this.#path(), this.#pick(xattrNames)];
    await this.#both(
      `getxattr ${path} ${name}`,
      client,
      async () => (await client.getxattr(this.#real(path), name)).toString(),
      () => this.#model.getxattr(path, name),
      (real, value) => same(real, value),
    );
  }

  // ---- the end

  async #compareAll(client: Filesystem, path: string, directory: Inode): Promise<void> {
    this.#note(`client ${this.#options.clients.indexOf(client)} compares ${path === '' ? 'all' : path}`);
    same((await client.readdir(this.#real(path))).sort(), [...directory.entries.keys()].sort());
    for (const [name, inode] of directory.entries) {
      const at = path === '' ? name : `${path}/${name}`;
      sameStat(await client.lstat(this.#real(at)), inode);
      if (inode.kind === 'directory') await this.#compareAll(client, at, inode);
      if (inode.kind === 'file') sameBytes(await client.readFile(this.#real(at)), inode.bytes, 0);
      if (inode.kind === 'symlink') same(await client.readlink(this.#real(at)), inode.target);
    }
  }
}
