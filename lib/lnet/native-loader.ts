/**
 * Finds and loads the native module. Its faces (native-addon.ts for LNet, native-storage.ts for files) say what is
 * in it; this file only knows where it stands.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { LustreError } from '../runtime/errors.ts';

/** Beside the sources (lib/lnet) or beside what they compile to (dist/lib/lnet). */
const places = ['../../build/Release/lustre.node', '../../../build/Release/lustre.node'];

/**
 * The native module's exports. LUSTRE_NATIVE names another file, such as a debug or sanitizer build. Throws
 * ERR_LUSTRE_NATIVE when there is none that this Node can load.
 */
export function loadNative(): Readonly<Record<string, unknown>> {
  const named = process.env.LUSTRE_NATIVE;
  const files =
    named === undefined ? places.map((place) => fileURLToPath(new URL(place, import.meta.url))) : [named];
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const file of files) {
    try {
      const loaded: unknown = require(file);
      if (typeof loaded === 'object' && loaded !== null) return loaded as Record<string, unknown>;
      failures.push(`${file}: exports nothing`);
    } catch (error) {
      failures.push(`${file}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
    }
  }
  throw new LustreError('ERR_LUSTRE_NATIVE', `The native module cannot be loaded: ${failures.join('; ')}`, {
    hint: 'Build it: `npm start` in a clone, `npm rebuild node-lustre` where it is a dependency',
  });
}

/** A function of the native module by which something is only faster; `otherwise` where there is none. */
export function nativeOr<F extends (...args: never[]) => unknown>(name: string, otherwise: F): F {
  try {
    const found = loadNative()[name];
    if (typeof found === 'function') return found as F;
  } catch {
    // What needs the module says so.
  }
  return otherwise;
}
