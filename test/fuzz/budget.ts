/**
 * How long a fuzz target runs: a moment under `npm test`, LUSTRE_FUZZ_SECONDS (60 in CI) per target when set. A
 * failure prints fast-check's seed and path; LUSTRE_FUZZ_SEED replays it.
 */
import type { Parameters } from 'fast-check';

/** Per target. */
export const fuzzSeconds = Number(process.env.LUSTRE_FUZZ_SECONDS ?? 1);
const seed = process.env.LUSTRE_FUZZ_SEED;

/** Where a target that counts its seeds begins. */
export const firstSeed = (usual: number): number => (seed === undefined ? usual : Number(seed));

/** Parameters for fc.assert: as many inputs as fit into the time. */
export function fuzzParameters<T>(): Parameters<T> {
  return {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: fuzzSeconds * 1000,
    markInterruptAsFailure: false,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  };
}

/** The time limit of a test that runs one target, ms. */
export const fuzzTimeout = fuzzSeconds * 1000 + 60_000;
