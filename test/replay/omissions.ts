/** Which requests of a 2.17 kernel client ours does without on purpose, and why: what is not in this table fails the test, and so does a row that nothing needs. */

/** Requests that only the kernel client sends. */
export interface NotAsked {
  /** Which: by what they are for. */
  readonly purpose?: RegExp;
  /** Which: those of a capture, from one frame to another. */
  readonly capture?: string;
  readonly frames?: readonly [number, number];
  readonly why: string;
}

export const isNotAsked = (
  { purpose, capture, frames }: NotAsked,
  recording: string,
  frame: number,
  text: string,
): boolean =>
  (purpose === undefined || purpose.test(text)) &&
  (capture === undefined || recording.startsWith(capture)) &&
  (frames === undefined || (frame >= frames[0] && frame <= frames[1]));

export const NOT_ASKED: readonly NotAsked[] = [
  {
    capture: '04',
    frames: [2461, 2562],
    why: '`lfs mirror resync` and `verify` are not replayed: what they made of the file is read',
  },
  { capture: '04', frames: [3689, 3835], why: '`lfs swap_layouts`: what was swapped is read' },
  { capture: '04', frames: [4201, 4319], why: '`lfs migrate` is not replayed: what was moved is read' },
  {
    capture: '04',
    purpose: /LDLM_CONVERT/,
    frames: [135, 1189],
    why: 'which locks are there to be converted depends on what was cached',
  },
  {
    capture: '04',
    purpose: /LDLM_ENQUEUE layout/,
    frames: [2616, 2616],
    why: '`lfs setstripe` took the layout away that its open had brought',
  },
  {
    capture: '08',
    purpose: /LDLM_ENQUEUE layout/,
    frames: [142, 142],
    why: '`lfs setstripe` made a file for what is not replayed: the crash',
  },
  {
    capture: '06',
    purpose: /LDLM_ENQUEUE layout/,
    frames: [441, 441],
    why: '`lfs setstripe` took the layout away that its open had brought',
  },
  {
    capture: '04',
    purpose: /MDS_READPAGE/,
    frames: [4139, 4360],
    why: 'the shell reads directories for `getfattr` and `rm -rf`; ours names what is in them',
  },
  {
    purpose: /QUOTACTL|\[0x24000040[34]:|0x2[8c]0000400:0x1b|SEQ_QUERY super| proj /,
    why: 'capture 05: of its quotas the user’s is replayed; the project’s, which needs a tree on MDT1, is not',
  },
  {
    purpose: /^MGS {2}(LDLM_ENQUEUE {2}config (lab|params)|LLOG_ORIGIN_HANDLE)/,
    why: 'capture 05: parameters are changed on the MGS in the middle of a step; callbacks for its locks are not replayed',
  },
  {
    purpose: /LDLM_ENQUEUE layout {2}\[0x200000404:/,
    why: '`lfs setstripe` took the layout away that its open had brought; ours has the one that came with the next open',
  },
  {
    purpose: /MDS_REINT unlink .* (fifo|null|sym) \(/,
    why: 'a kernel learned the kinds of what it listed in a batch; ours would look before it removes, and no answer to that is recorded',
  },
  {
    purpose: /MDS_STATFS/,
    why: 'a kernel looks at the MDTs’ space when it mounts, for the placement of directories',
  },
  {
    purpose: /MDS_GETATTR {2}\[/,
    why: 'attributes are asked when somebody wants them, with a lock; a directory’s layout comes with them, which `lfs getdirstripe` asks by itself; a symlink’s target is remembered',
  },
  {
    purpose: /FLD_QUERY/,
    why: 'which MDT gave a FID’s name is known; ours asks when an object is elsewhere',
  },
  {
    purpose: /LDLM_ENQUEUE (getattr|lookup|open)/,
    why: 'a path’s directories are passed through without their attributes',
  },
  {
    purpose: /LDLM_ENQUEUE {2}\[.*PR 0-end/,
    why: 'a kernel asks for the size before it writes; ours only where the size matters',
  },
  {
    purpose: /OST_SYNC/,
    why: 'what was written when the file was closed is on its way to the disk: `sync` was not called here',
  },
  {
    purpose: /LDLM_ENQUEUE getxattr/,
    why: 'a kernel asks for security.capability before writing, ours for attributes that programs want',
  },
  {
    purpose: /OST_(READ|WRITE)/,
    why: 'a page that is written in part is read first, and leaves the cache as one: ours writes the bytes through',
  },
  {
    purpose: /LDLM_ENQUEUE open|MDS_CLOSE/,
    why: '`lfs` and the shell open files and directories that ours has no need to open',
  },
  {
    purpose: /MDS_GETATTR_NAME/,
    why: 'a layout that a lock of ours protects is known; `lfs getstripe` always asks',
  },
  {
    purpose: /MDS_READPAGE {2}\[(0x200001b70|0x2400013a2):/,
    why: 'the shell reads the directory for `n*`; ours has it from before',
  },
  {
    purpose: /MDS_REINT rename .* (n1 renamed1|n2 n2) /,
    why: 'names that the kernel had looked up in a batch',
  },
  {
    purpose: /MDS_BATCH/,
    why: 'a kernel reads ahead the attributes of a directory’s entries',
  },
  {
    purpose: /\[0x240000402:0x1:0x0\]| d50$| d50 /,
    why: 'the fifty files of d50 are not removed again here: the kernel looked them up in batches',
  },
  {
    purpose: /OST_GETATTR|OST_SETATTR/,
    why: 'sizes and times go with locks',
  },
];
