/**
 * What of one target an administrator may set for all clients (osc.*, mdc.*): whether it is used, how much goes to it at a
 * time, checksums. Values are as kernels write them.
 */
import type { LruOptions } from '../../ldlm/lock-lru.ts';
import type { BulkChecksumName } from '../../lnet/network.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { type ChecksumWish, chooseChecksum } from '../osc/checksum.ts';
import type { GrantLedger } from '../osc/grant.ts';
import type { Slots } from '../osc/slots.ts';
import { DataLimits } from './data-limits.ts';

const PAGE = 4096;
const MIB = 1 << 20;
const PAGES_MAX = (16 * MIB) / PAGE;
const RPCS_MAX = 256;
/** cksum_name of kernels. */
const CHECKSUMS: Readonly<Record<string, BulkChecksumName>> = {
  adler: 'adler32',
  crc32: 'crc32',
  crc32c: 'crc32c',
  t10ip512: 't10ip512',
  t10ip4K: 't10ip4K',
  t10crc512: 't10crc512',
  t10crc4K: 't10crc4K',
};

/** What the namespace of its locks reads, to be changed. */
export type LruSettings = { -readonly [key in keyof LruOptions]: LruOptions[key] };

/** What an import offers for it. */
export interface SettableImport {
  readonly granted: ObdConnectData;
  setActive(active: boolean): void;
  rpcsInFlightMax: number;
}

export class TargetSettings {
  readonly name: string;
  readonly kind: 'mdt' | 'ost';
  readonly index: number;
  readonly grant: GrantLedger;
  readonly slots: readonly Slots[];
  readonly locks: LruSettings;
  readonly #import: SettableImport;
  readonly #limits: DataLimits;
  readonly #excluded: boolean;
  #checksum: ChecksumWish;

  constructor(
    target: { readonly name: string; readonly kind: 'mdt' | 'ost'; readonly index: number },
    parts: {
      readonly import: SettableImport;
      readonly grant: GrantLedger;
      readonly slots: readonly Slots[];
      readonly locks: LruSettings;
    },
    wishes: {
      readonly checksum: ChecksumWish;
      readonly maxPagesPerRpc: number | undefined;
      /** By the user: no parameter brings it back. */
      readonly excluded: boolean;
    },
  ) {
    this.name = target.name;
    this.kind = target.kind;
    this.index = target.index;
    this.grant = parts.grant;
    this.slots = parts.slots;
    this.locks = parts.locks;
    this.#import = parts.import;
    this.#checksum = wishes.checksum;
    this.#excluded = wishes.excluded;
    this.#limits = new DataLimits(parts.import);
    this.#limits.pagesMax = wishes.maxPagesPerRpc;
  }

  /** What the target granted, less what is not to be used. */
  get granted(): ObdConnectData {
    return this.#limits.granted;
  }

  get checksum(): BulkChecksumName | undefined {
    const { used, type } = this.#checksum;
    return used ? chooseChecksum(this.#import.granted, type) : undefined;
  }

  /** False for a parameter or a value that means nothing here. */
  set(parameter: string, value: string): boolean {
    return (this.#parameters[parameter] ?? (() => false))(value);
  }

  readonly #parameters: { readonly [name: string]: (value: string) => boolean } = {
    active: (value) => {
      // The root's MDT is always in use: so do kernels have it.
      if (this.kind === 'mdt' && this.index === 0) return false;
      return within(switchOf(value), 1, (on) => this.#import.setActive(on === 1 && !this.#excluded));
    },
    max_rpcs_in_flight: (value) =>
      within(numberOf(value), RPCS_MAX, (count) => {
        if (count === 0) return;
        this.#import.rpcsInFlightMax = count;
        for (const slots of this.slots) slots.resize(count);
      }),
    max_pages_per_rpc: (value) => {
      const pages = /m$/i.test(value) ? numberOf(value.slice(0, -1), MIB / PAGE) : numberOf(value);
      return within(pages, PAGES_MAX, (count) => {
        if (count > 0) this.#limits.pagesMax = count;
      });
    },
    max_dirty_mb: (value) =>
      within(numberOf(value), 1 << 20, (mib) => {
        this.grant.dirtyMax = mib * MIB;
      }),
    checksums: (value) =>
      within(switchOf(value), 1, (on) => {
        this.#checksum = { ...this.#checksum, used: on === 1 };
      }),
    checksum_type: (value) => {
      const type = CHECKSUMS[value];
      if (type !== undefined) this.#checksum = { ...this.#checksum, type };
      return type !== undefined;
    },
  };
}

export const numberOf = (text: string, unit = 1): number =>
  /^\d{1,15}$/.test(text) ? Number(text) * unit : Number.NaN;

/** 0 is off, any other number on. */
export const switchOf = (text: string): number => Math.min(numberOf(text), 1);

/** Gives whether the value makes sense, and does it then. */
export function within(value: number, most: number, set: (value: number) => void): boolean {
  if (!(value <= most)) return false;
  set(value);
  return true;
}
