/**
 * Runs a test body on many simulations. A failure names its seed; `SIM_SEED=17 npx vitest run FILE` replays that one
 * alone.
 */
import { createSimulation, type Simulation, type SimulationOptions } from '../../lib/sim/simulation.ts';

/** Runs `body` on a fresh simulation to its end; a failure's message gets the seed and how to replay it. */
export async function simulate(
  options: SimulationOptions,
  body: (sim: Simulation) => Promise<void>,
): Promise<void> {
  const sim = createSimulation(options);
  try {
    await sim.run(body(sim), { allVirtual: true });
  } catch (error) {
    if (error instanceof Error && !error.message.includes('SIM_SEED')) error.message += ` (${sim.replay})`;
    throw error;
  }
}

/** After so many failures no more seeds are tried. */
const FAILURES_MAX = 10;

/**
 * `body` on seeds 1..count and on those of `more`, one after the other, or on SIM_SEED alone. A seed that fails does not
 * keep the later ones from being tried; the error is that of the first, and names the others.
 */
export async function forSeeds(
  count: number,
  body: (sim: Simulation) => Promise<void>,
  { more = [], ...options }: Omit<SimulationOptions, 'seed'> & { readonly more?: readonly number[] } = {},
): Promise<void> {
  const chosen = process.env.SIM_SEED;
  const all = new Set([...Array.from({ length: count }, (_, i) => i + 1), ...more]);
  const failures: { readonly seed: number; readonly error: unknown }[] = [];
  for (const seed of chosen === undefined ? all : [Number.parseInt(chosen, 10)]) {
    await simulate({ ...options, seed }, body).catch((error: unknown) => failures.push({ seed, error }));
    if (failures.length === FAILURES_MAX) break;
  }
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length > 0 && first.error instanceof Error)
    first.error.message += `; seeds ${others.map(({ seed }) => seed).join()} failed too`;
  throw first.error;
}
