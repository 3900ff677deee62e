/** `lustre stat`: attributes, FID and layout of a file. */
import { Command } from 'commander';
import { modeText } from './ls.ts';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function statCommand(): Command {
  return addConnectionOptions(new Command('stat'))
    .description('attributes and FID of files')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-L, --dereference', 'follow symbolic links')
    .addHelpText('after', '\nExample:\n  lustre stat 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: ConnectionOptions & { dereference?: boolean }) => {
      const paths = texts.map(requireLustrePath);
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const rows = [];
        for (const { path } of paths) {
          const s = options.dereference === true ? await filesystem.stat(path) : await filesystem.lstat(path);
          rows.push({
            path,
            fid: await filesystem.fid(path),
            ino: s.ino,
            mode: s.mode,
            nlink: s.nlink,
            uid: s.uid,
            gid: s.gid,
            rdev: s.rdev,
            size: s.size,
            blocks: s.blocks,
            blksize: s.blksize,
            atime: s.atime,
            mtime: s.mtime,
            ctime: s.ctime,
          });
        }
        return rows;
      });
      if (options.json === true) {
        printJson(found);
        return;
      }
      for (const s of found) {
        process.stdout.write(
          `  File: ${s.path}\n` +
            `   FID: ${s.fid}  Inode: ${s.ino}\n` +
            `  Size: ${s.size}  Blocks: ${s.blocks}  IO Block: ${s.blksize}\n` +
            `  Mode: ${(s.mode & 0o7777).toString(8).padStart(4, '0')} ${modeText(s.mode)}  Uid: ${s.uid}  Gid: ${s.gid}  Links: ${s.nlink}\n` +
            `Access: ${s.atime.toISOString()}\nModify: ${s.mtime.toISOString()}\nChange: ${s.ctime.toISOString()}\n`,
        );
      }
    });
}
