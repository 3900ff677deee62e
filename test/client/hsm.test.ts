/** Files in archives: requests as a kernel client sends them, reading what was released, states on our own servers. */
import { describe, expect, it } from 'vitest';
import { stateText } from '../../lib/cli/hsm.ts';
import { FileLayouts } from '../../lib/client/files/file-layouts.ts';
import { closeIntentRequest } from '../../lib/client/mdc/close.ts';
import { hsmRequest, hsmStateSetRequest } from '../../lib/client/mdc/hsm.ts';
import { openBuffers } from '../../lib/client/mdc/intent-open.ts';
import { OpenState } from '../../lib/client/mdc/open-state.ts';
import type { MetadataTarget } from '../../lib/client/mdc/target.ts';
import { Inode } from '../../lib/client/namespace/inodes.ts';
import type { Session } from '../../lib/client/session.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import type { Format } from '../../lib/wire/format.ts';
import * as formats from '../../lib/wire/formats.ts';
import { HsmAction, HsmState } from '../../lib/wire/hsm-constants.ts';
import { LdlmReply } from '../../lib/wire/ldlm-structs.ts';
import { MdValid, OpBias, OpenFlag } from '../../lib/wire/mds-constants.ts';
import { MdtBody } from '../../lib/wire/mds-structs.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { withCluster } from './sim-cluster.ts';

const root = { uid: 0, gid: 0, groups: [], umask: 0o022 };

describe('requests equal those of a kernel client', () => {
  it('state of a file (04 pkt 4303)', () => {
    const fid = parseFid('[0x200000405:0xb:0x0]');
    const request = hsmStateSetRequest(fid, { set: HsmState.HS_DIRTY, clear: 0 }, root, 0);
    expect(encoded(formats.RQF_MDS_HSM_STATE_SET, request)).toEqual(
      buffersOf(capturedMessage('04-layouts', 4303, 55)),
    );
  });

  it('the open of a lease (04 pkt 2471), with the open that it came from, but for its room for a layout', () => {
    const fid = parseFid('[0x200000405:0x5:0x0]');
    const flags =
      OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_LOCK | OpenFlag.MDS_OPEN_LEASE | OpenFlag.MDS_OPEN_RESYNC;
    const theirs = buffersOf(capturedMessage('04-layouts', 2471, 101));
    const record = Buffer.from(theirs[2]!, 'hex');
    const ownHandle = record.readBigUInt64LE(72);
    expect(ownHandle).not.toBe(0n);
    const what = { parent: fid, child: fid, flags, mode: 0, group: 0, ownHandle };
    const ours = encoded(formats.RQF_LDLM_INTENT_OPEN, {
      dlm_req: {},
      ...openBuffers(what, root, 0x6b02b64fn),
    });
    const mine = Buffer.from(ours[2]!, 'hex');
    // Which groups help root is of no interest (02 pkt 105).
    record.writeUInt32LE(mine.readUInt32LE(32), 32);
    expect(mine.toString('hex')).toBe(record.toString('hex'));
    expect(ours[1]).toBe(theirs[1]);
  });

  it('the close of a lease with an intent (04 pkt 2529)', () => {
    const what = {
      fid: parseFid('[0x200000405:0x5:0x0]'),
      state: new OpenState(0n),
      mode: 0o100644,
      group: 0,
      atime: 0x6b02b64dn,
      mtime: 0x6b02b64en,
      ctime: 0x6b02b650n,
      size: { bytes: 0x12n, blocks: 0x10n },
      modified: false,
    };
    const data = {
      cd_handle: 0x12a02812f77ce31fn,
      cd_resync: { resync_count: 1, resync_ids_inline: [0x20002] },
    };
    const intent = { bias: OpBias.MDS_CLOSE_RESYNC_DONE, data, exact: true };
    const ours = encoded(formats.RQF_MDS_CLOSE_INTENT, closeIntentRequest(what, intent, root));
    const theirs = buffersOf(capturedMessage('04-layouts', 2529, 35));
    expect(ours.slice(1)).toEqual(theirs.slice(1));
  });
});

it('a request names action, archive and files, each as a whole (guide 17 §9)', () => {
  const fids = [parseFid('[0x200000405:0xb:0x0]'), parseFid('[0x200000405:0xc:0x0]')];
  const work = { action: HsmAction.HUA_ARCHIVE, archiveId: 2, fids };
  const [, request, items, data] = encoded(formats.RQF_MDS_HSM_REQUEST, hsmRequest(work, root));
  expect(request).toBe('0a0000000200000000000000000000000200000000000000');
  const whole = '0000000000000000ffffffffffffffff';
  expect(items).toBe(`05040000020000000b00000000000000${whole}05040000020000000c00000000000000${whole}`);
  expect(data).toBe('');
});

