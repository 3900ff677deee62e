/** Files of which an object is gone: what is left of them can be seen and read. */
import { constants } from 'node:fs';
import { expect, it } from 'vitest';
import { setAttributes } from '../../lib/client/files/file-setattr.ts';
import { syncFile } from '../../lib/client/files/file-sync.ts';
import { Files } from '../../lib/client/files/files.ts';
import { connectSession } from '../../lib/client/mount/connect.ts';
import { PathWalker } from '../../lib/client/namespace/path-walk.ts';
import type { FileLayout } from '../../lib/layout/file-layout.ts';
import { encodeLayout } from '../../lib/layout/layout-ea.ts';
import { pattern, withCluster } from './sim-cluster.ts';

const KIB64 = 65536;

it('is looked at, and read where its objects are; the rest is EIO', () =>
  withCluster(async ({ sim, node }) => {
    const { runtime, network } = sim.process('client');
    const session = await connectSession(node.spec, { runtime, network, nid: '127.0.1.77@tcp' });
    const files = new Files(session, new PathWalker(session));
    const context = { syscall: 'test', path: '/f' };
    const striping = { stripeCount: 2, stripeSize: KIB64, stripeOffset: 0 };
    const file = await files.open(constants.O_CREAT | constants.O_RDWR, 0o644, striping, context);
    const bytes = pattern(5 * KIB64);
    await files.write(file, [bytes], 0, context);
    await syncFile(session, files, file, true, context);

    const layout = (await files.layouts.current(file.inode, context))!;
    const [part] = layout.components;
    const lost: FileLayout = {
      ...layout,
      components: [{ ...part!, objects: [part!.objects[0], undefined] }],
    };
    file.inode.takeLayout(encodeLayout(lost), undefined);

    const attributes = await files.attributes(file.inode, context);
    expect(attributes.size).toBe(5 * KIB64);
    const have = Buffer.alloc(KIB64);
    expect(await files.read(file, [have], 2 * KIB64, context)).toBe(KIB64);
    expect(have.equals(bytes.subarray(2 * KIB64, 3 * KIB64))).toBe(true);
    const gone = { code: 'EIO', message: expect.stringContaining('object 1 of the file is lost') };
    await expect(files.read(file, [have], KIB64, context)).rejects.toMatchObject(gone);
    await expect(files.write(file, [have], KIB64, context)).rejects.toMatchObject(gone);
    await expect(files.truncate(file, 0, context)).rejects.toMatchObject(gone);
    await setAttributes(session, files, file, { mtimeMs: 5000 }, context);
    file.inode.takeLayout(encodeLayout(lost), undefined);
    await syncFile(session, files, file, false, context);

    await files.close(file);
    await session.close();
    files.stop();
  }));
