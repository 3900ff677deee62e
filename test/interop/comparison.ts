/** Tests that compare with a kernel client beside us, and that skip what a cluster does not have. */
import { it, type TestContext } from 'vitest';
import type { LustreError } from '../../lib/index.ts';
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

/** What `work` gives; the test is skipped, with the reason, where servers say that they do not have it, to us or to a kernel client. */
export async function orSkip<T>(work: Promise<T>, skip: TestContext['skip']): Promise<T> {
  return work.catch((error: LustreError) => {
    // In the words of the commands of a kernel client.
    if (error.code !== 'EOPNOTSUPP' && !/not supported|Inappropriate ioctl/.test(error.message)) throw error;
    return skip(`these servers do not have it: ${error.message}`);
  });
}
