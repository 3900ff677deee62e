/** Every struct of lib/wire against the reference table: size, offsets, widths, signs and byte orders. */
import { describe, expect, it } from 'vitest';
import type { StructValue, WireType } from '../../lib/wire/struct.ts';
import { encodeText } from '../../lib/wire/text.ts';
import { type AnyStruct, allStructs, present, table } from './reference.ts';

interface ReferenceField {
  name: string;
  offset: number;
  size: number;
  type: string;
  bits?: number;
  members?: ReferenceField[];
}
interface ReferenceStruct {
  name: string;
  size: number;
  fields: ReferenceField[];
  differs?: { [version: string]: 'absent' | { size: number; fields: ReferenceField[] } };
}
type Value = { [name: string]: unknown };

const reference = new Map(
  (present ? table<{ structs: ReferenceStruct[] }>('structs.json').structs : []).map((s) => [
    s.name.replace(/^(struct|union) /, ''),
    s,
  ]),
);

/** The header's two wire forms are opaque bytes in the reference; their fields are those of guide 01 §3.1. */
const header = (nid: number): ReferenceField[] =>
  [
    ['dest_nid', 0, nid, nid === 8 ? 'le64' : 'struct lnet_nid'],
    ['src_nid', nid, nid, nid === 8 ? 'le64' : 'struct lnet_nid'],
    ['dest_pid', 2 * nid, 4, 'le32'],
    ['src_pid', 2 * nid + 4, 4, 'le32'],
    ['type', 2 * nid + 8, 4, 'le32'],
    ['payload_length', 2 * nid + 12, 4, 'le32'],
    ['msg', 2 * nid + 16, 40, 'u8[40]'],
  ].map(([name, offset, size, type]) => ({ name, offset, size, type }) as ReferenceField);
const headers: Record<string, ReferenceField[]> = { lnet_hdr_nid4: header(8), lnet_hdr_nid16: header(20) };

const pattern = Uint8Array.from({ length: 16384 }, (_, i) => (i * 167 + 129) & 0xff || 1);

/** Declared unsigned, used as a signed errno. */
const signedHere = ['pb_status'];

/** What a scalar of the reference's type reads as at `at`. */
function scalar(type: string, size: number, at: number, littleEndian: boolean): number | bigint {
  const view = new DataView(pattern.buffer);
  const little = type.startsWith('le') || (littleEndian && !type.startsWith('be'));
  const signed = /^s\d/.test(type);
  if (size === 8) return signed ? view.getBigInt64(at, little) : view.getBigUint64(at, little);
  if (size === 4) return signed ? view.getInt32(at, little) : view.getUint32(at, little);
  if (size === 2) return signed ? view.getInt16(at, little) : view.getUint16(at, little);
  return signed ? view.getInt8(at) : view.getUint8(at);
}

