/** Our requests to an MDT against those of a 2.17 kernel client, byte for byte. */
import { describe, expect, it } from 'vitest';
import { closeRequest } from '../../lib/client/mdc/close.ts';
import type { Credentials } from '../../lib/client/mdc/credentials.ts';
import { fid2pathRequest } from '../../lib/client/mdc/fid2path.ts';
import { getRootRequest } from '../../lib/client/mdc/get-root.ts';
import { ATTRIBUTES, getattrRequest } from '../../lib/client/mdc/getattr.ts';
import { lookupBits, lookupBuffers } from '../../lib/client/mdc/intent-getattr.ts';
import { openBuffers } from '../../lib/client/mdc/intent-open.ts';
import { OpenState } from '../../lib/client/mdc/open-state.ts';
import { decodePages, readpageRequest } from '../../lib/client/mdc/readpage.ts';
import { createRequest, symlinkRequest } from '../../lib/client/mdc/reint-create.ts';
import { linkRequest } from '../../lib/client/mdc/reint-link.ts';
import { renameRequest } from '../../lib/client/mdc/reint-rename.ts';
import { setattrRequest } from '../../lib/client/mdc/reint-setattr.ts';
import { unlinkRequest } from '../../lib/client/mdc/reint-unlink.ts';
import { syncRequest } from '../../lib/client/mdc/sync.ts';
import { getxattrRequest, setxattrRequest } from '../../lib/client/mdc/xattr.ts';
import { parseFid, ROOT_FID } from '../../lib/fid/fid.ts';
import { encodeStriping } from '../../lib/layout/striping.ts';
import * as formats from '../../lib/wire/formats.ts';
import { OpenFlag } from '../../lib/wire/mds-constants.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';

const root: Credentials = { uid: 0, gid: 0, groups: [], umask: 0o022 };
const D1 = parseFid('[0x200000403:0x1:0x0]');
const F1 = parseFid('[0x200000403:0x2:0x0]');
const S2 = parseFid('[0x200000404:0x1:0x0]');
const GROUP = 0;

const captured = (capture: string, frame: number, opcode: number): string[] =>
  buffersOf(capturedMessage(capture, frame, opcode));
const ENQUEUE = 101;
const REINT = 36;
/** Buffers behind dlm_req: what an intent adds to a lock request. */
const intent = (buffers: string[]): string[] => buffers.slice(1);

it('GET_ROOT of a sub-directory begins with a slash: kernel servers pass over the first byte', () => {
  expect(getRootRequest('dir/below', root).name).toBe('/dir/below');
});

