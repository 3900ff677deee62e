/**
 * What OSTs still have to do for changes that are already on disk here: objects to destroy, owners to set (guides 09 §5.4,
 * 12 §8). Entered in the transaction that makes it necessary, and kept until the OST has confirmed it.
 */
import type { Fid } from '../../fid/fid.ts';
import type { Caller } from '../../rpc/rpc.ts';
import { errnoOf } from '../../runtime/errors.ts';
import { RQF_OST_DESTROY, RQF_OST_SETATTR } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { KeyValueStore, Transaction } from '../store/key-value-store.ts';
import { MdtTable, ObjectOwner, ObjectOwnerBefore } from './records.ts';

const ENOENT = 2;
const OWNER = 1;
const DESTROY = 0;
/** Where they stand in a key. */
const OID = 12;
const KIND = 16;
/** Requests to one OST at a time. */
const PARALLEL = 8;
/** Objects of one request: with data in them a disk takes its time for each. */
const RUN_MAX = 64;
/** Read from the queue at a time. */
const ITEMS_MAX = 512;

function workKey(ost: number, object: Fid, kind: number): Buffer {
  const key = Buffer.allocUnsafe(17);
  key.writeUInt32BE(ost, 0);
  key.writeBigUInt64BE(object.f_seq, 4);
  key.writeUInt32BE(object.f_oid, 12);
  key.writeUInt8(kind, 16);
  return key;
}

type Tables = Pick<Transaction, 'table'>;

export function queueDestroy(tx: Tables, ost: number, object: Fid): void {
  tx.table(MdtTable.ostWork).put(workKey(ost, object, DESTROY), new Uint8Array([1]));
  tx.table(MdtTable.ostWork).remove(workKey(ost, object, OWNER));
}

export function queueOwner(tx: Tables, ost: number, object: Fid, owner: OwnerIds): void {
  const ids = [owner.uid, owner.gid, owner.projid];
  tx.table(MdtTable.ostWork).put(workKey(ost, object, OWNER), ObjectOwner.encode({ ids }));
}

/** Whom an object is charged to. */
export interface OwnerIds {
  readonly uid: number;
  readonly gid: number;
  readonly projid: number;
}

interface Item {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

function* queued(store: KeyValueStore, ost: number, limit: number): Iterable<Item> {
  const start = Buffer.alloc(4);
  start.writeUInt32BE(ost);
  const end = Buffer.alloc(18, 0xff);
  end.writeUInt32BE(ost);
  yield* store.table(MdtTable.ostWork).range(start, end, limit);
}

/** How much an OST has not confirmed; counts no further than `limit`. */
export function queuedCount(store: KeyValueStore, ost: number, limit = 1000): number {
  return [...queued(store, ost, limit)].length;
}

/** Sends what is queued for an OST until nothing is left. Rejects at the first failure; the rest stays queued. */
export async function workOff(store: KeyValueStore, ost: number, caller: Caller): Promise<void> {
  for (;;) {
    const items = [...queued(store, ost, ITEMS_MAX)];
    if (items.length === 0) return;
    const done: Item[] = [];
    const failures: unknown[] = [];
    const requests = requestsFor(items);
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < requests.length && failures.length === 0) {
        const request = requests[next++]!;
        try {
          await send(caller, request);
          done.push(...request);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, lane));
    await store.transact((tx) => {
      const table = tx.table(MdtTable.ostWork);
      for (const { key, value } of done) {
        // Somebody may have queued other work for the object meanwhile.
        const now = table.get(key);
        if (now !== undefined && Buffer.compare(now, value) === 0) table.remove(key);
      }
    });
    if (failures.length > 0) throw failures[0];
    if (items.length < ITEMS_MAX) return;
  }
}

/** Objects of consecutive numbers are destroyed by one request (guide 12 §8). */
function requestsFor(items: readonly Item[]): Item[][] {
  const requests: Item[][] = [];
  for (const item of items) {
    const run = requests.at(-1);
    const last = run?.at(-1);
    if (run !== undefined && last !== undefined && run.length < RUN_MAX && follows(last, item))
      run.push(item);
    else requests.push([item]);
  }
  return requests;
}

function follows({ key: before }: Item, { key }: Item): boolean {
  const a = Buffer.from(before.buffer, before.byteOffset, before.length);
  const b = Buffer.from(key.buffer, key.byteOffset, key.length);
  return (
    a[KIND] === DESTROY &&
    b[KIND] === DESTROY &&
    a.compare(b, 0, OID, 0, OID) === 0 &&
    a.readUInt32BE(OID) + 1 === b.readUInt32BE(OID)
  );
}

async function send(caller: Caller, items: readonly Item[]): Promise<void> {
  const { key, value } = items[0]!;
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  const o_oi = { oi_fid: { f_seq: view.getBigUint64(4), f_oid: view.getUint32(OID), f_ver: 0 } };
  const valid = MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLGROUP;
  try {
    if (view.getUint8(KIND) === DESTROY) {
      const several = { o_valid: valid | MdValid.OBD_MD_FLOBJCOUNT, o_oi, o_misc: items.length };
      const oa = items.length > 1 ? several : { o_valid: valid, o_oi };
      await caller.call(RQF_OST_DESTROY, { ost_body: { oa } });
      return;
    }
    const whole = value.length >= ObjectOwner.size;
    const [uid = 0, gid = 0, projid = 0] = (whole ? ObjectOwner : ObjectOwnerBefore).decode(value).ids;
    const project = whole ? MdValid.OBD_MD_FLPROJID : 0n;
    const o_valid = valid | MdValid.OBD_MD_FLUID | MdValid.OBD_MD_FLGID | project;
    const oa = { o_valid, o_oi, o_uid: uid, o_gid: gid, o_projid: projid };
    await caller.call(RQF_OST_SETATTR, { ost_body: { oa } });
  } catch (error) {
    // What is not there needs no work: all the others of a run are gone then, too.
    if (errnoOf(error) !== ENOENT) throw error;
  }
}
