/** Mount options in the words of mount.lustre (guide 05 §1), as far as a client in a process has a use for them. */
import { Errno, LustreError } from '../../runtime/errors.ts';

export interface MountWishes {
  /** Targets that are not to be used, `lab-OST0001`: what they hold cannot be reached. */
  readonly exclude: ReadonlySet<string>;
  /** Nothing may be changed. */
  readonly readOnly: boolean;
  /** How often a mount that failed is tried again. */
  readonly retry: number;
}

/** What this client always does. */
const ALWAYS = ['flock', 'user_xattr', 'acl', 'defaults', 'lazystatfs', 'checksum', 'noatime', 'relatime'];
/** Options of a kernel's client that this one does not have, with what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  localflock: 'Locks of files count between all clients: there is no local kind',
  noflock: 'Simply take no locks',
  nouser_xattr: 'Simply use none',
  nochecksum: 'Mount with { checksums: false }',
  skpath: 'The shared-secret flavour is not supported yet',
  mgssec: 'Security flavours of the management server are not supported yet',
  context: 'SELinux labels are a matter of the kernel',
  fscontext: 'SELinux labels are a matter of the kernel',
  defcontext: 'SELinux labels are a matter of the kernel',
  rootcontext: 'SELinux labels are a matter of the kernel',
};

/** Reads `flock,exclude=lab-OST0001:lab-OST0002`. Throws EINVAL that names an option which is unknown or has no effect here. */
export function parseMountOptions(text: string): MountWishes {
  const exclude = new Set<string>();
  let readOnly = false;
  let retry = 0;
  for (const option of text.split(',').filter((part) => part !== '')) {
    const [name = '', value] = option.split('=', 2);
    if (name === 'exclude') {
      const names = (value ?? '').split(':').filter((target) => target !== '');
      const wrong =
        names.length === 0 ? '' : names.find((target) => !/^[\w-]{1,8}-(OST|MDT)[0-9a-f]{4}$/.test(target));
      if (wrong !== undefined)
        throw invalid(
          option,
          `names no target${wrong === '' ? '' : `: '${wrong}'`}`,
          'Write exclude=lab-OST0001:lab-OST0002',
        );
      for (const target of names) exclude.add(target);
    } else if (name === 'ro' || name === 'rw') readOnly = name === 'ro';
    else if (name === 'retry') {
      if (value === undefined || !/^\d{1,4}$/.test(value))
        throw invalid(option, 'says no number of tries', 'Write retry=5');
      retry = Number(value);
    } else if (REFUSED[name] !== undefined) throw invalid(option, 'is not for this client', REFUSED[name]);
    else if (!ALWAYS.includes(name))
      throw invalid(option, 'is unknown', `Known are ro, rw, retry=N, exclude=..., ${ALWAYS.join(', ')}`);
  }
  return { exclude, readOnly, retry };
}

const invalid = (option: string, how: string, hint: string): LustreError =>
  new LustreError('EINVAL', `the mount option '${option}' ${how}`, { syscall: 'mount', hint }, -Errno.EINVAL);
