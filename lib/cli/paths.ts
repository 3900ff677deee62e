/**
 * Where a command works: `NID[,NID][:NID]:/fsname/path` as mount.lustre takes it, or `:/path` with LUSTRE_MOUNT
 * set to `NID:/fsname[/dir]`; anything else is a local path.
 */
import { LustreError } from '../runtime/errors.ts';

export interface LustrePath {
  /** What `mount` takes: `NID[,NID][:NID]:/fsname`. */
  readonly spec: string;
  /** Absolute, inside the file system. */
  readonly path: string;
}

const remote = /^([^/]*@[^/]*|[\d.,:]+):\/([^/]+)(\/.*)?$/;

/** A Lustre path, or undefined for a local one. Throws ERR_LUSTRE_USAGE for `:/path` without LUSTRE_MOUNT. */
export function parseLustrePath(
  text: string,
  mountVariable = process.env.LUSTRE_MOUNT,
): LustrePath | undefined {
  if (text.startsWith(':/')) {
    if (mountVariable === undefined || mountVariable === '') {
      throw usage(`'${text}' needs LUSTRE_MOUNT`, "Set it, for example LUSTRE_MOUNT='10.0.0.1@tcp:/lab'");
    }
    const base = parseLustrePath(mountVariable, '');
    if (base === undefined) throw usage(`LUSTRE_MOUNT='${mountVariable}' is not NID:/fsname`);
    return { spec: base.spec, path: joinPaths(base.path, text.slice(1)) };
  }
  const match = remote.exec(text);
  if (match === null) return undefined;
  return { spec: `${match[1]}:/${match[2]}`, path: joinPaths('/', match[3] ?? '/') };
}

/** A path that must be on Lustre. */
export function requireLustrePath(text: string): LustrePath {
  const parsed = parseLustrePath(text);
  if (parsed !== undefined) return parsed;
  throw usage(
    `'${text}' is not a Lustre path`,
    "Write NID:/fsname/path, for example '10.0.0.1@tcp:/lab/data', or ':/data' with LUSTRE_MOUNT set",
  );
}

/** Joins and drops doubled and trailing slashes; `.` and `..` are left to the file system. */
export function joinPaths(base: string, rest: string): string {
  const joined = `${base}/${rest}`.replace(/\/{2,}/g, '/');
  return joined.length > 1 && joined.endsWith('/') ? joined.slice(0, -1) : joined;
}

/** The last component, as basename(1) gives it. */
export function baseName(path: string): string {
  return joinPaths('', path).split('/').pop() ?? '';
}

/** Wrong use of the command: exit code 2. */
export function usage(message: string, hint?: string): LustreError {
  return new LustreError('ERR_LUSTRE_USAGE', message, { hint }, -22);
}

/** Splits `source... destination`, which commander cannot: there only the last argument may be a list. */
export function splitDestination(paths: readonly string[]): { sources: readonly string[]; to: string } {
  const to = paths.at(-1);
  if (to === undefined || paths.length < 2) throw usage('there is no destination');
  return { sources: paths.slice(0, -1), to };
}
