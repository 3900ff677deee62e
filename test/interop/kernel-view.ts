/** What a kernel client sees of our directory, and what it can do there, by the commands that every system has. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const OUTPUT_MAX = 1 << 26;

/** Attributes as stat(1) prints them. */
export interface KernelStat {
  readonly ino: bigint;
  readonly size: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly atime: number;
  readonly ctime: number;
}

export class KernelView {
  readonly #shell: readonly string[];
  readonly #dir: string;

  /** `shell`: the words of a command that takes a script as its last argument. `dir`: our directory, as that shell sees it. */
  constructor(shell: string, dir: string) {
    this.#shell = shell.split(' ').filter((word) => word !== '');
    this.#dir = dir;
  }

  /** Runs a script in our directory; resolves with what it printed, rejects with what it complained of. */
  async sh(script: string): Promise<string> {
    const [command = 'sh', ...words] = this.#shell;
    const { stdout } = await run(command, [...words, `cd ${quote(this.#dir)} && { ${script}\n}`], {
      maxBuffer: OUTPUT_MAX,
    });
    return stdout;
  }

  async stat(name: string): Promise<KernelStat> {
    const text = await this.sh(`stat -c '%i %s %f %h %u %g %Y %X %Z' -- ${quote(name)}`);
    const [ino = '0', size, mode = '0', nlink, uid, gid, mtime, atime, ctime] = text.trim().split(' ');
    return {
      ino: BigInt(ino),
      size: Number(size),
      mode: Number.parseInt(mode, 16),
      nlink: Number(nlink),
      uid: Number(uid),
      gid: Number(gid),
      mtime: Number(mtime),
      atime: Number(atime),
      ctime: Number(ctime),
    };
  }

  async names(directory = '.'): Promise<string[]> {
    const text = await this.sh(`ls -A1 -- ${quote(directory)}`);
    return text.split('\n').filter((name) => name !== '');
  }

  async sha256(name: string): Promise<string> {
    return (await this.sh(`sha256sum < ${quote(name)}`)).slice(0, 64);
  }

  /** Rejects when there is no such attribute. */
  async xattr(name: string, attribute: string): Promise<Buffer> {
    const text = await this.sh(
      `getfattr --absolute-names -h -e hex -n ${quote(attribute)} -- ${quote(name)}`,
    );
    const hex = /=0x([0-9a-f]*)/.exec(text)?.[1];
    if (hex === undefined) throw new Error(`getfattr printed ${text}`);
    return Buffer.from(hex, 'hex');
  }
}

export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
