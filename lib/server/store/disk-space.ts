/** Free space of the file system under a directory, as a metadata target's statfs tells it. */
import { statfs } from 'node:fs/promises';

export interface DiskSpace {
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
}

/** Rejects with the file system's own error. */
export async function diskSpace(path: string): Promise<DiskSpace> {
  const s = await statfs(path, { bigint: true });
  return {
    blockSize: Number(s.bsize),
    blocks: s.blocks,
    free: s.bfree,
    available: s.bavail,
    files: s.files,
    filesFree: s.ffree,
  };
}
