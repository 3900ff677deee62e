/** Lock modes and which of them may be held beside each other (guide 08 §1.1). */
import { LockMode } from '../wire/ldlm-constants.ts';
import type { LockModeNumber } from './lock.ts';

const { LCK_EX, LCK_PW, LCK_PR, LCK_CW, LCK_CR, LCK_NL, LCK_GROUP } = LockMode;

/** The modes that may come over the wire; COS and TXN are internal to kernel servers. */
const wireModes = [LCK_EX, LCK_PW, LCK_PR, LCK_CW, LCK_CR, LCK_NL, LCK_GROUP] as const;
const wireModeSet: ReadonlySet<number> = new Set(wireModes);

/** By held mode: the requested modes that it allows, as bits. GROUP beside GROUP also needs the same group id. */
const compatibleWith = new Map<LockModeNumber, number>([
  [LCK_EX, LCK_NL],
  [LCK_PW, LCK_NL | LCK_CR],
  [LCK_PR, LCK_NL | LCK_CR | LCK_PR],
  [LCK_CW, LCK_NL | LCK_CR | LCK_CW],
  [LCK_CR, LCK_NL | LCK_CR | LCK_CW | LCK_PR | LCK_PW],
  [LCK_NL, LCK_NL | LCK_CR | LCK_CW | LCK_PR | LCK_PW | LCK_EX | LCK_GROUP],
  [LCK_GROUP, LCK_NL | LCK_GROUP],
]);

/** What a mode lets its holder do, as the modes it can stand in for. */
const covers = new Map<LockModeNumber, number>([
  [LCK_EX, LCK_EX | LCK_PW | LCK_PR | LCK_CW | LCK_CR | LCK_NL],
  [LCK_PW, LCK_PW | LCK_PR | LCK_CW | LCK_CR | LCK_NL],
  [LCK_PR, LCK_PR | LCK_CR | LCK_NL],
  [LCK_CW, LCK_CW | LCK_CR | LCK_NL],
  [LCK_CR, LCK_CR | LCK_NL],
  [LCK_NL, LCK_NL],
  [LCK_GROUP, LCK_GROUP],
]);

export function isLockMode(mode: number): mode is LockModeNumber {
  return wireModeSet.has(mode);
}

export function modesCompatible(held: LockModeNumber, requested: LockModeNumber): boolean {
  return ((compatibleWith.get(held) ?? 0) & requested) !== 0;
}

/** True when a lock of mode `held` serves a user that needs `wanted`. */
export function modeCovers(held: LockModeNumber, wanted: LockModeNumber): boolean {
  return ((covers.get(held) ?? 0) & wanted) !== 0;
}

const names = new Map<number, string>(wireModes.map((mode) => [mode, modeText(mode)]));

/** `PW`, or the number of a mode that has no name. */
export function modeName(mode: number): string {
  return names.get(mode) ?? String(mode);
}

function modeText(mode: number): string {
  const entry = Object.entries(LockMode).find(
    ([name, value]) => value === mode && !name.startsWith('LCK_MODE'),
  );
  return entry === undefined ? String(mode) : entry[0].slice('LCK_'.length);
}
