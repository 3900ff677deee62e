/** Space and files: of each target, and of the whole (guide 11 §10). */

import type { ObdStatfs } from '../../wire/mds-structs.ts';
import { StatfsState } from '../../wire/ost-constants.ts';
import type { SpaceUsage, TargetSpace } from '../engine.ts';
import { statfs as mdtStatfs } from '../mdc/statfs.ts';
import { statfs as ostStatfs } from '../osc/statfs.ts';
import type { RequestOptions } from '../request-options.ts';
import { activeMdts, type Session } from '../session.ts';

/** LL_SUPER_MAGIC, what statfs says of a Lustre client. */
const LUSTRE_MAGIC = 0x0bd00bd0;

function usageOf(s: ObdStatfs): SpaceUsage {
  return {
    type: LUSTRE_MAGIC,
    bsize: s.os_bsize,
    blocks: Number(s.os_blocks),
    bfree: Number(s.os_bfree),
    bavail: Number(s.os_bavail),
    files: Number(s.os_files),
    ffree: Number(s.os_ffree),
  };
}

/** One line for each target; those that do not answer have no usage. */
export async function targetSpaces(session: Session, options: RequestOptions): Promise<TargetSpace[]> {
  const one = async (
    kind: 'mdt' | 'ost',
    target: { readonly name: string; readonly index: number },
    ask: () => Promise<ObdStatfs>,
  ): Promise<TargetSpace> => {
    const usage = await ask().then(usageOf, () => undefined);
    return { name: target.name, kind, index: target.index, usage };
  };
  return Promise.all([
    ...activeMdts(session).map((mdt) => one('mdt', mdt, () => mdtStatfs(mdt, false, options))),
    ...[...session.osts.values()]
      .filter(({ active }) => active)
      .map((ost) => one('ost', ost, () => ostStatfs(ost, options))),
  ]);
}

/** Space of the OSTs, files of the MDTs; summed by the first MDT where it offers that. */
export async function totalSpace(session: Session, options: RequestOptions): Promise<SpaceUsage> {
  const first = [...session.mdts.values()][0]!;
  const answer = await mdtStatfs(first, true, options);
  if ((answer.os_state & StatfsState.OS_STATFS_SUM) !== 0) return usageOf(answer);
  return sumSpaces(await targetSpaces(session, options));
}

export function sumSpaces(targets: readonly TargetSpace[]): SpaceUsage {
  const answered = (kind: string): SpaceUsage[] =>
    targets.flatMap((t) => (t.kind === kind && t.usage !== undefined ? [t.usage] : []));
  const mdts = answered('mdt');
  const osts = answered('ost');
  const data = osts.length > 0 ? osts : mdts;
  const bsize = Math.max(1, ...data.map((u) => u.bsize));
  const blocks = (pick: (u: SpaceUsage) => number): number =>
    data.reduce((sum, u) => sum + Math.floor((pick(u) * u.bsize) / bsize), 0);
  const total = (list: SpaceUsage[], pick: (u: SpaceUsage) => number): number =>
    list.reduce((sum, u) => sum + pick(u), 0);
  let files = total(mdts, (u) => u.files);
  let ffree = total(mdts, (u) => u.ffree);
  const objectsFree = total(osts, (u) => u.ffree);
  // A file needs an object: no more files than objects that are free.
  if (osts.length > 0 && objectsFree < ffree) {
    files = files - ffree + objectsFree;
    ffree = objectsFree;
  }
  return {
    type: LUSTRE_MAGIC,
    bsize,
    blocks: blocks((u) => u.blocks),
    bfree: blocks((u) => u.bfree),
    bavail: blocks((u) => u.bavail),
    files,
    ffree,
  };
}
