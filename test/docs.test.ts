import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { stateMachinesPage } from '../scripts/diagrams.ts';

describe('docs/', () => {
  it('state-machines.md shows the tables as they are (npm run diagrams writes it)', async () => {
    const page = await readFile(new URL('../docs/state-machines.md', import.meta.url), 'utf8');
    expect(page).toBe(stateMachinesPage());
  });
});
