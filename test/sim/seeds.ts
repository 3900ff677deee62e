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
    await sim.run(body(sim));
  } catch (error) {
    if (error instanceof Error && !error.message.includes('SIM_SEED')) error.message += ` (${sim.replay})`;
    throw error;
  }
}

/** `body` on seeds 1..count, one after the other, or on SIM_SEED alone. */
export async function forSeeds(
  count: number,
  body: (sim: Simulation) => Promise<void>,
  options: Omit<SimulationOptions, 'seed'> = {},
): Promise<void> {
  const chosen = process.env.SIM_SEED;
  const seeds =
    chosen === undefined ? Array.from({ length: count }, (_, i) => i + 1) : [Number.parseInt(chosen, 10)];
  for (const seed of seeds) await simulate({ ...options, seed }, body);
}
