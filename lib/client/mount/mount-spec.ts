/** What to mount, as mount.lustre writes it: `NID[,NID][:NID]:/fsname[/sub/dir]` (guide 05 §1). */
import { type Nid, parseNid } from '../../lnet/nid.ts';
import { LustreError } from '../../runtime/errors.ts';

export interface MountSpec {
  /** NIDs of MGS nodes, tried in turn; `,` separates those of one node, `:` nodes. */
  readonly nids: readonly Nid[];
  readonly fsname: string;
  /** The directory to mount as root, `sub/dir`; undefined: the whole file system. */
  readonly directory: string | undefined;
}

const FSNAME_MAX = 8;

/** Throws EINVAL that says which part is wrong and how to write it. */
export function parseMountSpec(text: string): MountSpec {
  const slash = text.indexOf(':/');
  if (slash <= 0) {
    throw invalid(text, slash === 0 ? 'has no NID' : "has no ':/'");
  }
  const nids = text
    .slice(0, slash)
    .split(/[,:]/)
    .map((nid) => {
      if (nid === '') throw invalid(text, 'has an empty NID');
      return parseNid(nid);
    });
  const [fsname = '', ...directories] = text
    .slice(slash + 2)
    .split('/')
    .filter((part) => part !== '');
  if (fsname === '') throw invalid(text, 'has no file system name');
  if (fsname.length > FSNAME_MAX || !/^[A-Za-z0-9_-]+$/.test(fsname)) {
    throw invalid(
      text,
      `names the file system '${fsname}': at most ${FSNAME_MAX} letters, digits, '-' and '_'`,
    );
  }
  if (directories.some((part) => part === '..' || part.includes('\0')))
    throw invalid(text, 'has a directory that cannot be mounted');
  return { nids, fsname, directory: directories.length === 0 ? undefined : directories.join('/') };
}

/** The canonical text of a specification. */
export function formatMountSpec(spec: MountSpec): string {
  const directory = spec.directory === undefined ? '' : `/${spec.directory}`;
  return `${spec.nids.join(':')}:/${spec.fsname}${directory}`;
}

function invalid(text: string, how: string): LustreError {
  return new LustreError(
    'EINVAL',
    `the mount specification '${text}' ${how}`,
    { syscall: 'mount', hint: "Write NID[,NID][:NID]:/fsname[/directory], for example '10.0.0.1@tcp:/lab'" },
    -22,
  );
}
