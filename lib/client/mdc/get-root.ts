/** MDS_GET_ROOT (guide 09 §2): the root of the file system, or of the directory in it that is mounted. */
import { type Fid, formatFid, isSaneFid } from '../../fid/fid.ts';
import { LustreError, ProtocolError } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_GET_ROOT } from '../../wire/formats.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

export function getRootRequest(
  directory: string | undefined,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_GET_ROOT> {
  return {
    mdt_body: { ...bodyCredentials(who), mbo_suppgid: NO_GROUP },
    // Kernel servers pass over the first byte, whatever it is: it has to be the slash.
    ...(directory !== undefined && { name: `/${directory}` }),
  };
}

/** Rejects with ENOENT, ENOTDIR ... for a sub-directory that cannot be mounted, EOPNOTSUPP when the MDT offers none. */
export async function getRoot(
  mdc: MetadataTarget,
  directory: string | undefined,
  who: Credentials,
  options: RequestOptions = {},
): Promise<Fid> {
  if (directory !== undefined && (mdc.granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_SUBTREE) === 0n) {
    throw new LustreError(
      'EOPNOTSUPP',
      `${mdc.name} does not offer mounts of a sub-directory`,
      { syscall: 'mount', path: directory, target: mdc.name, hint: 'Mount the whole file system' },
      -95,
    );
  }
  const reply = await mdc.caller.call(RQF_MDS_GET_ROOT, getRootRequest(directory, who), options);
  const { mbo_fid1: root } = required(reply.values, 'mdt_body');
  if (!isSaneFid(root)) {
    throw new ProtocolError('EPROTO', `${mdc.name} names ${formatFid(root)} as the root`, {
      target: mdc.name,
    });
  }
  return root;
}
