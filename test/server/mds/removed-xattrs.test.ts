/** What hangs on an object goes with it, whether its inode says that there is nothing unusual or not. */
import { expect, it } from 'vitest';
import { ROOT_FID } from '../../../lib/fid/fid.ts';
import { Mode, SUPERUSER } from '../../../lib/server/mds/credential.ts';
import type { NamespaceEdit } from '../../../lib/server/mds/namespace.ts';
import { unlink } from '../../../lib/server/mds/namespace-remove.ts';
import { setXattr } from '../../../lib/server/mds/namespace-xattr.ts';
import { encodeAcl } from '../../../lib/server/mds/posix-acl.ts';
import { MdtTable } from '../../../lib/server/mds/records.ts';
import { XattrName } from '../../../lib/wire/names.ts';
import { bench, bytes } from './namespace-setup.ts';

const acl = encodeAcl([
  { tag: 0x01, perm: 7, id: 0xffff_ffff },
  { tag: 0x02, perm: 6, id: 1234 },
  { tag: 0x04, perm: 5, id: 0xffff_ffff },
  { tag: 0x10, perm: 7, id: 0xffff_ffff },
  { tag: 0x20, perm: 4, id: 0xffff_ffff },
]);

it.each([
  { what: 'nothing', with: undefined, plain: 1 },
  { what: 'an attribute of the user', with: ['user.x', bytes('value')] as const, plain: 0 },
  { what: 'an access list', with: [XattrName.XATTR_NAME_ACL_ACCESS, acl] as const, plain: 0 },
])('goes with $what besides its layout and its name', async ({ with: given, plain }) => {
  const b = await bench();
  const left = (): number =>
    [...b.store.table(MdtTable.xattr).range(new Uint8Array(0), Buffer.alloc(300, 0xff))].length;
  const before = left();
  const remove = (name: string): Promise<unknown> =>
    b.edit((ns) =>
      unlink(ns, SUPERUSER, { parent: ROOT_FID, name: bytes(name), directory: false, time: 200n }, b.context),
    );
  const forget = (ns: NamespaceEdit): void => {
    const inode = ns.inode(old);
    inode.plain = 0;
    ns.putInode(old, inode);
  };
  const file = await b.make('file', Mode.S_IFREG | 0o640, { layout: bytes('layout') });
  const old = await b.make('old', Mode.S_IFREG | 0o640, { layout: bytes('layout') });
  // As a version without that account leaves it.
  await b.edit(forget);
  if (given !== undefined) {
    const [name, value] = given;
    for (const fid of [file, old])
      await b.edit((ns) => setXattr(ns, SUPERUSER, fid, { name, value, flags: 0, time: 150n }));
  }
  expect(b.view.inode(file).plain).toBe(plain);
  expect(left()).toBe(before + 2 * (given === undefined ? 2 : 3));
  for (const name of ['file', 'old']) await remove(name);
  expect(left()).toBe(before);
  expect(b.destroyed).toHaveLength(2);
});

it('is told of an attribute that comes without its inode', async () => {
  const b = await bench();
  const file = await b.make('file', Mode.S_IFREG | 0o640, { time: 77n });
  await b.edit((ns) => ns.setXattr(file, XattrName.XATTR_NAME_HSM, bytes('state')));
  expect(b.view.inode(file)).toMatchObject({ plain: 0, mtime: 77n });
});