function checkValue(path: string, field: ReferenceField, at: number, value: unknown, little: boolean): void {
  const [, base, counts] = /^([^[]*)((?:\[\d+\])*)$/.exec(field.type)!;
  const bytes = pattern.subarray(at, at + field.size);
  if (value instanceof Uint8Array) {
    expect([...value], path).toEqual([...bytes]);
  } else if (typeof value === 'string') {
    expect(base, path).toMatch(/^char$|^struct obd_uuid$/);
    expect([...encodeText(value)], path).toEqual([...bytes]);
  } else if (Array.isArray(value) && counts !== '') {
    const count = Number(/\d+/.exec(counts!)![0]);
    expect(value.length, path).toBe(count);
    const size = field.size / count;
    value.forEach((item, i) => {
      checkValue(`${path}[${i}]`, { ...field, type: base!, size }, at + i * size, item, little);
    });
  } else if (field.members !== undefined) {
    checkFields(path, field.members, at, value as Value, little);
  } else if (/^(struct|union) lustre_handle/.test(field.type)) {
    expect(value, path).toBe(scalar('u64', 8, at, little));
  } else if (/^(struct|union) /.test(field.type)) {
    const inner = field.type.replace(/^(struct|union) /, '');
    checkFields(path, headers[inner] ?? reference.get(inner)!.fields, at, value as Value, little);
  } else {
    const type = signedHere.includes(field.name) ? field.type.replace('u', 's') : field.type;
    expect(value, `${path}: ${field.type}`).toBe(scalar(type, field.size, at, little));
  }
}

function checkFields(
  path: string,
  fields: ReferenceField[],
  at: number,
  value: Value,
  little: boolean,
): void {
  for (const field of fields) {
    if (field.type.startsWith('flexible') || field.size === 0 || field.bits !== undefined) continue;
    // An alternative's unnamed struct: its members are reached by their own names.
    if (field.name === '') continue;
    expect(value, path).toHaveProperty(field.name);
    checkValue(`${path}.${field.name}`, field, at + field.offset, value[field.name], little);
  }
}

function checkTable(name: string, struct: AnyStruct, fields: ReferenceField[], inner = 0): void {
  const known = new Map(fields.map((field) => [field.name, field]));
  for (const [field, [offset, type]] of Object.entries(struct.fields)) {
    const wanted = known.get(field);
    if (wanted === undefined) {
      // A byte of bit-fields goes by its first one's name.
      const bits = fields.find((f) => f.bits !== undefined && field === `${f.name}_bits`);
      expect(bits, `${name}.${field} is in no reference table`).toBeDefined();
      expect([offset, type.size], `${name}.${field}`).toEqual([bits!.offset, bits!.size]);
      continue;
    }
    expect([offset + inner, (type as WireType<unknown>).size], `${name}.${field}`).toEqual([
      wanted.offset,
      wanted.size,
    ]);
  }
}

describe.skipIf(!present)('structs hold to the reference', () => {
  it.each(allStructs)('%s', (_, struct) => {
    const wanted = reference.get(struct.name);
    expect(wanted, `${struct.name} is not in the reference`).toBeDefined();
    const fields = headers[struct.name] ?? wanted!.fields;
    expect(struct.size).toBe(wanted!.size);
    checkTable(struct.name, struct, fields);
    for (const little of [true, false]) {
      const value = struct.decode(pattern, 8, little) as StructValue<AnyStruct>;
      checkFields(struct.name, fields, 8, value as Value, little);
    }
  });

  it('are read from older and newer peers: only known sizes differ', () => {
    const other: string[] = [];
    for (const [, struct] of allStructs) {
      for (const [version, layout] of Object.entries(reference.get(struct.name)!.differs ?? {})) {
        if (layout === 'absent') continue;
        if (layout.size !== struct.size) other.push(`${struct.name} ${version} ${layout.size}`);
        // A field that both have must be at one place, or be said here.
        for (const [name, [offset, type]] of Object.entries(struct.fields)) {
          const theirs = layout.fields.find((field) => field.name === name && field.bits === undefined);
          if (theirs !== undefined && (theirs.offset !== offset || theirs.size !== type.size))
            other.push(`${struct.name}.${name} ${version} ${theirs.size}@${theirs.offset}`);
        }
      }
    }
    expect(other).toMatchInlineSnapshot(`
      [
        "obd_connect_data.padding0 b2_15 2@74",
        "lov_comp_md_v1.lcm_padding1 b2_15 6@18",
        "ldlm_inodebits b2_15 24",
        "ldlm_wire_policy_data.l_inodebits b2_15 24@0",
        "mdt_rec_setattr.sa_padding_1_h master 4@12",
        "mdc_swap_layouts master 24",
        "quota_body.qb_padding1 master 24@88",
      ]
    `);
  });

  it('has every field that the reference has', () => {
    const missing: string[] = [];
    for (const [, struct] of allStructs) {
      const fields = headers[struct.name] ?? reference.get(struct.name)!.fields;
      for (const field of fields) {
        if (field.type.startsWith('flexible') || field.bits !== undefined || field.name === '') continue;
        if (!(field.name in struct.fields)) missing.push(`${struct.name}.${field.name}`);
      }
    }
    expect(missing).toEqual([]);
  });
});
