import { describe } from 'vitest';
import { createSimulation } from '../../lib/sim/simulation.ts';
import { networkSemantics } from '../lnet/network-semantics.ts';

describe.each([1, 2, 3])('seed %i', (seed) => {
  networkSemantics('the virtual network', async () => {
    const sim = createSimulation({ seed });
    return {
      network: sim.network,
      options: (n) => ({ nid: `127.0.0.${n + 1}@tcp` }),
      run: (work) => sim.run(work),
      settle: () => sim.advance(1000),
    };
  });
});
