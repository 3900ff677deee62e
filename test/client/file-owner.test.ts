/** What is written to a file is charged to whoever it belongs to by then: an object's owner goes with each write (guide 12 §5). */
import { constants } from 'node:fs';
import { expect, it } from 'vitest';
import { Files } from '../../lib/client/files/files.ts';
import { connectSession } from '../../lib/client/mount/connect.ts';
import { KnownAttributes } from '../../lib/client/namespace/known-attributes.ts';
import { PathWalker } from '../../lib/client/namespace/path-walk.ts';
import type { MdtBody } from '../../lib/wire/mds-structs.ts';
import { withCluster } from './sim-cluster.ts';

it('of an open file follows what another client made of it', () =>
  withCluster(async ({ sim, node, mount }) => {
    const other = await mount();
    const { runtime, network } = sim.process('client');
    const session = await connectSession(node.spec, { runtime, network, nid: '127.0.1.77@tcp' });
    const files = new Files(session, new PathWalker(session));
    const context = { syscall: 'test', path: '/f' };
    const file = await files.open(constants.O_CREAT | constants.O_RDWR, 0o644, { stripeCount: 1 }, context);
    const objects = () => files.layouts.using(file.inode, context, async (used) => used!.stripes);
    const before = await objects();
    expect(before[0]!.object.owner).toMatchObject({ uid: 0, gid: 0 });
    // They are not made anew each time.
    expect(await objects()).toBe(before);

    await other.chown('/f', 1000, 100);
    await files.attributes(file.inode, context);
    expect((await objects())[0]!.object.owner).toMatchObject({ uid: 1000, gid: 100 });

    // Where the layout is locked attributes come without one.
    const { inode } = file;
    inode.body = Object.assign(new KnownAttributes(inode.body as object as MdtBody), { mbo_uid: 7 });
    expect((await objects())[0]!.object.owner).toMatchObject({ uid: 7, gid: 100 });

    await files.close(file);
    await session.close();
    files.stop();
  }));
