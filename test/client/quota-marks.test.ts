/** What an OST's replies say of quotas that end, and how that changes what is sent there. */
import { expect, it } from 'vitest';
import { QuotaMarks } from '../../lib/client/osc/quota-marks.ts';
import { writeRequest } from '../../lib/client/osc/write.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import { ObdConnectData } from '../../lib/wire/connection-structs.ts';
import { MdValid } from '../../lib/wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../lib/wire/ost-constants.ts';
import { Obdo } from '../../lib/wire/ost-structs.ts';

const alice = { uid: 1000, gid: 100, projid: 7 };
const user = { uid: 1000, gid: 100, privileged: false };
const root = { uid: 0, gid: 0, privileged: true };
const fid = parseFid('[0x280000401:0x2:0x0]');
const objectOf = (owner: typeof alice) => ({
  fid,
  parent: fid,
  stripe: 0,
  stripeSize: 65536,
  stripeCount: 1,
  owner,
});
const reply = (o_flags: number, o_valid: bigint = MdValid.OBD_MD_FLALLQUOTA) =>
  Obdo.decode(Obdo.encode({ o_valid, o_flags, o_uid: 1000, o_gid: 100, o_projid: 7 }));

it('concerns those whose quota the server says has ended, until it says otherwise', () => {
  const marks = new QuotaMarks();
  const object = objectOf(alice);
  expect(marks.concern(object, user)).toBe(false);
  for (const flag of [
    ObdoFlag.OBD_FL_NO_USRQUOTA,
    ObdoFlag.OBD_FL_NO_GRPQUOTA,
    ObdoFlag.OBD_FL_NO_PRJQUOTA,
  ]) {
    marks.answered(reply(flag), 10n);
    expect(marks.concern(object, user)).toBe(true);
    // The owner counts, not whoever writes; root writes in any case.
    expect(marks.concern(objectOf({ uid: 1, gid: 1, projid: 1 }), user)).toBe(false);
    expect(marks.concern(object, root)).toBe(false);
    // A reply that says nothing of quotas, and one that is older.
    marks.answered(reply(0, 0n), 11n);
    marks.answered(reply(0), 9n);
    expect(marks.concern(object, user)).toBe(true);
    marks.answered(reply(0), 11n);
    expect(marks.concern(object, user)).toBe(false);
  }
  marks.answered(reply(ObdoFlag.OBD_FL_NO_USRQUOTA | ObdoFlag.OBD_FL_ROOT_SQUASH), 12n);
  expect(marks.concern(object, root)).toBe(true);
});

it('writes for those synchronously, as a kernel client does (guide 12 §5.2)', () => {
  const bytes = new Uint8Array(4096);
  const flagsOf = (synchronous: boolean): number =>
    writeRequest({
      object: objectOf(alice),
      part: {
        offset: 0,
        length: 4096,
        segments: [{ memory: { bytes, release: () => {} }, offset: 0, length: 4096 }],
      },
      lockHandle: 1n,
      owner: user,
      time: 0n,
      synchronous,
      granted: ObdConnectData.decode(ObdConnectData.encode({})),
      announced: { o_blocks: 0n, o_grant: 0n, o_mode: 0 },
      grantUsed: 0,
      shortIo: false,
      resend: false,
    }).niobuf_remote![0]!.rnb_flags!;
  expect(flagsOf(true)).toBe(BrwFlag.OBD_BRW_SYNC);
  expect(flagsOf(false)).toBe(BrwFlag.OBD_BRW_ASYNC);
});
