/** `lustre path2fid` and `fid2path`, as `lfs` has them. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function path2fidCommand(): Command {
  return addConnectionOptions(new Command('path2fid'))
    .description('the FIDs of files')
    .argument('<path...>', 'NID:/fsname/path')
    .addHelpText('after', '\nExample:\n  lustre path2fid 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: ConnectionOptions) => {
      const paths = texts.map(requireLustrePath);
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const fids = [];
        for (const { path } of paths) fids.push({ path, fid: await filesystem.fid(path) });
        return fids;
      });
      if (options.json === true) printJson(found);
      else {
        for (const { path, fid } of found)
          process.stdout.write(found.length === 1 ? `${fid}\n` : `${path}: ${fid}\n`);
      }
    });
}

export function fid2pathCommand(): Command {
  return addConnectionOptions(new Command('fid2path'))
    .description('a path of each FID, below what the file system is mounted as')
    .argument('<filesystem>', 'NID:/fsname')
    .argument('<fid...>', '[SEQ:OID:VER], with or without brackets')
    .addHelpText('after', "\nExample:\n  lustre fid2path 10.0.0.1@tcp:/lab '[0x200000401:0x2:0x0]'")
    .action(async (filesystemText: string, fids: string[], options: ConnectionOptions) => {
      const { spec } = requireLustrePath(filesystemText);
      const found = await withMount(spec, options, async (filesystem) => {
        const paths = [];
        for (const text of fids) {
          const fid = text.startsWith('[') ? text : `[${text}]`;
          paths.push({ fid, path: await filesystem.pathOf(fid) });
        }
        return paths;
      });
      if (options.json === true) printJson(found);
      else for (const { path } of found) process.stdout.write(`${path}\n`);
    });
}
