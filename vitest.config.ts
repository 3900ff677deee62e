import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: the addon's I/O threads and a crash belong to one test file.
    pool: 'forks',
    // vitest would leave a core free: on two it would run one file at a time. Many tests wait more than they work.
    maxWorkers: '100%',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    // A test that hangs must say where; a flaky one must fail, not be tried again.
    retry: 0,
    reporters: ['default'],
  },
});
