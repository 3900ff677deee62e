/** Which requests of a 2.17 kernel client ours does without on purpose, and why: what is not in this table fails the test, and so does a row that nothing needs, or not so often. */

/** Requests that only the kernel client sends. */
export interface NotAsked {
  /** Which: by what they are for. */
  readonly purpose?: RegExp;
  /** From one frame to another. */
  readonly frames?: readonly [number, number];
  /** In the step with this in its commands. */
  readonly step?: string;
  /** In which captures, and how many there; the most where one is replayed several times. */
  readonly times: Readonly<Record<string, number>>;
  readonly why: string;
}

/** The number of a capture: `03b` of `03b-checksums`. */
export const numberOf = (recording: string): string => recording.slice(0, recording.indexOf('-'));

/** How often a row may explain something in a recording. */
export const timesOf = ({ times }: NotAsked, recording: string): number => times[numberOf(recording)] ?? 0;

export const isNotAsked = (
  row: NotAsked,
  recording: string,
  { frame, step, text }: { readonly frame: number; readonly step: string; readonly text: string },
): boolean =>
  timesOf(row, recording) > 0 &&
  (row.purpose === undefined || row.purpose.test(text)) &&
  (row.step === undefined || step.includes(row.step)) &&
  (row.frames === undefined || (frame >= row.frames[0] && frame <= row.frames[1]));

