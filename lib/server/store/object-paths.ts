/** Where an object's file is: `<seq>/d<oid mod 32>/<oid>`, numbers as the reference writes them. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ObjectId } from './object-store.ts';

const SUBDIRECTORIES = 32;

/** `top` is `O`. */
export function objectPath(top: string, id: ObjectId): string {
  return join(top, id.seq.toString(16), `d${id.oid % SUBDIRECTORIES}`, String(id.oid));
}

/** The folders of a sequence, where they are not there. */
export function makeObjectDirectories(top: string, seq: bigint): void {
  const folder = dirname(dirname(objectPath(top, { seq, oid: 0 })));
  if (existsSync(folder) && readdirSync(folder).length === SUBDIRECTORIES) return;
  for (let i = 0; i < SUBDIRECTORIES; i++) mkdirSync(join(folder, `d${i}`), { recursive: true });
}