/** An MDT with one file; `restore` does what its copy tool would. */
function archivedFile(restore: () => void) {
  const released = Buffer.alloc(32);
  released.writeUInt32LE(0x0bd10bd0, 0);
  released.writeUInt32LE(0x80000001, 4);
  released.writeBigUInt64LE(5n, 8);
  released.writeBigUInt64LE(0x200000405n, 16);
  released.writeUInt32LE(65536, 24);
  released.writeUInt16LE(1, 28);
  const restored = Buffer.alloc(56);
  released.copy(restored);
  restored.writeUInt32LE(1, 4);
  restored.writeUInt16LE(1, 30);
  restored.writeBigUInt64LE(0x280000401n, 32);
  restored.writeBigUInt64LE(7n, 40);
  const asked: string[] = [];
  let ea = released;
  const mdt = {
    name: 'lab-MDT0000',
    granted: {},
    caller: {
      call: async (format: Format, request: ReturnType<typeof hsmRequest>) => {
        asked.push(
          `${format.name} ${request.mds_hsm_request?.hr_action} ${request.mds_hsm_request?.hr_flags}`,
        );
        restore();
        ea = restored;
        return { values: {} };
      },
    },
    locks: {
      enqueue: async () => {
        asked.push('layout');
        return {
          lock: undefined,
          reply: {
            values: { dlm_rep: LdlmReply.decode(LdlmReply.encode({ lock_policy_res1: 1n })), dlm_lvb: ea },
          },
        };
      },
    },
  } as object as MetadataTarget;
  const body = MdtBody.decode(
    MdtBody.encode({
      mbo_fid1: parseFid('[0x200000405:0x5:0x0]'),
      mbo_valid: MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLTYPE | MdValid.OBD_MD_FLMODE,
      mbo_mode: 0o100644,
    }),
  );
  const inode = new Inode(mdt, body);
  inode.takeLayout(released, undefined);
  const osts = new Map([[0, { index: 0, name: 'lab-OST0000' }]]);
  const session = { who: root, osts } as object as Session;
  return { inode, layouts: new FileLayouts(session), asked };
}

describe('data that are in an archive', () => {
  const context = { syscall: 'read', path: '/f' };
  it('are asked back before they are used, and the layout after them', async () => {
    const { inode, layouts, asked } = archivedFile(() => undefined);
    // Looking at the file needs none of them.
    expect(await layouts.using(inode, context, async (file) => file?.stripes.length)).toBe(0);
    expect(asked).toEqual([]);
    const found = await layouts.usingData({ inode }, context, async (file) => file?.stripes.length);
    expect(found).toBe(1);
    expect(asked).toEqual(['MDS_HSM_REQUEST 11 4', 'layout']);
    await layouts.usingData({ inode }, context, async () => undefined);
    expect(asked).toHaveLength(2);
  });

  it('are missing where nobody can bring them back: no zeroes in their place', async () => {
    const { inode, layouts } = archivedFile(() => {
      throw errnoError(95);
    });
    const used = layouts.usingData({ inode }, context, async () => expect.unreachable());
    await expect(used).rejects.toMatchObject({ code: 'ENODATA', cause: { code: 'EOPNOTSUPP' } });
    const write = layouts.prepare(inode, { kind: 'write', start: 0, end: 1 }, context);
    await expect(write).rejects.toMatchObject({ code: 'ENODATA' });
  });
});

describe('on our own servers', () => {
  it('states are kept, and nothing is archived', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', 'data');
      expect(await fs.getHsmState('/f')).toEqual({ flags: [], archiveId: 0 });
      await fs.setHsmState('/f', { set: ['norelease'] });
      await fs.setHsmState('/f', { set: ['exists', 'archived'], archiveId: 3 });
      const state = await (await mount()).getHsmState('/f');
      expect(state).toEqual({ flags: ['exists', 'archived', 'norelease'], archiveId: 3 });
      expect(stateText('/f', state)).toBe('/f: (0x00000019) exists archived never_release, archive_id:3');
      await fs.setHsmState('/f', { clear: ['norelease'] });
      expect((await fs.getHsmState('/f')).flags).toEqual(['exists', 'archived']);
      await expect(fs.requestHsm('archive', ['/f'])).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
      await expect(fs.releaseHsm('/f')).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
      await expect(fs.releaseHsm('/')).rejects.toMatchObject({ code: 'EINVAL' });
      expect(await fs.readFile('/f', 'utf8')).toBe('data');
    }));
});
