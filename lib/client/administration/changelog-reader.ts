/**
 * Reading the changelog of an MDT (guide 14 §8): a catalog of plain logs, read one after the other, some chunks at a time.
 * The server keeps nothing of a reader; at the end it may come back later and go on.
 */
import { type ChangelogRecord, decodeChangelogRecord } from '../../llog/changelog-record.ts';
import { type RemoteLog, readRemoteLog } from '../../llog/remote-log.ts';
import { Errno, errnoError, errnoOf } from '../../runtime/errors.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDT_SET_INFO } from '../../wire/formats.ts';
import { LlogContext, LlogFlag, LlogRecType } from '../../wire/llog-constants.ts';
import { ChangelogSetinfo, LlogLogid } from '../../wire/llog-structs.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { InfoKey } from '../../wire/names.ts';
import type { StructInput } from '../../wire/struct.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from '../mdc/credentials.ts';
import type { MetadataTarget, RequestOptions } from '../mdc/target.ts';

const CATALOG = 'changelog_catalog';
/** Chunks of 8 KiB in one step: some hundred records. */
const BLOCKS_AT_ONCE = 8;
/** Extensions of records that we know; servers leave out what is not asked for. */
const EXTENSIONS =
  LlogFlag.LLOG_F_EXT_JOBID |
  LlogFlag.LLOG_F_EXT_EXTRA_FLAGS |
  LlogFlag.LLOG_F_EXT_X_UIDGID |
  LlogFlag.LLOG_F_EXT_X_NID |
  LlogFlag.LLOG_F_EXT_X_OMODE |
  LlogFlag.LLOG_F_EXT_X_XATTR |
  LlogFlag.LLOG_F_EXT_X_NID_BE;

interface PlainLog {
  readonly logid: LlogLogid;
  /** Its place in the catalog. */
  readonly slot: number;
  last: number;
}

export class ChangelogReader {
  readonly #mdt: MetadataTarget;
  readonly #who: Credentials;
  /** Records before it are passed over. */
  #next: bigint;
  #slot = 0;
  #flags = 0;
  #plain: PlainLog | undefined;
  readonly #waiting: PlainLog[] = [];

  constructor(mdt: MetadataTarget, who: Credentials, from: bigint) {
    this.#mdt = mdt;
    this.#who = who;
    this.#next = from;
  }

  /** The next records; an empty list when there are none now. */
  async read(): Promise<ChangelogRecord[]> {
    for (;;) {
      if (this.#plain === undefined) {
        if (this.#waiting.length === 0) await this.#readCatalog();
        this.#plain = this.#waiting.shift();
        if (this.#plain === undefined) return [];
      }
      const { records, more } = await this.#readPlain(this.#plain);
      const found = records.filter((record) => record.index >= this.#next);
      const last = found.at(-1);
      if (last !== undefined) {
        this.#next = last.index + 1n;
        return found;
      }
      if (more) continue;
      // The newest log may still grow; an older one is done with.
      if (this.#waiting.length === 0) await this.#readCatalog();
      if (this.#waiting.length === 0) return [];
      this.#plain = undefined;
    }
  }

  async #readCatalog(): Promise<void> {
    const catalog = await readRemoteLog(this.#mdt.caller, {
      name: CATALOG,
      context: LlogContext.LLOG_CHANGELOG_ORIG_CTXT,
      who: whoBody(this.#who),
      flags: LlogFlag.LLOG_F_IS_CAT | EXTENSIONS,
      flagsOfHeader: true,
      after: this.#slot,
    });
    this.#slot = catalog.lastIndex;
    if (catalog.exists) this.#flags = catalog.flags;
    for (const record of catalog.records) {
      if (record.type !== LlogRecType.LLOG_LOGID_MAGIC) continue;
      this.#waiting.push({ logid: LlogLogid.decode(record.payload), slot: record.index, last: 0 });
    }
  }

  async #readPlain(log: PlainLog): Promise<{ records: ChangelogRecord[]; more: boolean }> {
    let read: RemoteLog;
    try {
      read = await readRemoteLog(this.#mdt.caller, {
        name: `${CATALOG} ${log.slot}`,
        logid: log.logid,
        context: LlogContext.LLOG_CHANGELOG_ORIG_CTXT,
        flags:
          (this.#flags & LlogFlag.LLOG_F_EXT_MASK) |
          LlogFlag.LLOG_F_IS_PLAIN |
          LlogFlag.LLOG_F_ZAP_WHEN_EMPTY,
        flagsOfHeader: true,
        after: log.last,
        blocksMax: BLOCKS_AT_ONCE,
      });
    } catch (error) {
      // All of its records were cleared, and with them the log.
      if (errnoOf(error) === Errno.ENOENT || errnoOf(error) === Errno.ESTALE)
        return { records: [], more: false };
      throw error;
    }
    log.last = read.lastIndex;
    const records = read.records
      .filter(({ type }) => type === LlogRecType.CHANGELOG_REC)
      .map(({ payload }) => decodeChangelogRecord(payload));
    return { records, more: read.more };
  }
}

/** Servers let only those see changelogs who may. */
export const whoBody = (who: Credentials): StructInput<typeof MdtBody> => ({
  ...bodyCredentials(who),
  mbo_suppgid: NO_GROUP,
});

export function clearChangelogRequest(
  user: number,
  upTo: bigint,
  who: Credentials,
): RequestInputs<typeof RQF_MDT_SET_INFO> {
  return {
    setinfo_key: new TextEncoder().encode(InfoKey.KEY_CHANGELOG_CLEAR),
    setinfo_val: ChangelogSetinfo.encode({ cs_recno: upTo, cs_id: user }),
    mdt_body: whoBody(who),
  };
}

/** `user`: `cl1`. Tells the MDT that a consumer needs no records up to and including `upTo`; 0: all there are now. Rejects with ENOENT
 * for a user that it does not have, EINVAL for a record that does not exist yet, EACCES. */
export async function clearChangelog(
  mdt: MetadataTarget,
  user: string,
  upTo: bigint,
  who: Credentials,
  options: RequestOptions,
): Promise<void> {
  const id = /^cl(\d{1,9})(?:-[\w-]*)?$/.exec(user)?.[1];
  if (id === undefined || upTo < 0n)
    throw errnoError(Errno.EINVAL, { ...options.context, hint: 'A user is called cl1, cl2 ...' });
  await mdt.caller.call(RQF_MDT_SET_INFO, clearChangelogRequest(Number(id), upTo, who), options);
}
