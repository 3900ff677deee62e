import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Processes, not threads: the addon's I/O threads and a crash belong to one test file.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    // A test that hangs must say where; a flaky one must fail, not be tried again.
    retry: 0,
    reporters: ['default'],
  },
});