export const NOT_ASKED: readonly NotAsked[] = [
  {
    purpose: /OST_CONNECT/,
    frames: [300, 300],
    times: { '08': 2 },
    why: 'nobody was there to answer yet',
  },
  {
    purpose: /MDS_GET_INFO key fid2path$/,
    times: { '05': 1 },
    why: '`lfs fid2path` asks for each path of a file, ours for one',
  },
  {
    purpose: /^lab-MDT0000 {2}(LDLM_ENQUEUE|MDS_CLOSE|MDS_RMFID)/,
    frames: [462, 487],
    times: { '05': 7 },
    why: '`ls` looks into .lustre/fid, and `lfs rmfid` removes by FID; ours has names for both',
  },
  {
    purpose:
      /^lab-OST000[01] {2}(LDLM_ENQUEUE(\|replay)?|OST_(WRITE|READ|SETATTR)(\|replay)?) {2}\[0x2[8c]0000400:0x4[234]:0x0\]/,
    frames: [188, 680],
    times: { '08': 19 },
    why: 'the files of rep are empty here: the kernel had their bytes in its cache when the servers crashed, and the times of one on their way',
  },
  {
    purpose: /^MGS {2}(MGS_|LDLM_ENQUEUE|LLOG_)/,
    frames: [331, 369],
    times: { '08': 11 },
    why: 'nothing was asked of the MGS here since it was started again',
  },
  {
    purpose: /^(lab-MDT0000 {2}MDS|MGS {2}MGS)_CONNECT/,
    frames: [785, 1073],
    times: { '08': 52 },
    why: 'a kernel tried every 5 s for four minutes to reach the target that was unmounted, and the MGS beside it; here it is back sooner',
  },
  {
    purpose: /^lab-MDT0000 {2}LDLM_ENQUEUE\|replay {2}\[0x200000007:0x1:0x0\] {2}PR bits 0x13$/,
    frames: [1087, 1087],
    times: { '08': 1 },
    why: 'a kernel’s lock of the root, which it was listing; ours had none in use, and gives back what is not',
  },
  {
    purpose: /^MGS {2}(LDLM_ENQUEUE {2}config lab 2 {2}CR|MGS_CONFIG_READ {2}lab-cliir)$/,
    frames: [1092, 1095],
    times: { '08': 2 },
    why: 'the MGS called its lock back to tell of the restart: callbacks for its locks are not replayed',
  },
  {
    purpose: /^lab-OST0001 {2}OST_WRITE {2}\[0x2c0000401:0x82:0x0\]/,
    times: { '08': 1 },
    why: 'the kernel lost what it had written to `ev`, too, which is not made here',
  },
  {
    purpose: /^lab-OST000[01] {2}OST_WRITE {2}\[0x2[8c]0000401:0x4[6e]:0x0\]/,
    frames: [277, 279],
    times: { '08': 2 },
    why: 'the kernel’s were under way when the servers crashed; ours are sent when all is as it was',
  },
  {
    purpose:
      /^lab-(MDT0000 {2}MDS_REINT setattr {2}\[0x200000405:0x5:0x0\]|OST0000 {2}(OST_SETATTR|LDLM_ENQUEUE) {2}\[0x280000401:0x19:0x0\]( {2}PW 0-end)?)$/,
    times: { '04': 4 },
    why: '`lfs mirror resync` cuts the mirror and gives the file its times through the MDT; ours cuts the mirror’s objects and gives them the times',
  },
  {
    purpose: /MDS_SWAP_LAYOUTS|GROUP | EX bits 0x8$/,
    step: 'lfs swap_layouts',
    times: { '04': 11 },
    why: 'ours has no exchange of two files’ layouts, which locks both against all others (group locks): what was swapped is read',
  },
  {
    purpose: /(MDS_REINT setattr|OST_SETATTR) {2}/,
    step: 'lfs swap_layouts',
    times: { '04': 11 },
    why: 'as above: both files get their times again',
  },
  {
    purpose: /LDLM_ENQUEUE open {2}| CR bits 0x8$|MDS_CLOSE {2}|0x1[678]:0x0\] {2}PR /,
    step: 'lfs swap_layouts',
    times: { '04': 11 },
    why: 'as above: both are opened, their sizes and new layouts asked for, and closed',
  },
  {
    purpose: /MDS_SWAP_LAYOUTS|GROUP |MDS_HSM_STATE_SET|OST_GETATTR|0x1c:0x0\] {2}PR /,
    step: 'lfs migrate',
    times: { '04': 16 },
    why: '`lfs migrate` locks a file against all others while it copies (group locks) and asks for its size under them; ours has a lease (`--non-block`), to which no answer is recorded: what was moved is read',
  },
  {
    purpose: /\[0x200000405:0xb:0x0\]|VOLATILE|OST_(SEEK|READ|WRITE|SYNC|SETATTR)| PW /,
    step: 'lfs migrate',
    times: { '04': 15 },
    why: 'as above: the copy, a file without a name',
  },
  {
    purpose: /\[0x200000405:0xa:0x0\]/,
    step: 'lfs migrate',
    times: { '04': 2 },
    why: 'as above: the file itself, opened and closed',
  },
  {
    purpose:
      /lab-MDT0001 {2}(LDLM_ENQUEUE (getattr|open\|directory)|MDS_(READPAGE|CLOSE|REINT unlink)) {2}(\[0x200000007:0x1:0x0\] )?\[0x240000402:0x1:0x0\]( file\d\d)?( |$)/,
    times: { '02': 107 },
    why: 'the fifty files of d50 are not removed again here: the kernel looked them up in batches',
  },
  {
    purpose: /lab-MDT000[01] {2}(LDLM_ENQUEUE getattr|MDS_REINT unlink) {2}\[0x200000007:0x1:0x0\] d50( |$)/,
    times: { '02': 3 },
    why: 'as above: nor is their directory',
  },
  {
    purpose: /MDS_REINT unlink {2}\[0x200000403:0x1:0x0\] (fifo|null)$/,
    times: { '02': 2 },
    why: 'a kernel learned the kinds of what it listed in a batch; ours would look before it removes, and no answer to that is recorded',
  },
  {
    purpose: /MDS_BATCH$/,
    times: { '02': 9, '03': 8, '03b': 2, '07': 5, '08': 1 },
    why: 'a kernel reads ahead the attributes of a directory’s entries',
  },
  {
    purpose: /lab-MDT0000 {2}LDLM_CONVERT$/,
    times: { '04': 1 },
    why: 'which locks are there to be converted depends on what was cached',
  },
  {
    purpose: /LDLM_ENQUEUE layout {2}\[0x[\da-f]+:0x[\da-f]+:0x0\]/,
    times: { '03': 1, '04': 3, '06': 2, '08': 2 },
    why: '`lfs setstripe` took the layout away that its open had brought; `touch` and `lfs mirror resync` ask for it again; ours has the one that came with the open or the name',
  },
  {
    purpose: /MDS_READPAGE {2}\[0x[\da-f]+:0x[\da-f]+:0x0\]$/,
    times: { '04': 3, '05': 5, '06': 1, '07': 2, '08': 3 },
    why: 'the shell reads directories for `*` and `rm -rf`; ours names what is in them',
  },
  {
    purpose: /MDS_REINT rename {2}.* (n1 renamed1|n2 n2)$/,
    times: { '07': 2 },
    why: 'names that the kernel had looked up in a batch',
  },
  {
    purpose: /^MGS {2}(LDLM_ENQUEUE {2}config (lab|params)|LLOG_ORIGIN_HANDLE)/,
    times: { '05': 13 },
    why: 'parameters are changed on the MGS in the middle of a step; callbacks for its locks are not replayed',
  },
  {
    purpose: /QUOTACTL|\[0x24000040[34]:|0x2[8c]0000400:0x1b|SEQ_QUERY super| proj( |$)/,
    times: { '05': 58 },
    why: 'of the quotas the user’s is replayed; the project’s, which needs a tree on MDT1, is not',
  },
  {
    purpose: /MDS_STATFS( {2}summed)?$/,
    times: { '01': 3, '02': 4, '03': 4, '03b': 3, '04': 4, '05': 3, '06': 7, '07': 3, '08': 3 },
    why: 'a kernel looks at the MDTs’ space when it mounts, for the placement of directories',
  },
  {
    purpose: /MDS_GETATTR {2}\[0x200000007:0x1:0x0\]$/,
    times: { '01': 1, '02': 1, '03': 1, '03b': 1, '04': 1, '05': 2, '06': 2, '07': 1, '08': 1 },
    why: 'a kernel asks for the root’s default layout when it mounts; ours leaves what directories inherit to the server',
  },
  {
    purpose: /MDS_GETATTR {2}\[0x[\da-f]+:0x[\da-f]+:0x0\]$/,
    times: { '02': 1, '04': 5, '05': 1, '07': 5 },
    why: 'a directory’s layout comes with its attributes, which `lfs getdirstripe` asks by itself; a symlink’s target is remembered',
  },
  {
    purpose: /FLD_QUERY sequence /,
    times: { '02': 1, '03': 1, '03b': 1, '04': 1, '05': 2, '06': 2, '08': 1 },
    why: 'which MDT gave a FID’s name is known; ours asks when an object is elsewhere',
  },
  {
    purpose: /LDLM_ENQUEUE getattr {2}\[0x200000007:0x1:0x0\] {2}CR bits 0x2$/,
    times: { '02': 11, '03': 23, '03b': 3, '04': 15, '05': 5, '06': 15, '07': 8, '08': 1 },
    why: 'a kernel takes a lock on the attributes of the root that its paths begin at; ours passes through without',
  },
  {
    purpose: /LDLM_ENQUEUE (getattr|lookup) {2}/,
    times: { '02': 2, '03': 2, '04': 12, '05': 4, '06': 3, '07': 25, '08': 15 },
    why: 'a path’s directories are passed through without their attributes; `ls`, `mv` and `lfs` look at what ours has no need to look at',
  },
  {
    purpose: /LDLM_ENQUEUE open\|directory {2}/,
    times: { '02': 1, '03': 1, '04': 13, '05': 1, '06': 2, '07': 7, '08': 3 },
    why: '`lfs` and the shell open directories that ours has no need to open',
  },
  {
    purpose: /LDLM_ENQUEUE open(\|creat)? {2}/,
    times: { '02': 2, '03': 6, '03b': 2, '04': 7, '06': 2, '07': 20, '08': 6 },
    why: '`lfs` opens a file to set or get its layout, the shell what it has in its cache; ours makes a file with its layout',
  },
  {
    purpose: /MDS_CLOSE {2}\[0x[\da-f]+:0x[\da-f]+:0x0\]$/,
    times: { '02': 3, '03': 6, '03b': 2, '04': 10, '05': 1, '06': 4, '07': 25, '08': 8 },
    why: 'what ours did not open it does not close',
  },
  {
    purpose: /-OST000[01] {2}LDLM_ENQUEUE {2}.*PR 0-end$/,
    times: { '02': 5, '03': 15, '03b': 2, '04': 9, '05': 3, '06': 5, '07': 17, '08': 2 },
    why: 'a kernel asks for the size before it writes; ours only where the size matters',
  },
  {
    purpose: /OST_SYNC {2}/,
    times: { '02': 2, '06': 1, '07': 1, '08': 2 },
    why: 'what was written when the file was closed is on its way to the disk: `sync` was not called here',
  },
  {
    purpose: /LDLM_ENQUEUE getxattr {2}/,
    times: { '02': 3, '03': 4, '03b': 1, '04': 9, '05': 4, '06': 5, '07': 3, '08': 3 },
    why: 'a kernel asks for security.capability before writing, ours for attributes that programs want',
  },
  {
    purpose: /OST_READ {2}/,
    times: { '02': 1, '03': 2, '03b': 1, '04': 2, '06': 1, '07': 2 },
    why: 'a page that is written in part is read first; what `cat` reads of a file of another step is not read again',
  },
  {
    purpose: /OST_WRITE {2}/,
    times: { '02': 1 },
    why: 'a page that was written in part leaves the cache as one: ours writes the bytes through',
  },
  {
    purpose: /MDS_GETATTR_NAME {2}/,
    times: { '02': 1, '03': 4, '04': 13, '06': 2 },
    why: 'a layout that a lock of ours protects is known; `lfs getstripe` always asks',
  },
  {
    purpose: /MDS_REINT setattr {2}\[0x200000407:0x7:0x0\]$/,
    times: { '06': 1 },
    why: '`touch` sets the times of what it made, which ours does under a lock on the object: no answer to that is recorded',
  },
  {
    purpose: /OST_[GS]ETATTR {2}/,
    times: { '05': 2, '06': 2 },
    why: 'sizes and times go with locks',
  },
];
