#!/usr/bin/env node
/** The `lustre` command: one file per subcommand, exit codes 0, 1 (failed), 2 (wrong usage), 3 (no connection). */
import { createRequire } from 'node:module';
import { Command, CommanderError } from 'commander';
import { catCommand } from './cat.ts';
import { changelogClearCommand, changelogCommand } from './changelog.ts';
import { cpCommand } from './cp.ts';
import { dataVersionCommand } from './data-version.ts';
import { decodeCommand } from './decode.ts';
import { demoCommand } from './demo.ts';
import { dfCommand } from './df.ts';
import { getdirstripeCommand, setdirstripeCommand } from './dirstripe.ts';
import { doctorCommand } from './doctor.ts';
import { duCommand } from './du.ts';
import { fallocateCommand } from './fallocate.ts';
import { fid2pathCommand, path2fidCommand } from './fids.ts';
import { filefragCommand } from './filefrag.ts';
import { findCommand, longFindOptions } from './find.ts';
import { getstripeCommand } from './getstripe.ts';
import {
  hsmActionCommand,
  hsmArchiveCommand,
  hsmCancelCommand,
  hsmClearCommand,
  hsmReleaseCommand,
  hsmRemoveCommand,
  hsmRestoreCommand,
  hsmSetCommand,
  hsmStateCommand,
} from './hsm.ts';
import { ladviseCommand } from './ladvise.ts';
import { lnCommand } from './ln.ts';
import { locksCommand } from './locks.ts';
import { lsCommand } from './ls.ts';
import { migrateCommand } from './migrate.ts';
import { mirrorCommand } from './mirror.ts';
import { mkdirCommand } from './mkdir.ts';
import { mvCommand } from './mv.ts';
import { ExitCode, exitCodeOf, printError } from './output.ts';
import { pingCommand } from './ping.ts';
import { projectCommand } from './project.ts';
import { quotaCommand, setquotaCommand } from './quota.ts';
import { rmCommand } from './rm.ts';
import { serveCommand } from './serve.ts';
import { setstripeCommand } from './setstripe.ts';
import { statCommand } from './stat.ts';

// By the package's own name: the way to it is another one from lib/ than from dist/.
const { version } = createRequire(import.meta.url)('node-lustre/package.json') as { version: string };

const program = new Command('lustre')
  .version(version)
  .description('Lustre in userspace: start servers, work with files, read captures')
  .showHelpAfterError('(lustre --help, or lustre COMMAND --help, says more)')
  .exitOverride()
  .addHelpText(
    'after',
    `
Paths are NID[,NID][:NID]:/fsname/path, or :/path with LUSTRE_MOUNT=NID:/fsname.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no connection.

Examples:
  lustre demo                                   start a cluster, copy a tree in and out, verify it
  lustre serve --dir /srv/lab --fsname lab --nid 127.0.0.1@tcp --port 9988 --osts 2
  LUSTRE_PORT=9988 lustre ls -l 127.0.0.1@tcp:/lab/
  lustre decode capture.pcap`,
  );

for (const command of [
  demoCommand,
  serveCommand,
  lsCommand,
  statCommand,
  catCommand,
  cpCommand,
  mkdirCommand,
  mvCommand,
  rmCommand,
  lnCommand,
  dfCommand,
  duCommand,
  findCommand,
  getstripeCommand,
  setstripeCommand,
  mirrorCommand,
  migrateCommand,
  getdirstripeCommand,
  setdirstripeCommand,
  path2fidCommand,
  fid2pathCommand,
  ladviseCommand,
  dataVersionCommand,
  fallocateCommand,
  filefragCommand,
  changelogCommand,
  changelogClearCommand,
  hsmStateCommand,
  hsmActionCommand,
  hsmSetCommand,
  hsmClearCommand,
  hsmArchiveCommand,
  hsmRestoreCommand,
  hsmReleaseCommand,
  hsmRemoveCommand,
  hsmCancelCommand,
  projectCommand,
  quotaCommand,
  setquotaCommand,
  pingCommand,
  doctorCommand,
  locksCommand,
  decodeCommand,
]) {
  program.addCommand(command().exitOverride().showHelpAfterError());
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitCode.OK);
  throw error;
});

try {
  const { argv } = process;
  await program.parseAsync(argv[2] === 'find' ? longFindOptions(argv) : argv);
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  } else {
    printError(error, process.argv.includes('--json'));
    process.exitCode = exitCodeOf(error);
  }
}
