/** Every request format against the reference table: opcodes, RPC version, buffers in order and their sizes. */
import { describe, expect, it } from 'vitest';
import { type AnyField, rpcVersion } from '../../lib/wire/format.ts';
import { allFormats, present, table } from './reference.ts';

interface ReferenceBuffer {
  rmf: string;
  size: number | 'variable';
  type?: string;
  array?: boolean;
  flags: string[];
}
interface ReferenceFormat {
  name: string;
  wire_name: string;
  opcodes: { name: string; value: number }[];
  version: string | null;
  request: ReferenceBuffer[];
  reply: ReferenceBuffer[];
}
interface Requests {
  formats: ReferenceFormat[];
  rpc_versions: Record<string, number>;
}

const requests = present ? table<Requests>('requests.json') : { formats: [], rpc_versions: {} };
const byName = new Map(requests.formats.map((format) => [format.name, format]));

/** Buffers that are kept as raw bytes although the reference names a struct: EAs that have several shapes, and lists. */
const raw = ['mdt_md', 'default_mdt_md', 'logcookies', 'niobuf_inline'];

function checkBuffer(where: string, field: AnyField, wanted: ReferenceBuffer): void {
  expect(field.key, where).toBe(wanted.rmf.replace(/^RMF_/, '').toLowerCase());
  const kind = field.shape?.kind;
  if (wanted.flags.includes('RMF_F_STRING')) expect(kind, where).toBe('text');
  if (kind === 'text')
    expect(field.shape, where).toEqual({ kind, longest: wanted.size === 'variable' ? 0 : wanted.size });
  if (raw.includes(field.key) || field.key.startsWith('capa')) return;
  const element = /^(?:struct|union) (\w+)$/.exec(wanted.type ?? '')?.[1];
  if (field.shape !== undefined && 'type' in field.shape) {
    // mdt_rec_*: one size, a view each of mdt_rec_reint.
    if (field.key !== 'rec_reint') expect(field.shape.type.name, where).toBe(element);
    if (kind === 'struct') expect(field.shape.type.size, where).toBe(wanted.size);
  }
  if (kind === 'structs' || kind === 'u32s') expect(wanted.array, where).toBe(true);
  if (kind === 'lock') expect(wanted.size).toBe(104);
  if (kind === 'u32' || kind === 'u64') expect(field.fixedSize, where).toBe(wanted.size);
}

describe.skipIf(!present)('formats hold to the reference', () => {
  it.each(allFormats)('%s', (name, format) => {
    const wanted = byName.get(name);
    expect(wanted, `${name} is not in the reference`).toBeDefined();
    expect([...format.opcodes].sort()).toEqual(wanted!.opcodes.map((o) => o.value).sort());
    expect(format.name).toBe(wanted!.wire_name);
    if (wanted!.version !== null && wanted!.version in requests.rpc_versions) {
      expect(format.version).toBe(requests.rpc_versions[wanted!.version]);
      if (name !== 'RQF_BUT_GETATTR')
        for (const opcode of format.opcodes) expect(rpcVersion(opcode)).toBe(format.version);
    }
    for (const side of ['request', 'reply'] as const) {
      expect(format[side].map((field) => field.key)).toEqual(
        wanted![side].map((buffer) => buffer.rmf.replace(/^RMF_/, '').toLowerCase()),
      );
      format[side].forEach((field, i) => {
        checkBuffer(`${name} ${side} ${i}`, field, wanted![side][i]!);
      });
    }
  });

  it('leaves out no format of the reference that a client or server sends', () => {
    const known = new Set(allFormats.map(([name]) => name));
    expect(requests.formats.map((f) => f.name).filter((name) => !known.has(name))).toMatchInlineSnapshot(`
      [
        "RQF_LFSCK_NOTIFY",
        "RQF_LFSCK_QUERY",
      ]
    `);
  });
});
