/** Which request of the kernel client one of ours corresponds to. */
import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { LockFlag } from '../../lib/wire/ldlm-constants.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { isConnect } from './answer-bytes.ts';
import {
  type Exchange,
  type Purpose,
  purposeOfMessage,
  purposeText,
  type Recording,
  type Step,
} from './recording.ts';

const ANY_TIME = /^OST_(WRITE|SYNC|PUNCH|SETATTR)|_DISCONNECT$/;
const WRITES = /^OST_(WRITE|SYNC|PUNCH)/;
/** Requests whose replies have the same format: ours asks by FID where `lfs` asks by name in an open directory; passes
 * through where the kernel wants the attributes, too, and the other way round. */
const STAND_INS = new Map([
  ['MDS_GETATTR', ['MDS_GETATTR_NAME']],
  ['LDLM_ENQUEUE lookup', ['LDLM_ENQUEUE getattr']],
  ['LDLM_ENQUEUE getattr', ['LDLM_ENQUEUE getattr', 'LDLM_ENQUEUE lookup']],
]);

/** Finds each request of ours its exchange of a recording, and keeps account of those that were found. */
export class ExchangeSearch {
  readonly #exchanges: readonly Exchange[];
  readonly #used = new Set<Exchange>();
  /** The last exchange that changed something, of those found. */
  #changed = -1;

  constructor({ exchanges }: Recording) {
    this.#exchanges = exchanges;
  }

  isUsed(exchange: Exchange): boolean {
    return this.#used.has(exchange);
  }

