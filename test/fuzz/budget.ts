/**
 * How long a fuzz target runs: a moment under `npm test`, LUSTRE_FUZZ_SECONDS (60 in CI) per target when set. A
 * failure prints fast-check's seed and path; LUSTRE_FUZZ_SEED replays it.
 */
import fc, { type IRawProperty } from 'fast-check';

/** Per target. */
export const fuzzSeconds = Number(process.env.LUSTRE_FUZZ_SECONDS ?? 1);
const seed = process.env.LUSTRE_FUZZ_SEED;

/** Where a target that counts its seeds begins. */
export const firstSeed = (usual: number): number => (seed === undefined ? usual : Number(seed));

/** Between two parts of a target the runner hears of it. */
const PART_SECONDS = 10;

/** Tries as many inputs as fit into the time. */
export async function fuzz<T>(property: IRawProperty<T>): Promise<void> {
  const parts = Math.ceil(fuzzSeconds / PART_SECONDS);
  for (let part = 0; part < parts; part += 1) {
    await fc.assert(property, {
      numRuns: Number.MAX_SAFE_INTEGER,
      interruptAfterTimeLimit: (fuzzSeconds * 1000) / parts,
      markInterruptAsFailure: false,
      ...(seed === undefined ? {} : { seed: Number(seed) }),
    });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The time limit of a test that runs one target, ms. */
export const fuzzTimeout = fuzzSeconds * 1000 + 60_000;
