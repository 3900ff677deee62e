import type { WritableLogTable } from '../../lib/llog/plain-log.ts';

/** A table for logs, in memory. */
export function memoryTable(): WritableLogTable {
  const entries = new Map<string, Uint8Array>();
  const text = (key: Uint8Array) => Buffer.from(key).toString('hex');
  return {
    get: (key) => entries.get(text(key)),
    put: (key, value) => void entries.set(text(key), value.slice()),
    remove: (key) => void entries.delete(text(key)),
  };
}
