/** Tests that compare with a kernel client beside us. */
import { it, type TestContext } from 'vitest';
import { ASKED_FOR, type ClusterUnderTest } from './cluster-under-test.ts';
import type { KernelView } from './kernel-view.ts';

/** A test with a kernel client's view; reported as skipped where a run was asked for that has none. */
export function compare(
  name: string,
  cluster: ClusterUnderTest,
  test: (kernel: KernelView, skip: TestContext['skip']) => Promise<void>,
): void {
  if (!ASKED_FOR) return;
  it(`${name}, as a kernel client sees it`, async ({ skip }) => {
    const { kernel } = cluster;
    if (kernel === undefined) return skip('no kernel mount to compare with (--verify-with DIR)');
    await test(kernel, skip);
  });
}
