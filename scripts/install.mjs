/**
 * What `npm install node-lustre` runs: nothing when a native module that this Node can load is there, otherwise its
 * build. A machine that cannot build it still gets the package (decoding captures needs no native code); opening a
 * network there fails with the same advice.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

function loads() {
  try {
    require(join(root, 'build/Release/lustre.node'));
    return true;
  } catch {
    return false;
  }
}

/** Where the headers are depends on how npm has laid the packages out. */
function build() {
  const headers = [
    `-DNODE_API_HEADERS=${join(dirname(require.resolve('node-api-headers')), 'include')}`,
    `-DNODE_ADDON_API=${dirname(require.resolve('node-addon-api'))}`,
  ];
  const options = { cwd: root, encoding: 'utf8' };
  const configure = spawnSync('cmake', ['-S', '.', '-B', 'build', ...headers], options);
  return configure.status === 0 ? spawnSync('cmake', ['--build', 'build', '--parallel'], options) : configure;
}

// A clone of the repository builds with `npm start` and `npm test`, which install the compiler too.
if (!existsSync(join(root, '.git')) && !loads()) {
  const { status, stdout, stderr } = build();
  if (status !== 0) {
    process.stderr.write(`${stdout ?? ''}${stderr ?? ''}
node-lustre: the native module was not built. On Debian or Ubuntu:
  apt-get install g++ cmake make pkg-config libisal-dev && npm rebuild node-lustre\n`);
  }
}