describe('requests to an MDT equal those of a kernel client', () => {
  it('GET_ROOT (01 pkt 83)', () => {
    expect(encoded(formats.RQF_MDS_GET_ROOT, getRootRequest(undefined, root))).toEqual(
      captured('01-mount-df-umount', 83, 40),
    );
  });

  it('getattr of the root (01 pkt 92), but for the encryption context', () => {
    const ENCCTX = 0x2000000000000000n;
    expect(encoded(formats.RQF_MDS_GETATTR, getattrRequest(ROOT_FID, ATTRIBUTES | ENCCTX, 0, root))).toEqual(
      captured('01-mount-df-umount', 92, 33),
    );
  });

  it('getattr intent by FID (01 pkt 95)', () => {
    const lookup = { parent: ROOT_FID, intent: 'getattr', group: GROUP } as const;
    expect(
      intent(encoded(formats.RQF_LDLM_INTENT_GETATTR, { dlm_req: {}, ...lookupBuffers(lookup, root) })),
    ).toEqual(intent(captured('01-mount-df-umount', 95, ENQUEUE)));
    expect(lookupBits(lookup)).toBe(2n);
  });

  it('lookup intent by name (02 pkt 105)', () => {
    const lookup = { parent: ROOT_FID, name: 'd1', intent: 'lookup', group: GROUP } as const;
    expect(
      intent(encoded(formats.RQF_LDLM_INTENT_GETATTR, { dlm_req: {}, ...lookupBuffers(lookup, root) })),
    ).toEqual(intent(captured('02-namespace', 105, ENQUEUE)));
    expect(lookupBits(lookup)).toBe(1n);
  });

  it('open and create (02 pkt 109)', () => {
    const flags = OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_CREAT | OpenFlag.MDS_OPEN_TRUNC;
    const open = { parent: D1, name: 'f1', child: F1, flags, mode: 0o666, group: GROUP };
    expect(
      intent(encoded(formats.RQF_LDLM_INTENT_OPEN, { dlm_req: {}, ...openBuffers(open, root, 0x6b02b54cn) })),
    ).toEqual(intent(captured('02-namespace', 109, ENQUEUE)));
  });

  it('open of what exists (02 pkt 150)', () => {
    const open = { parent: D1, name: 'f1', flags: OpenFlag.MDS_FMODE_READ, mode: 0, group: GROUP };
    expect(
      intent(encoded(formats.RQF_LDLM_INTENT_OPEN, { dlm_req: {}, ...openBuffers(open, root, 0x6b02b556n) })),
    ).toEqual(intent(captured('02-namespace', 150, ENQUEUE)));
  });

  it('close after a write, and after reading only (02 pkt 121, 157)', () => {
    const times = { ctime: 0x6b02b54cn, mtime: 0x6b02b54cn };
    const wrote = {
      fid: F1,
      state: new OpenState(0x12a02812f77cadb8n),
      mode: 0o100644,
      group: GROUP,
      ...times,
      atime: 0x6b02b54cn,
      size: { bytes: 13n, blocks: 0n },
      modified: true,
    };
    expect(encoded(formats.RQF_MDS_CLOSE, closeRequest(wrote, root))).toEqual(
      captured('02-namespace', 121, 35),
    );
    const readOnly = {
      ...wrote,
      state: new OpenState(0x12a02812f77cae36n),
      atime: 0x6b02b556n,
      size: { bytes: 13n, blocks: 8n },
      modified: false,
    };
    expect(encoded(formats.RQF_MDS_CLOSE, closeRequest(readOnly, root))).toEqual(
      captured('02-namespace', 157, 35),
    );
  });

  it('mknod of a fifo and of a device (02 pkt 923, 926)', () => {
    const base = { parent: D1, group: GROUP };
    const fifo = {
      ...base,
      name: 'fifo',
      child: parseFid('[0x200000403:0x5:0x0]'),
      mode: 0o010666,
      cancels: [0x12a02812f77cc161n],
    };
    expect(encoded(formats.RQF_MDS_REINT_CREATE_ACL, createRequest(fifo, root, 0x6b02b586n))).toEqual(
      captured('02-namespace', 923, REINT),
    );
    const device = {
      ...base,
      name: 'null',
      child: parseFid('[0x200000403:0x6:0x0]'),
      mode: 0o020666,
      rdev: 0x103,
    };
    expect(encoded(formats.RQF_MDS_REINT_CREATE_ACL, createRequest(device, root, 0x6b02b586n))).toEqual(
      captured('02-namespace', 926, REINT),
    );
  });

  it('mkdir (02 pkt 97), but for the default directory layout, which we do not inherit', () => {
    const mkdir = {
      parent: ROOT_FID,
      name: 'd1',
      child: D1,
      mode: 0o040777,
      group: GROUP,
      cancels: [0x12a02812f77cad56n],
    };
    const ours = encoded(formats.RQF_MDS_REINT_CREATE_ACL, createRequest(mkdir, root, 0x6b02b549n));
    const theirs = captured('02-namespace', 97, REINT);
    const record = Buffer.from(theirs[0]!, 'hex');
    record.writeUInt32LE(0, 116); // cr_bias: CREATE_DEFAULT_LMV
    record.writeUInt32LE(0, 124); // cr_flags_h: DEFAULT_LMV, MKDIR_LMV
    expect(ours).toEqual([record.toString('hex'), ...theirs.slice(1, 3), '', ...theirs.slice(4)]);
  });

  it('symlink (02 pkt 868)', () => {
    const symlink = {
      parent: D1,
      name: 'sym',
      child: parseFid('[0x200000403:0x4:0x0]'),
      mode: 0o120777,
      target: '../target/of/link',
      group: GROUP,
    };
    expect(encoded(formats.RQF_MDS_REINT_CREATE_SYM, symlinkRequest(symlink, root, 0x6b02b57cn))).toEqual(
      captured('02-namespace', 868, REINT),
    );
  });

  it('readlink (02 pkt 874)', () => {
    const request = getattrRequest(parseFid('[0x200000403:0x4:0x0]'), 0x40001n, 18, root);
    expect(encoded(formats.RQF_MDS_GETATTR, request)).toEqual(captured('02-namespace', 874, 33));
  });

  it('link (02 pkt 855)', () => {
    const link = {
      object: F1,
      parent: ROOT_FID,
      name: 'hard',
      groups: [0, 0] as const,
      cancels: [0x12a02812f77cc07an, 0x12a02812f77cc05en],
    };
    expect(encoded(formats.RQF_MDS_REINT_LINK, linkRequest(link, root, 0x6b02b579n))).toEqual(
      captured('02-namespace', 855, REINT),
    );
  });

  it('unlink and rmdir (02 pkt 967, 1301)', () => {
    const base = { parent: ROOT_FID, group: GROUP };
    const file = {
      ...base,
      name: 'hard',
      child: F1,
      directory: false,
      cancels: [0x12a02812f77cc29cn, 0x12a02812f77cc23an],
    };
    expect(encoded(formats.RQF_MDS_REINT_UNLINK, unlinkRequest(file, root, 0x6b02b58cn))).toEqual(
      captured('02-namespace', 967, REINT),
    );
    const directory = {
      ...base,
      name: 'd1',
      child: D1,
      directory: true,
      cancels: [0x12a02812f77cc256n, 0x12a02812f77cced5n],
    };
    expect(encoded(formats.RQF_MDS_REINT_UNLINK, unlinkRequest(directory, root, 0x6b02b594n))).toEqual(
      captured('02-namespace', 1301, REINT),
    );
  });

  it('rename within and between directories, and over a file (02 pkt 769, 779, 827)', () => {
    const base = { mode: 0o100644, groups: [0, 0] as const };
    const cases = [
      [769, 0x6b02b572n, D1, 'f1', D1, 'f2', [0x12a02812f77cbee4n, 0x12a02812f77cbec8n]],
      [779, 0x6b02b572n, D1, 'f2', ROOT_FID, 'f3', [0x12a02812f77cbf4dn, 0x12a02812f77cb774n]],
      [
        827,
        0x6b02b576n,
        ROOT_FID,
        'f3',
        ROOT_FID,
        'v',
        [0x12a02812f77cbfeen, 0x12a02812f77cbfafn, 0x12a02812f77cc011n],
      ],
    ] as const;
    for (const [frame, time, from, oldName, to, newName, cancels] of cases) {
      const rename = { ...base, from, oldName, to, newName, cancels };
      expect(encoded(formats.RQF_MDS_REINT_RENAME, renameRequest(rename, root, time))).toEqual(
        captured('02-namespace', frame, REINT),
      );
    }
  });

  it('readpage (01 pkt 98)', () => {
    expect(encoded(formats.RQF_MDS_READPAGE, readpageRequest(ROOT_FID, 0n, 1 << 20, root))).toEqual(
      captured('01-mount-df-umount', 98, 37),
    );
  });

  it('sync (03 pkt 5845)', () => {
    const request = syncRequest(parseFid('[0x200000404:0x4:0x0]'), root);
    expect(encoded(formats.RQF_MDS_SYNC, request)).toEqual(captured('03-stripe-io', 5845, 44));
  });

  const file = parseFid('[0x200000406:0x1:0x0]');
  const now = 0x6b02b674n;

  it.each([
    [
      'O_TRUNC',
      '03-stripe-io',
      137,
      0x6b02b5dan,
      { fid: S2, size: 0n, fromOpen: true, override: true },
      0x12a02812f77cd27fn,
    ],
    [
      'truncate',
      '03-stripe-io',
      4552,
      0x6b02b5e5n,
      { fid: S2, size: 2621447n, override: true },
      0x12a02812f77cd343n,
    ],
    ['chmod', '05-attrs', 258, now, { fid: file, mode: 0o100640 }, 0x12a02812f77cee39n],
    [
      'utimes',
      '05-attrs',
      281,
      now,
      { fid: file, atime: 0x5e0d5da5n, mtime: 0x5e0d5da5n, group: 0xffffffff },
      0x12a02812f77cee9bn,
    ],
  ] as const)('setattr: %s', (_name, capture, frame, time, what, cancel) => {
    const request = setattrRequest({ group: GROUP, ...what, cancels: [cancel] }, root, time);
    expect(encoded(formats.RQF_MDS_REINT_SETATTR, request)).toEqual(captured(capture, frame, REINT));
  });

  it('setattr: default layout of a directory (04 pkt 4123)', () => {
    const what = {
      fid: parseFid('[0x200000405:0x8:0x0]'),
      striping: encodeStriping({ stripeCount: 2, stripeSize: 262144 }),
      group: GROUP,
    };
    expect(encoded(formats.RQF_MDS_REINT_SETATTR, setattrRequest(what, root, 1n))).toEqual(
      captured('04-layouts', 4123, REINT),
    );
  });

  it('setxattr and removexattr (05 pkt 117, 160)', () => {
    const set = { fid: file, name: 'user.color', value: Buffer.from('blue'), flags: 0, group: GROUP };
    expect(encoded(formats.RQF_MDS_REINT_SETXATTR, setxattrRequest(set, root, 0x6b02b66fn))).toEqual(
      captured('05-attrs', 117, REINT),
    );
    const remove = { ...set, value: undefined, cancels: [0x12a02812f77cecb8n] };
    expect(encoded(formats.RQF_MDS_REINT_SETXATTR, setxattrRequest(remove, root, 0x6b02b671n))).toEqual(
      captured('05-attrs', 160, REINT),
    );
  });

  it('getxattr of a caller who is not root (05 pkt 334)', () => {
    const user: Credentials = { uid: 1000, gid: 1000, groups: [], umask: 0o022 };
    const request = getxattrRequest(ROOT_FID, 'system.posix_acl_access', 0, user);
    expect(encoded(formats.RQF_MDS_GETXATTR, request)).toEqual(captured('05-attrs', 334, 49));
  });

  it('fid2path (05 pkt 441)', () => {
    const request = fid2pathRequest(parseFid('[0x200000406:0x1:0x0]'), ROOT_FID, 0);
    const ours = encoded(formats.RQF_MDS_FID2PATH, request);
    const theirs = captured('05-attrs', 441, 53);
    expect(ours[0]!.slice(32 + 32)).toBe(theirs[0]!.slice(32 + 32));
    expect(ours[1]).toBe(theirs[1]);
    expect(ours[0]!.slice(0, 32)).toBe(theirs[0]!.slice(0, 32));
  });
});

describe('directory pages', () => {
  it('answer any bytes with entries or a named error', () => {
    const page = Buffer.alloc(4096);
    for (let seed = 1; seed < 500; seed++) {
      for (let i = 0; i < 200; i++) page[(seed * 7 + i * 31) % 4096] = (seed * 13 + i * 17) & 255;
      try {
        decodePages(page);
      } catch (error) {
        expect((error as { code: string }).code).toMatch(/EPROTO|ERR_LUSTRE_WIRE/);
      }
    }
  });
});
