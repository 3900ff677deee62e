/** trusted.link: the names of an object, kept with it (guide 07 §9). Parent FIDs and record lengths are big-endian. */
import { type Fid, sameFid } from '../../fid/fid.ts';
import { LinkEa } from '../../wire/fid-constants.ts';
import { LinkEaEntry, LinkEaHeader } from '../../wire/fid-structs.ts';
import { fidOfKey, writeFidKey } from './fid-key.ts';

export interface NamedBy {
  readonly parent: Fid;
  readonly name: Uint8Array;
}

/** Names in the order in which they were added; empty for bytes that are no link EA. */
export function decodeLinks(bytes: Uint8Array | undefined): NamedBy[] {
  if (bytes === undefined || bytes.length < LinkEaHeader.size) return [];
  const header = LinkEaHeader.decode(bytes);
  if (header.leh_magic !== LinkEa.LINK_EA_MAGIC) return [];
  const links: NamedBy[] = [];
  let at = LinkEaHeader.size;
  for (let i = 0; i < header.leh_reccount && at + LinkEaEntry.size <= bytes.length; i++) {
    const length = (bytes[at]! << 8) | bytes[at + 1]!;
    if (length < LinkEaEntry.size || at + length > bytes.length) break;
    links.push({
      parent: fidOfKey(bytes, at + 2),
      name: bytes.slice(at + LinkEaEntry.size, at + length),
    });
    at += length;
  }
  return links;
}

/** Leaves out what does not fit in 4096 bytes, as the reference does, and notes when (seconds). */
export function encodeLinks(links: readonly NamedBy[], now: bigint): Uint8Array {
  const kept: NamedBy[] = [];
  let size: number = LinkEaHeader.size;
  for (const link of links) {
    const length = LinkEaEntry.size + link.name.length;
    if (size + length > LinkEa.MAX_LINKEA_SIZE) continue;
    size += length;
    kept.push(link);
  }
  const bytes = Buffer.allocUnsafe(size);
  LinkEaHeader.encodeInto(bytes, 0, {
    leh_magic: LinkEa.LINK_EA_MAGIC,
    leh_reccount: kept.length,
    leh_len: BigInt(size),
    leh_overflow_time: kept.length < links.length ? Number(now & 0xffffffffn) : 0,
  });
  let at = LinkEaHeader.size;
  for (const { parent, name } of kept) {
    const length = LinkEaEntry.size + name.length;
    bytes[at] = length >> 8;
    bytes[at + 1] = length & 0xff;
    writeFidKey(bytes, parent, at + 2);
    bytes.set(name, at + LinkEaEntry.size);
    at += length;
  }
  return bytes;
}

export function withoutLink(links: readonly NamedBy[], parent: Fid, name: Uint8Array): NamedBy[] {
  return links.filter((l) => !(sameFid(l.parent, parent) && Buffer.compare(l.name, name) === 0));
}
