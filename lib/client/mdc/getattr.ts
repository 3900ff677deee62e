/** MDS_GETATTR and MDS_GETATTR_NAME (guide 09 §3): attributes, layouts and symlink targets, without a lock. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_GETATTR } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { decodeText } from '../../wire/text.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import { MDS_READPAGE_PORTAL, type MetadataTarget, type RequestOptions } from './target.ts';

/** All attributes of one object, as the mount asks them of the root. */
export const ATTRIBUTES =
  MdValid.OBD_MD_FLGETATTR | MdValid.OBD_MD_FLBLOCKS | MdValid.OBD_MD_FLMODEASIZE | MdValid.OBD_MD_FLACL;

export interface GetattrResult {
  readonly body: MdtBody;
  /** Layout, default layout or symlink target; empty where there is none. */
  readonly ea: Uint8Array;
  readonly acl: Uint8Array;
}

export function getattrRequest(
  fid: Fid,
  valid: bigint,
  easize: number,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_GETATTR> {
  return {
    mdt_body: {
      ...bodyCredentials(who),
      mbo_fid1: fid,
      mbo_valid: valid,
      mbo_eadatasize: easize,
      mbo_suppgid: NO_GROUP,
    },
  };
}

/** Attributes by FID. `valid` says what is wanted, `easize` how long an EA may be. Rejects with the server's error. */
export async function getattr(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  options: RequestOptions & { valid?: bigint; easize?: number } = {},
): Promise<GetattrResult> {
  const { valid = ATTRIBUTES, easize = 0, ...rest } = options;
  const reply = await mdc.caller.call(RQF_MDS_GETATTR, getattrRequest(fid, valid, easize, who), {
    requestPortal: MDS_READPAGE_PORTAL,
    replyRoom: easize + 512,
    ...rest,
  });
  const body = required(reply.values, 'mdt_body');
  const ea = reply.values.mdt_md ?? new Uint8Array(0);
  if (body.mbo_eadatasize > ea.length) {
    throw new ProtocolError(
      'EPROTO',
      `a getattr reply claims an EA of ${body.mbo_eadatasize} bytes and has ${ea.length}`,
      {
        fid: formatFid(fid),
        target: mdc.name,
      },
    );
  }
  return { body, ea: ea.subarray(0, body.mbo_eadatasize), acl: reply.values.acl ?? new Uint8Array(0) };
}

/** The target of a symlink of `size` bytes (guide 10 §9). Rejects with EPROTO when the answer is not that long. */
export async function readlink(
  mdc: MetadataTarget,
  fid: Fid,
  size: number,
  who: Credentials,
  options: RequestOptions = {},
): Promise<string> {
  const valid = MdValid.OBD_MD_FLID | MdValid.OBD_MD_LINKNAME;
  const { body, ea } = await getattr(mdc, fid, who, { ...options, valid, easize: size + 1 });
  if ((body.mbo_valid & MdValid.OBD_MD_LINKNAME) === 0n || ea.length === 0 || ea[ea.length - 1] !== 0) {
    throw new ProtocolError('EPROTO', 'a readlink reply has no target', {
      fid: formatFid(fid),
      target: mdc.name,
    });
  }
  return decodeText(ea.subarray(0, ea.length - 1));
}

/** The layout EA of a file, or the default layout of a directory; empty where there is none. As lfs getstripe asks it. */
export async function getLayoutEa(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  options: RequestOptions = {},
): Promise<Uint8Array> {
  const valid = MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLEASIZE | MdValid.OBD_MD_FLDIREA;
  const easize = Math.max(4096, mdc.granted.ocd_max_easize);
  const { body, ea } = await getattr(mdc, fid, who, { ...options, valid, easize });
  return (body.mbo_valid & (MdValid.OBD_MD_FLEASIZE | MdValid.OBD_MD_FLDIREA)) === 0n
    ? new Uint8Array(0)
    : ea;
}
