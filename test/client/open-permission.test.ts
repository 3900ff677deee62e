/** Who has a file open keeps the lock of the open through a chmod (guide 08 §1.2); the old mode does not stay with it. */
import { expect, it } from 'vitest';
import { rpcsOf } from './rpc-count.ts';
import { withCluster } from './sim-cluster.ts';

it('a file that is open and open again is opened no more when another client forbids it', () =>
  withCluster(async ({ mount }) => {
    const owner = await mount();
    const reader = await mount({ credentials: { uid: 1000, gid: 1000 } });
    await owner.writeFile('/f', 'text', { mode: 0o644 });
    const open = async (): Promise<void> => (await reader.open('/f')).close();
    for (let i = 0; i < 20; i++) await open();
    expect(await rpcsOf(reader, open)).toEqual({});
    await owner.chmod('/f', 0o600);
    await expect(open()).rejects.toMatchObject({ code: 'EACCES' });
    await owner.chmod('/f', 0o644);
    await open();
  }));
