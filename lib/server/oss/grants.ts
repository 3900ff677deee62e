/**
 * Write grants (guide 12 §7): space that is promised to clients, so that they may cache writes knowing that they will fit.
 * A ledger per client and the sums of all; the unit is bytes. The arithmetic is the reference's own (tgt_grant.c), so that
 * a kernel client's books and ours agree.
 */
import { MdValid } from '../../wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../wire/ost-constants.ts';
import type { NiobufRemote, Obdo } from '../../wire/ost-structs.ts';

/** What an OST tells clients at connect (guide 12 §3): block size, cost of an extent, largest extent. */
export interface GrantParameters {
  /** log2 of the block size. */
  readonly blockBits: number;
  /** log2 of what an inode costs. */
  readonly inodeBits: number;
  /** KiB that an extent costs beside its blocks. */
  readonly taxKib: number;
  /** Blocks of the largest extent. */
  readonly extentBlocksMax: number;
}

/** As kernel servers on ldiskfs have them. */
export const GRANT_PARAMETERS: GrantParameters = {
  blockBits: 12,
  inodeBits: 5,
  taxKib: 24,
  extentBlocksMax: 0x4000,
};

/** OBD_MAX_GRANT: more than this is never granted in one RPC, nor wished for. */
const GRANT_MAX = 0x7fff_ffff;

/** One client's account. */
export interface GrantLedger {
  granted: number;
  dirty: number;
  /** Used by writes that are under way. */
  pending: number;
  readonly brwSize: number;
  /** The client knows blocks and extents (OBD_CONNECT_GRANT_PARAM). */
  readonly parameters: boolean;
}

/** What a write may use: `allowed[i]` false is ENOSPC for that niobuf unless its blocks are there already. */
export interface WriteCharge {
  readonly allowed: readonly boolean[];
  readonly used: number;
}

const BOTH = MdValid.OBD_MD_FLBLOCKS | MdValid.OBD_MD_FLGRANT;

/** All accounts of one OST. `spaceLeft` arguments are bytes available in the store. */
export class Grants {
  readonly #parameters: GrantParameters;
  readonly #ledgers = new Map<string, GrantLedger>();
  #totalGranted = 0;
  #totalPending = 0;

  constructor(parameters: GrantParameters = GRANT_PARAMETERS) {
    this.#parameters = parameters;
  }

  /** Promised to clients, what writes under way use included. */
  get totalGranted(): number {
    return this.#totalGranted;
  }

  get totalPending(): number {
    return this.#totalPending;
  }

  ledger(client: string): GrantLedger | undefined {
    return this.#ledgers.get(client);
  }

  /** Bytes of `available` that are not yet promised. */
  #unpromised(available: number): number {
    return Math.max(0, available - this.#totalGranted);
  }

  /**
   * Connect and reconnect: `wants` is what the client asks for or says it holds. Gives its whole grant from now on.
   */
  connect(
    client: string,
    o: { wants: number; brwSize: number; parameters: boolean; reconnect: boolean; available: number },
  ): number {
    const known = this.#ledgers.get(client);
    const ledger: GrantLedger = {
      granted: known?.granted ?? 0,
      dirty: known?.dirty ?? 0,
      pending: known?.pending ?? 0,
      brwSize: o.brwSize,
      parameters: o.parameters,
    };
    this.#ledgers.set(client, ledger);
    this.#allocate(ledger, ledger.granted, o.wants, o.available, !o.reconnect);
    return ledger.granted;
  }

  /** Disconnect or eviction: the account is closed. What writes under way use stays counted until they end. */
  drop(client: string): void {
    const ledger = this.#ledgers.get(client);
    if (ledger === undefined) return;
    this.#ledgers.delete(client);
    this.#totalGranted -= ledger.granted;
  }