  /** The exchange of a mount's for the same at `window`, and whether it had been found before. */
  find(purpose: Purpose, window: Step, mount: number, request: RpcMessage): [Exchange, boolean] | undefined {
    const wantsLock = asksForLock(request);
    // That with the MGS is all mounts' of a node.
    const connects = isConnect(request);
    const exchanges = this.#exchanges.filter(
      (e) =>
        (e.mount === mount || e.purpose.target === 'MGS') &&
        !(wantsLock && gaveNone(e)) &&
        // Who tries again meets the server at last.
        !(connects && e.reply === undefined),
    );
    const found = this.#find(purpose, window, exchanges);
    if (found === undefined) return undefined;
    const [exchange, again] = found;
    // A model stands for what the kernel had no need to ask: it is still to be asked itself.
    if (!again) this.#used.add(exchange);
    if (modifies(exchange)) this.#changed = Math.max(this.#changed, exchange.index);
    return found;
  }

  /** The first unused exchange of the step that is for the same, if possible one that came when the files were as ours has
   * made them; then one for the same that was used, in any step so far. */
  #find(purpose: Purpose, window: Step, exchanges: readonly Exchange[]): [Exchange, boolean] | undefined {
    const changed = this.#changed;
    // That a name was not there holds only until something was made.
    const now = exchanges.filter((e) => within(e, window) && (e.index > changed || !isNegative(e)));
    const fresh = now.filter((exchange) => !this.#used.has(exchange));
    for (const list of [fresh.filter(({ index }) => index > changed), fresh]) {
      for (const keyOf of keys) {
        const key = keyOf(purpose);
        const found =
          list.find((exchange) => keyOf(exchange.purpose) === key) ?? this.#standIn(purpose, list);
        if (found !== undefined) return [found, false];
      }
      const opened = this.#openedByFid(purpose, list);
      if (opened !== undefined) return [opened, false];
    }
    const written = this.#writtenLater(purpose, window, exchanges);
    if (written !== undefined) return [written, false];
    const other = this.#standIn(purpose, now);
    if (other !== undefined) return [other, true];
    const key = keys[2](purpose);
    const used = exchanges.findLast(
      (exchange) => exchange.time < window.until && keys[2](exchange.purpose) === key,
    );
    // Nothing is made or removed twice.
    if (used !== undefined && !modifies(used)) return [used, this.#used.has(used)];
    const replayed = this.#replayedAsAtFirst(purpose, window, exchanges);
    if (replayed !== undefined) return [replayed, true];
    // A mount that failed says goodbye at another step. What the kernel had no need to write: a file that was gone before its
    // data had to leave the cache. Times that ours gives a mirror, the kernel the file.
    const { target, operation } = purpose;
    const model = exchanges.find((e) => e.purpose.target === target && e.purpose.operation === operation);
    return model !== undefined && ANY_TIME.test(operation) ? [model, true] : undefined;
  }

  /** What ours replays and the kernel client did not, having closed it by then, is answered as it was when it was done. */
  #replayedAsAtFirst(
    purpose: Purpose,
    { until }: Step,
    exchanges: readonly Exchange[],
  ): Exchange | undefined {
    if (!purpose.operation.endsWith('|replay')) return undefined;
    const key = purposeText({ ...purpose, operation: purpose.operation.replace('|replay', '') });
    return exchanges.findLast((e) => e.time < until && this.#used.has(e) && purposeText(e.purpose) === key);
  }

  /** A kernel client writes when it must, ours perhaps at once: the same bytes, at a later step. */
  #writtenLater(purpose: Purpose, { until }: Step, exchanges: readonly Exchange[]): Exchange | undefined {
    if (!WRITES.test(purpose.operation)) return undefined;
    const later = exchanges.filter((e) => e.time >= until && !this.#used.has(e));
    const key = purposeText(purpose);
    return later.find((exchange) => purposeText(exchange.purpose) === key);
  }

  /** A kernel client opens what it has in its cache by FID, without a name; where a program would make it, too. */
  #openedByFid({ target, operation, objects }: Purpose, list: readonly Exchange[]): Exchange | undefined {
    if (!/ open/.test(operation)) return undefined;
    return list.find(
      ({ purpose, request }) =>
        purpose.target === target &&
        [operation, `${operation}|creat`].includes(purpose.operation) &&
        (request.values.name ?? '') === '' &&
        (purpose.objects.split(' ')[0] === objects.split(' ')[0] ||
          purpose.objects.split(' ').at(-1) === objects.split(' ').at(-1)),
    );
  }

  /** Another request of the kernel's that tells of the same object in a reply of the same format. */
  #standIn(purpose: Purpose, now: readonly Exchange[]): Exchange | undefined {
    const others = STAND_INS.get(purpose.operation) ?? [];
    return now.find(
      ({ purpose: { target, operation, objects }, reply }) =>
        target === purpose.target &&
        others.includes(operation) &&
        reply?.rpc !== undefined &&
        (objects === purpose.objects || purposeOfMessage(reply.rpc, target).objects === purpose.objects),
    );
  }
}

const keys = [
  (p: Purpose) => purposeText(p),
  // The same lock mode, whatever the extent.
  (p: Purpose) => [p.target, p.operation, p.objects, p.detail.split(' ')[0]].join('  '),
  (p: Purpose) => [p.target, p.operation, p.objects].join('  '),
] as const;

/** No intent goes with it: what comes back is a lock. */
const asksForLock = ({ body, values }: RpcMessage): boolean => {
  const flags = (values.dlm_req as { lock_flags: number } | undefined)?.lock_flags ?? 0;
  return body.pb_opc === Opcode.LDLM_ENQUEUE && (flags & LockFlag.LDLM_FL_HAS_INTENT) === 0;
};

/** ELDLM_LOCK_ABORTED: the answer to an intent, without a lock. */
const gaveNone = ({ reply }: Exchange): boolean => reply?.rpc?.body.pb_status === 301;

/** A name that was looked up and is not there. */
const isNegative = ({ purpose: { operation, target }, reply }: Exchange): boolean =>
  /^LDLM_ENQUEUE (getattr|lookup|open)/.test(operation) &&
  reply?.rpc !== undefined &&
  purposeOfMessage(reply.rpc, target).objects === '';

const modifies = ({ purpose: { operation } }: Exchange): boolean => /^MDS_REINT|creat$/.test(operation);

export const within = (exchange: Exchange, step: Step): boolean =>
  exchange.time >= step.time && exchange.time < step.until;
