/** Archive states, as a kernel client 2.17 sets and asks for them. */
import { expect, it } from 'vitest';
import { ROOT_FID } from '../../../lib/fid/fid.ts';
import { RQF_MDS_HSM_STATE_GET, RQF_MDS_HSM_STATE_SET } from '../../../lib/wire/formats.ts';
import { HsmAction, HsmState } from '../../../lib/wire/hsm-constants.ts';
import { OpenFlag } from '../../../lib/wire/mds-constants.ts';
import { MdtCluster } from './mdt-cluster.ts';

const { HS_EXISTS, HS_DIRTY, HS_RELEASED, HS_ARCHIVED, HS_NORELEASE } = HsmState;
const { HSS_SETMASK, HSS_CLEARMASK, HSS_ARCHIVE_ID } = HsmAction;

it('keeps archive states that make sense, and refuses the rest', async () => {
  const cluster = new MdtCluster();
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const client = await cluster.client();
      const flags = OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_CREAT;
      const made = await client.open(ROOT_FID, 'f', { flags });
      const fid = made.body.mbo_fid1;
      const state = async () =>
        (await client.imp.call(RQF_MDS_HSM_STATE_GET, { mdt_body: { mbo_fid1: fid } })).values.hsm_user_state;
      const change = (
        hsm_state_set: object,
        who: { uid: number; cap: number } = { uid: 0, cap: 0xffffffff },
      ) =>
        client.imp.call(
          RQF_MDS_HSM_STATE_SET,
          { mdt_body: { mbo_fid1: fid, mbo_fsuid: who.uid, mbo_capability: who.cap }, hsm_state_set },
          { modifies: true },
        );
      expect(await state()).toMatchObject({ hus_states: 0, hus_archive_id: 0, hus_in_progress_state: 0 });
      // What a client says after `cp -p`: nothing was ever archived.
      const dirty = { hss_valid: HSS_SETMASK, hss_setmask: BigInt(HS_DIRTY) };
      await expect(change(dirty)).rejects.toMatchObject({ code: 'EINVAL' });
      const archived = BigInt(HS_EXISTS | HS_ARCHIVED);
      const first = { hss_valid: HSS_SETMASK | HSS_ARCHIVE_ID, hss_setmask: archived, hss_archive_id: 3 };
      await expect(change(first, { uid: 500, cap: 0 })).rejects.toMatchObject({ code: 'EPERM' });
      await change(first);
      await change(dirty, { uid: 500, cap: 0 });
      expect(await state()).toMatchObject({
        hus_states: HS_EXISTS | HS_ARCHIVED | HS_DIRTY,
        hus_archive_id: 3,
      });
      const released = { hss_valid: HSS_SETMASK, hss_setmask: BigInt(HS_RELEASED) };
      await expect(change(released)).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(change({ hss_valid: HSS_SETMASK, hss_setmask: 1n << 40n })).rejects.toMatchObject({
        code: 'EINVAL',
      });
      await expect(change({ ...first, hss_archive_id: 33 })).rejects.toMatchObject({ code: 'EINVAL' });
      const both = BigInt(HS_NORELEASE);
      await change({
        hss_valid: HSS_SETMASK | HSS_CLEARMASK,
        hss_setmask: both,
        hss_clearmask: BigInt(HS_DIRTY),
      });
      expect(await state()).toMatchObject({ hus_states: HS_EXISTS | HS_ARCHIVED | HS_NORELEASE });
    })(),
  );
});