  /** Two RPCs' worth, with what their extents cost. */
  #chunk(ledger: GrantLedger): number {
    if (!ledger.parameters) return ledger.brwSize;
    const { blockBits, extentBlocksMax, taxKib } = this.#parameters;
    const extents = Math.ceil(ledger.brwSize / (2 ** blockBits * extentBlocksMax));
    return (ledger.brwSize + extents * taxKib * 1024) * 2;
  }

  #allocate(
    ledger: GrantLedger,
    current: number,
    wants: number,
    available: number,
    conservative: boolean,
  ): number {
    const chunk = this.#chunk(ledger);
    if (wants > GRANT_MAX || current >= wants || current >= ledger.granted + chunk) return 0;
    const left = Math.floor(this.#unpromised(available) / (conservative ? 8 : 1));
    const block = 2 ** this.#parameters.blockBits;
    let grant = Math.ceil(Math.min(wants - current, left) / block) * block;
    if (conservative) grant = Math.min(grant, chunk);
    grant = Math.max(0, Math.min(grant, wants + chunk - ledger.granted));
    ledger.granted += grant;
    this.#totalGranted += grant;
    return grant;
  }

  /** Takes over what the client says of its cache. False where it says nothing that counts. */
  #incoming(ledger: GrantLedger, oa: Obdo): boolean {
    if ((oa.o_valid & BOTH) !== BOTH) return false;
    ledger.dirty = Number(oa.o_blocks);
    const dropped = Math.min(oa.o_misc, ledger.granted);
    ledger.granted -= dropped;
    this.#totalGranted -= dropped;
    return true;
  }

  /**
   * A read, or the grant_shrink request: takes the client's report, and its grant back if it offers some. Gives o_grant of
   * the reply: the bytes that were not taken back.
   */
  read(client: string, oa: Obdo, available: number): number {
    const ledger = this.#ledgers.get(client);
    if (ledger === undefined || !this.#incoming(ledger, oa)) return 0;
    return this.#shrink(ledger, oa, available);
  }

  #shrink(ledger: GrantLedger, oa: Obdo, available: number): number {
    const asked =
      (oa.o_valid & MdValid.OBD_MD_FLFLAGS) !== 0n && (oa.o_flags & ObdoFlag.OBD_FL_SHRINK_GRANT) !== 0;
    if (!asked) return 0;
    const offered = Number(oa.o_grant);
    // Space is plenty: the client may keep it.
    if (this.#totalGranted * 4 < available) return offered;
    const taken = Math.min(offered, ledger.granted);
    ledger.granted -= taken;
    this.#totalGranted -= taken;
    return 0;
  }

  /** grant_shrink as a request of its own: no report of the cache goes with it. */
  shrink(client: string, oa: Obdo, available: number): number {
    const ledger = this.#ledgers.get(client);
    return ledger === undefined ? 0 : this.#shrink(ledger, oa, available);
  }

  /**
   * A write: charges the client's grant for niobufs marked FROM_GRANT and free space for the others. `resent` is
   * OBD_FL_RECOV_RESEND, which was accounted for the first time it came.
   */
  charge(client: string, oa: Obdo, niobufs: readonly NiobufRemote[], available: number): WriteCharge {
    const ledger = this.#ledgers.get(client);
    const resent =
      (oa.o_valid & MdValid.OBD_MD_FLFLAGS) !== 0n && (oa.o_flags & ObdoFlag.OBD_FL_RECOV_RESEND) !== 0;
    if (ledger !== undefined) {
      if (this.#incoming(ledger, oa)) this.#shrink(ledger, oa, available);
      if (resent) return { allowed: niobufs.map(() => true), used: 0 };
    }
    const declared = Number(oa.o_data_version);
    // o_grant_used: the client has said what the whole of it costs, and has it.
    const covered = ledger !== undefined && declared > 0 && declared <= ledger.granted;
    let fromGrant = covered ? declared : 0;
    let fromSpace = 0;
    const left = this.#unpromised(available);
    const allowed = niobufs.map((niobuf) => {
      const bytes = this.#cost(niobuf, ledger?.parameters ?? false);
      if ((niobuf.rnb_flags & BrwFlag.OBD_BRW_FROM_GRANT) !== 0 && ledger !== undefined) {
        if (covered) return true;
        if (ledger.granted >= fromGrant + bytes) {
          fromGrant += bytes;
          return true;
        }
      }
      if (left <= fromSpace + bytes) return false;
      fromSpace += bytes;
      return true;
    });
    if (ledger !== undefined) {
      ledger.granted -= fromGrant;
      ledger.dirty = Math.max(0, ledger.dirty - fromGrant);
      ledger.pending += fromGrant + fromSpace;
    }
    this.#totalGranted += fromSpace;
    this.#totalPending += fromGrant + fromSpace;
    return { allowed, used: fromGrant + fromSpace };
  }

  /** Bytes of whole blocks that a niobuf touches, and its extents' tax. */
  #cost(niobuf: NiobufRemote, parameters: boolean): number {
    const { blockBits, extentBlocksMax, taxKib } = this.#parameters;
    const block = 2 ** blockBits;
    const within = Number(niobuf.rnb_offset % BigInt(block));
    const bytes = Math.ceil((within + niobuf.rnb_len) / block) * block;
    if (!parameters) return bytes;
    return bytes + Math.ceil(bytes / (block * extentBlocksMax)) * taxKib * 1024;
  }

  /** The write's data is in the store, or will never be: what it used is no longer promised but gone. */
  settle(client: string, charge: WriteCharge): void {
    const ledger = this.#ledgers.get(client);
    if (ledger !== undefined) ledger.pending = Math.max(0, ledger.pending - charge.used);
    this.#totalPending -= charge.used;
    this.#totalGranted -= charge.used;
  }

  /** After a write: more grant for a client that wants it (o_undirty). Gives o_grant of the reply. */
  replenish(client: string, oa: Obdo, available: number): number {
    const ledger = this.#ledgers.get(client);
    if (ledger === undefined || (oa.o_valid & BOTH) !== BOTH) return 0;
    const shrinking =
      (oa.o_valid & MdValid.OBD_MD_FLFLAGS) !== 0n && (oa.o_flags & ObdoFlag.OBD_FL_SHRINK_GRANT) !== 0;
    if (shrinking) return 0;
    return this.#allocate(ledger, Number(oa.o_grant), oa.o_mode, available, true);
  }

  /** The operation failed: takes back what `replenish` gave. */
  takeBack(client: string, grant: number): void {
    const ledger = this.#ledgers.get(client);
    if (ledger === undefined) return;
    const taken = Math.min(grant, ledger.granted);
    ledger.granted -= taken;
    this.#totalGranted -= taken;
  }
}
