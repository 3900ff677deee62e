/**
 * Bigints of which the same ones come again and again: times, sequences, bits. Each that is read from a message is an object
 * of its own, which the collector has to copy twice before it is old, and to write one out is dear.
 */
const SLOT_BITS = 6;
const slots: bigint[] = new Array<bigint>(1 << SLOT_BITS).fill(0n);

/** The same number; the one that was seen before, where it was seen lately. */
export function sharedBigint(value: bigint): bigint {
  if (value === 0n) return 0n;
  const slot = Number(BigInt.asUintN(SLOT_BITS, value));
  const before = slots[slot]!;
  if (before === value) return before;
  slots[slot] = value;
  return value;
}

/** `text` that remembers what it said last. */
export function lastText(text: (value: bigint) => string): (value: bigint) => string {
  let last = 0n;
  let said = text(last);
  return (value) => {
    if (value !== last) {
      last = value;
      said = text(value);
    }
    return said;
  };
}
