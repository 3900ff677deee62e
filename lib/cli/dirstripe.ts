/** `lustre getdirstripe` and `setdirstripe`: which MDTs directories lie on, in the words of `lfs`. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { DirectoryStriping } from '../index.ts';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export interface DirectoryWishOptions {
  readonly mdtIndex?: number;
  readonly mdtCount?: number;
  readonly mdtHash?: NonNullable<DirectoryStriping['hash']>;
}

export const mdtIndexOption = (): Option =>
  new Option('-i, --mdt-index <n>', 'index of the MDT; -1 for any').argParser(wholeNumber);
export const mdtCountOption = (): Option =>
  new Option('-c, --mdt-count <n>', 'MDTs to spread the names over; -1 is all').argParser(wholeNumber);
export const mdtHashOption = (): Option =>
  new Option('-H, --mdt-hash <hash>', 'how names are spread').choices([
    'all_char',
    'fnv_1a_64',
    'crush',
    'crush2',
  ]);

export function directoryWish({ mdtIndex, mdtCount, mdtHash }: DirectoryWishOptions): DirectoryStriping {
  return {
    ...(mdtIndex !== undefined && { mdtIndex }),
    ...(mdtCount !== undefined && { mdtCount }),
    ...(mdtHash !== undefined && { hash: mdtHash }),
  };
}

export function getdirstripeCommand(): Command {
  return addConnectionOptions(new Command('getdirstripe'))
    .description('the MDTs that directories lie on, and where new ones in them go')
    .argument('<path...>', 'NID:/fsname/path')
    .addHelpText('after', '\nExample:\n  lustre getdirstripe 10.0.0.1@tcp:/lab/data')
    .action(async (texts: string[], options: ConnectionOptions) => {
      const paths = texts.map(requireLustrePath);
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const places = [];
        for (const { path } of paths) places.push({ path, ...(await filesystem.getDirectoryLayout(path)) });
        return places;
      });
      if (options.json === true) {
        printJson(found);
        return;
      }
      for (const place of found) {
        const hash = place.hash === undefined ? 'none' : [place.hash, ...place.flags].join(',');
        process.stdout.write(
          `${place.path}\nlmv_fid: ${place.fid} lmv_stripe_count: ${place.shards.length} ` +
            `lmv_stripe_offset: ${place.mdtIndex} lmv_hash_type: ${hash}\n`,
        );
        if (place.shards.length > 0) process.stdout.write('mdtidx\t\t FID[seq:oid:ver]\n');
        for (const shard of place.shards) process.stdout.write(`     ${shard.mdtIndex}\t\t ${shard.fid}\n`);
        if (place.default !== undefined) {
          const { mdtCount = 0, mdtIndex = -1, hash: kind = 'none', maxInherit = 0 } = place.default;
          process.stdout.write(
            `default: lmv_stripe_count: ${mdtCount} lmv_stripe_offset: ${mdtIndex} ` +
              `lmv_hash_type: ${kind} lmv_max_inherit: ${maxInherit}\n`,
          );
        }
      }
    });
}

export function setdirstripeCommand(): Command {
  return addConnectionOptions(new Command('setdirstripe'))
    .description('make a directory on given MDTs, or with -D say where new ones in a directory go')
    .argument('<path...>', 'NID:/fsname/path')
    .addOption(mdtIndexOption())
    .addOption(mdtCountOption())
    .addOption(mdtHashOption())
    .option('-D, --default', 'for directories that will be made in it')
    .addOption(
      new Option('-X, --max-inherit <n>', 'with -D: levels below that inherit it').argParser(wholeNumber),
    )
    .addHelpText('after', '\nExample:\n  lustre setdirstripe -c 4 10.0.0.1@tcp:/lab/wide')
    .action(async (texts: string[], options: SetOptions) => {
      const paths = texts.map(requireLustrePath);
      const wish = directoryWish(options);
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          // As lfs: a default of several MDTs goes three levels deep when nothing is said.
          const maxInherit = options.maxInherit ?? 3;
          if (options.default === true) await filesystem.setDirectoryLayout(path, { ...wish, maxInherit });
          else await filesystem.mkdir(path, wish);
        }
      });
      if (options.json === true) printJson({ paths: paths.map((p) => p.path), layout: wish });
    });
}

interface SetOptions extends ConnectionOptions, DirectoryWishOptions {
  readonly default?: boolean;
  readonly maxInherit?: number;
}

function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < -1) throw new InvalidArgumentError('a whole number from -1');
  return n;
}
