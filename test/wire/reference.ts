/** The reference tables beside the checkout, and every definition of lib/wire under its reference name. */
import { existsSync, readFileSync } from 'node:fs';
import * as connection from '../../lib/wire/connection-structs.ts';
import * as fid from '../../lib/wire/fid-structs.ts';
import type { Format } from '../../lib/wire/format.ts';
import * as formats from '../../lib/wire/formats.ts';
import * as hsm from '../../lib/wire/hsm-structs.ts';
import * as layout from '../../lib/wire/layout-structs.ts';
import * as ldlm from '../../lib/wire/ldlm-structs.ts';
import * as llog from '../../lib/wire/llog-structs.ts';
import * as lnet from '../../lib/wire/lnet-structs.ts';
import * as mds from '../../lib/wire/mds-structs.ts';
import * as o2iblnd from '../../lib/wire/o2iblnd-structs.ts';
import * as ost from '../../lib/wire/ost-structs.ts';
import * as ptlrpc from '../../lib/wire/ptlrpc-structs.ts';
import * as quota from '../../lib/wire/quota-structs.ts';
import * as security from '../../lib/wire/security-structs.ts';
import * as socklnd from '../../lib/wire/socklnd-structs.ts';
import type { Struct } from '../../lib/wire/struct.ts';
import * as update from '../../lib/wire/update-structs.ts';

const folder = new URL('../../../shared/wire/', import.meta.url);
export const present = existsSync(folder);
if (!present) console.log(`skipped: the reference tables are not in ${folder.pathname}`);

export function table<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as T;
}

export type AnyStruct = Struct<unknown, unknown>;

const modules = {
  connection,
  fid,
  hsm,
  layout,
  ldlm,
  llog,
  lnet,
  mds,
  o2iblnd,
  ost,
  ptlrpc,
  quota,
  security,
  socklnd,
  update,
};

/** Every struct that lib/wire exports, as [file and export name, struct]. */
export const allStructs: readonly (readonly [string, AnyStruct])[] = Object.entries(modules).flatMap(
  ([file, exports]) =>
    Object.entries(exports).map(([name, value]) => [`${file}-structs ${name}`, value as AnyStruct] as const),
);

/** Every request format, as [export name, format]. */
export const allFormats: readonly (readonly [string, Format])[] = Object.entries(formats).map(
  ([name, value]) => [name, value as Format] as const,
);
