/** Where requests of ours differ from a 2.17 kernel client's on purpose, and why: what is not in this table fails the test, and so does a row that nothing needs. */

import type { Difference } from './comparison.ts';
import {
  buffersBut,
  checksumsAside,
  fewer,
  number,
  openFlags,
  sameSequence,
  wholePages,
  XATTR,
} from './value-rules.ts';

/** Fields of requests that both send. */
export interface Meant {
  readonly operation: RegExp;
  readonly field: RegExp;
  /** Which values: ours and the kernel's as `ours | theirs`, or a rule for both. */
  readonly values: RegExp | ((ours: string, theirs: string) => boolean);
  readonly why: string;
}

export const allows = (
  row: Meant,
  { operation, field, ours, theirs }: Omit<Difference, 'purpose'>,
): boolean =>
  row.operation.test(operation) &&
  row.field.test(field) &&
  (row.values instanceof RegExp ? row.values.test(`${ours} | ${theirs}`) : row.values(ours, theirs));

export const MEANT: readonly Meant[] = [
  {
    operation: /./,
    field: /^ptlrpc_body\.pb_status$/,
    values: /^0 \| [1-9]\d*( \(0x[\da-f]+\))?$/,
    why: 'a kernel puts the asking process’s id there; servers use it for job statistics only',
  },
  {
    operation: /./,
    field: /^ptlrpc_body\.pb_flags$/,
    values: (ours, theirs) => ((number(ours) ^ number(theirs)) & ~0x609n) === 0n,
    why: 'a kernel says with flags that uid, gid and project are filled in, for job statistics',
  },
  {
    operation: /./,
    field: /^lm_repsize$/,
    values: /^[1-9]\d*( \(0x[\da-f]+\))? \| \d+( \(0x[\da-f]+\))?$/,
    why: 'room for replies is each client’s own choice; a reply that is longer is asked for again',
  },
  {
    operation: /^(MGS|MDS|OST)_CONNECT$/,
    field: /^connect_data\.ocd_(connect_flags2?|cksum_types)$/,
    values: fewer(XATTR),
    why: 'we ask for the features that we have: lib/client/mount/connect-flags.ts names the others; a kernel asks for user attributes where the mount has user_xattr',
  },
  {
    operation: /^(MGS|MDS|OST)_CONNECT$/,
    field: /^connect_data\.(?!ocd_(connect_flags2?|cksum_types)$)/,
    values: /^0 \| ([1-9]|0x[1-9a-f])/,
    why: 'a kernel asks with what is left in the structure from another target, or for features that we do not have',
  },
  {
    operation: /./,
    field: /^ptlrpc_body\.pb_handle$/,
    values:
      /^((0xd21642270bad26[\da-f]{2}|0xd7db48792eb02[\da-f]{3}) \| 0xd7db48792eb0[\da-f]{4}|0xd7db48792eb02910 \| 0xd21642270bad265a)$/,
    why: 'restarts and evictions that are not replayed: the connections are those from before them',
  },
  {
    operation: /^OST_CONNECT$/,
    field: /^connect_data\.ocd_brw_size$/,
    values: /^67108864 \(0x4000000\) \| 4194304 \(0x400000\)$/,
    why: 'again a kernel asks for what it was given, ours for as much as at first',
  },
  {
    operation: /^OST_(WRITE|SYNC)$/,
    field: /^ptlrpc_body\.pb_flags$/,
    values: /^0 \| 1538$/,
    why: 'the kernel’s was under way when the server crashed, and was sent again (MSG_RESENT)',
  },
  {
    operation: /^(MDS|OST)_CONNECT$/,
    field: /^(ptlrpc_body\.pb_op_flags|connect_data\.ocd_transno)$/,
    values: /^(0 \| (256|0x200000021)|0x2000000(7b|82) \| 0x400000006)$/,
    why: 'what would be replayed first: a kernel’s chmod went to an OST, too; a restart before an eviction is another test’s',
  },
  {
    operation: /^(MDS|OST)_CONNECT$/,
    field: /^connect_data\.ocd_grant$/,
    values:
      /^134217728 \(0x8000000\) \| (2097152 \(0x200000\)|258048 \(0x3f000\)|90112 \(0x16000\)|118784 \(0x1d000\))$/,
    why: 'again a kernel asks for what it would need at least, ours for as much as at first',
  },
  {
    operation: /^LLOG_ORIGIN_HANDLE_CREATE$/,
    field: /^mdt_body\.mbo_(capability|suppgid)$/,
    values: /^0 \| 4294967295 \(0xffffffff\)$/,
    why: 'whose capabilities these are is of no interest to the MGS: it reads the log’s name',
  },
  {
    operation: /^LDLM_ENQUEUE (getattr|open)|^MDS_REINT setx?attr$/,
    field: /\.(mbo|cr|sa|sx)_suppgid[12]?$/,
    values: /^4294967295 \(0xffffffff\) \| 0$/,
    why: 'a kernel names the file’s group where the caller is in it, here root’s own; root needs none',
  },
  {
    operation: /^MDS_REINT create$/,
    field: /^eadata$/,
    values: /^(absent|d00cd30c.*) \| d00cd30c/,
    why: 'that directories inherit a default layout is left to the server; where ours puts one it says so as `lfs mkdir` does',
  },
  {
    operation: /^MDS_REINT create$/,
    field: /^buffers$/,
    values: buffersBut(4),
    why: 'as above: the length of that layout',
  },
  {
    operation: /^MDS_REINT create$/,
    field: /^rec_reint\.cr_bias$/,
    values: /^(0|2097152 \(0x200000\)) \| 16777216 \(0x1000000\)$/,
    why: 'as above: a kernel says that the layout is a default one',
  },
  {
    operation: /^MDS_REINT create$/,
    field: /^rec_reint\.cr_flags_[lh]$/,
    values: /^(0 \| 576|64 \| (0|576))$/,
    why: 'as above: with flags of an open',
  },
  {
    operation: /^(LDLM_ENQUEUE open\|creat|MDS_REINT create)$/,
    field: /^rec_reint\.cr_fid2$/,
    values: sameSequence,
    why: 'FIDs are each client’s own: ours has used some more or fewer of its sequence, where an open made nothing or steps are not replayed',
  },
  {
    operation: /^LDLM_ENQUEUE open\|creat$/,
    field: /^rec_reint\.cr_fid2$/,
    values: /^\[0x200001b71:0x\d:0x0\] \| \[0x200000bd2:0x3:0x0\]$/,
    why: 'with O_CREAT a kernel names the FID of a file that it knows, ours one that it would take',
  },
  {
    operation: /^(MDS_REINT|LDLM_ENQUEUE( open\|creat| layout|$))/,
    field: /^(handles|dlm_req\.lock_count)$/,
    values: /^[0-3] \| [0-4]$/,
    why: 'which locks a request conflicts with depends on what was cached before it',
  },
  {
    operation: /^MDS_REINT (rename|unlink)$/,
    field: /^buffers$/,
    values: buffersBut(4, 6),
    why: 'as above: the locks are in the request',
  },
  {
    operation: /^LDLM_ENQUEUE layout$/,
    field: /^buffers$/,
    values: buffersBut(1),
    why: 'as above: the locks are in the request',
  },
  {
    operation: /^LDLM_ENQUEUE open/,
    field: /^buffers$/,
    values: buffersBut(6, 7),
    why: 'a kernel opens what it has cached by FID, without the name; how much room a layout gets is each client’s own choice',
  },
  { operation: /^LDLM_ENQUEUE open/, field: /^name$/, values: /^".+" \| ""$/, why: 'as above' },
  {
    operation: /^LDLM_ENQUEUE open(\|directory)?$/,
    field: /^rec_reint\.cr_fid2$/,
    values: /^\[0x0:0x0:0x0\] \| \[/,
    why: 'as above: the FID',
  },
  {
    operation: /^LDLM_ENQUEUE open/,
    field: /^rec_reint\.cr_flags_h$/,
    values: /^512 \| 514$/,
    why: 'as above: MDS_OPEN_BY_FID',
  },
  {
    operation: /^LDLM_ENQUEUE open/,
    field: /^rec_reint\.cr_flags_l$/,
    values: openFlags,
    why: 'as above: flags of the open that only a shell, `lfs` or a kernel with a lock of the open sets',
  },
  {
    operation: /^LDLM_ENQUEUE open\|creat$/,
    field: /^rec_reint\.cr_mode$/,
    values: /^(33188 \| 33206|33206 \| 32768)$/,
    why: 'whether the umask is taken off by the client; an open by FID has no mode',
  },
  {
    operation: /^LDLM_ENQUEUE open/,
    field: /^eadata$/,
    values:
      /^(0+… \(128 bytes\) \| 0+… \((72|216|240|344|392) bytes\)|d00bd10b[\da-f]+ \| absent|d00bd60b.* \| absent)$/,
    why: 'room for a layout is each client’s own choice; `lfs setstripe` sets the layout with an ioctl behind the open',
  },
  {
    operation: /^LDLM_ENQUEUE open$/,
    field:
      /^(rec_reint\.cr_fid1|dlm_req\.lock_desc\.l_resource\.lr_name\.name|eadata|rec_reint\.cr_flags_l)$/,
    values:
      /^(\[0x200000405[: ].* \| \[0x200000007[: ].*|absent \| 0+… \(392 bytes\)|25165827 \(0x1800003\) \| (41947139 \(0x2801003\)|578818049 \(0x22801001\)))$/,
    why: 'before a lease: `lfs` opens the file by name, O_DIRECT, to verify only to read; ours by FID, for writing, so that no writer passes',
  },
  {
    operation: /^LDLM_ENQUEUE open\|directory$/,
    field: /^(rec_reint\.cr_fid1|dlm_req\.lock_desc\.l_resource\.lr_name\.name)$/,
    values: /^\[0x2400\w+[: ].* \| \[0x200000007[: ]/,
    why: 'by FID a kernel names the directory that it came through, too, ours the object alone',
  },
  {
    operation: /^LDLM_ENQUEUE getattr$/,
    field: /^(mdt_body\.mbo_fid1|dlm_req\.lock_desc\.l_resource\.lr_name\.name)$/,
    values: / \| \[0x200000007[: ]/,
    why: 'as above',
  },
  {
    operation: /^LDLM_ENQUEUE getattr$/,
    field: /^mdt_body\.mbo_fid2$/,
    values: /^\[.* \| \[0x0:0x0:0x0\]$/,
    why: 'by name a kernel does not say the FID',
  },
  {
    operation: /^LDLM_ENQUEUE getattr$/,
    field: /^(name|buffers)$/,
    values: /^("" \| "s?d"|184 104 8 216 0 1 \| 184 104 8 216 0 [23])$/,
    why: 'as above: `sd` and `d` were looked up by their names',
  },
  {
    operation: /^LDLM_ENQUEUE getattr$/,
    field: /^dlm_req\.lock_desc\.l_policy_data\.l_(extent\.start|flock\.lfw_start|inodebits\.bits)$/,
    values: /^2 \| 1$/,
    why: 'stand-ins: the kernel passed through what ours wants the attributes of',
  },
  {
    operation: /^LDLM_ENQUEUE getattr$/,
    field: /^ldlm_intent\.opc$/,
    values: /^8 \| 16$/,
    why: 'as above: IT_GETATTR for IT_LOOKUP',
  },
  {
    operation: /^LDLM_ENQUEUE lookup$/,
    field: /^dlm_req\.lock_desc\.l_policy_data\.l_(extent\.start|flock\.lfw_start|inodebits\.bits)$/,
    values: /^1 \| 2$/,
    why: 'stand-ins: a kernel asks for attributes where ours only passes through',
  },
  {
    operation: /^LDLM_ENQUEUE lookup$/,
    field: /^ldlm_intent\.opc$/,
    values: /^16 \| 8$/,
    why: 'as above: IT_LOOKUP for IT_GETATTR',
  },
  {
    operation: /^LDLM_ENQUEUE (getattr|lookup)$/,
    field: /^mdt_body\.mbo_eadatasize$/,
    values: /^128 \| (72|216|240|344|392)$/,
    why: 'how much room a layout gets is each client’s own choice',
  },
  {
    operation: /^MDS_GETATTR$/,
    field: /^mdt_body\.mbo_eadatasize$/,
    values: /^65536 \(0x10000\) \| 4096$/,
    why: 'how much room a layout gets is each client’s own choice',
  },
  {
    operation: /^LDLM_ENQUEUE getxattr$/,
    field: /^mdt_body\.mbo_eadatasize$/,
    values: /^8192 \| 2500$/,
    why: 'how much room attributes get is each client’s own choice',
  },
  {
    operation: /^MDS_REINT setattr$/,
    field: /^rec_reint\.sa_(valid|blocks)$/,
    values: /^(10310 \| 43078|0 \| 8)$/,
    why: 'with times a kernel tells the blocks that it knows, which the MDT does not take from a setattr',
  },
  {
    operation: /^(MDS|OST)_QUOTACTL$/,
    field: /^obd_quotactl\.qc_dqblk\.dqb_(valid|curinodes)$/,
    values: /^0 \| (1|15)$/,
    why: '`lfs` asks each target with the answer of the one before',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.lock_flags$/,
    values: /^(0 \| 4096|4096 \| 0)$/,
    why: 'ours locks the bytes that it reads, for the server to extend; a kernel asks with an intent (LDLM_FL_HAS_INTENT)',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.lock_desc\.l_policy_data\.l_(extent\.end|flock\.lfw_end|inodebits\.(cancel|try)_bits)$/,
    values:
      / \| 0xffffffffffffffff$|^0xfffff \| 8191$|^(32767|65535) \| (0x3ffff|0x3fffff)$|^0x3ffff \| 0x2ffff$|^0x7ffff \| 0x5ffff$|^0x1cfff \| 65535$/,
    why: 'as above: a kernel asks for all, or stripe by stripe where a call writes several; of a file that was read ahead ours asks for the bytes of the call',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.lock_desc\.l_policy_data\.l_(extent\.start|flock\.lfw_start|inodebits\.bits)$/,
    values: /^(0x20000 \| 0|0 \| 0x10000)$/,
    why: 'as above; of a component a kernel locks what lies in it, ours the whole object',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.lock_desc\.l_req_mode$/,
    values: /^(2 \| 4|4 \| 2)$/,
    why: 'stand-ins: with O_DIRECT a kernel leaves the locks to the OST, ours locks what it writes; behind the swap of two layouts it had locks to write, ours asks for some to read',
  },
  {
    operation: /^OST_(READ|WRITE)$/,
    field: /^ost_body\.oa\.o_mode$/,
    values: /^67108864 \(0x4000000\) \| 324132864 \(0x1351e000\)$/,
    why: 'how much more a client could use (o_undirty) is a cache’s own',
  },
  {
    operation: /^OST_(READ|WRITE)$/,
    field: /^ost_body\.oa\.o_valid$/,
    values: checksumsAside,
    why: 'no checksums here, as the servers of the recordings took T10 for the default',
  },
  {
    operation: /^OST_(READ|WRITE)$/,
    field: /^ost_body\.oa\.o_flags$/,
    values:
      /^(0 \| (8192|20480|24576)|4194304 \(0x400000\) \| (4202496 \(0x402000\)|4214784 \(0x405000\)|4218880 \(0x406000\)))$/,
    why: 'as above: the type of the checksum',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^ost_body\.oa\.o_nlink$/,
    values: /^0 \| [1-9]\d*( \(0x[\da-f]+\))?$/,
    why: 'as above: the checksum',
  },
  {
    operation: /^OST_(READ|WRITE)$/,
    field: /^ost_body\.oa\.o_(grant|blocks|data_version)$/,
    values: /^((0x[\da-f]+|\d+) \| (0x[\da-f]+|57344)|(0x16000|0x1d000|61440|28672) \| 0)$/,
    why: 'dirty, granted and used (o_data_version) bytes are a cache’s own',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^ost_body\.oa\.o_misc$/,
    values: /^0 \| (155648 \(0x26000\)|28672)$/,
    why: 'as above: what was dropped of it (o_dropped)',
  },
  {
    operation: /^OST_READ$/,
    field: /^ost_body\.oa\.o_valid$/,
    values: /^0x8000000b084f2f \| 0x8000000b184f23$/,
    why: 'an MDT takes the time of a read from o_atime, whatever else is there; and the checksum',
  },
  {
    operation: /^OST_READ$/,
    field: /^ost_body\.oa\.o_[mc]time$/,
    values: /^0 \| 0x6b02[\da-f]{4}$/,
    why: 'OSTs take the times of a read from o_atime alone',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^ost_body\.oa\.o_atime$/,
    values: /^0 \| 0x6b02[\da-f]{4}$/,
    why: 'OSTs take the times of a write from o_mtime and o_ctime',
  },
  {
    operation: /^OST_READ$/,
    field: /^niobuf_remote\.\d+\.rnb_flags$/,
    values: /^262153 \(0x40009\) \| (9|262793 \(0x40289\)|262157 \(0x4000d\))$/,
    why: 'kernels read and write whole pages of their cache, ours the bytes that were asked for; of a mirrored file they mark for themselves that it may be read elsewhere (NDELAY)',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^niobuf_remote\.\d+\.rnb_flags$/,
    values: /^(263168 \(0x40400\) \| 263200 \(0x40420\)|263200 \(0x40420\) \| 262154 \(0x4000a\))$/,
    why: 'ours writes whole stripes at once, past its cache, without a grant; behind an eviction a kernel has none yet and writes synchronously',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^niobuf_remote\.\d+\.rnb_flags$/,
    values: /^263200 \(0x40420\) \| 262826 \(0x402aa\)$/,
    why: 'kernels read and write whole pages of their cache, ours the bytes that were asked for',
  },
  {
    operation: /^LDLM_ENQUEUE open$/,
    field:
      /^(handles|ldlm_intent\.opc|dlm_req\.(lock_count|lock_desc\.(l_req_mode|l_policy_data\.(l_extent\.start|l_flock\.lfw_start|l_inodebits\.bits))))$/,
    values: /^(1 \| [23]|16 \| 8)$/,
    why: 'a stand-in: a kernel opens with O_CREAT by its FID what it knows, ours without O_CREAT, for it would take a new FID',
  },
  {
    operation: /^LDLM_ENQUEUE open$/,
    field: /^rec_reint\.cr_flags_l$/,
    values: /^(514 \| 41943618 \(0x2800242\)|1026 \| 41944130 \(0x2800442\)|2 \| 41943107 \(0x2800043\))$/,
    why: 'as above',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^(buffers|short_io|niobuf_remote\.0\.rnb_(offset|len))$/,
    values:
      /^(184 208 24 16 0 (27|23) \| 184 208 24 16 0 (47|3799)|20 \| 0|27 \| 47|23 \| 3799|0x1cec0 \| 0x1c000|41206c69.* \| 66726f6d.*|7772697474656e.* \| 6173680a.*)$/,
    why: 'lines were appended: a kernel writes their page from its beginning',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^niobuf_remote\.0\.rnb_(offset|len)$/,
    values: /^(18 \| 0|65518 \| 65536 \(0x10000\)|131072 \(0x20000\) \| 262144 \(0x40000\))$/,
    why: 'as above: a kernel read the first page and wrote it with what was appended; another file was cut before its bytes had to leave the cache',
  },
  {
    operation: /^OST_WRITE$/,
    field: /^(buffers|short_io|niobuf_remote\.0\.rnb_len)$/,
    values: /^(184 208 24 16 0 18 \| 184 208 24 16 0 4096|6d6972726f72.* \| 6d6972726f72.*|18 \| 4096)$/,
    why: '`lfs mirror resync` writes whole pages and cuts the mirror then, ours what there is',
  },
  {
    operation: /^OST_(WRITE|PUNCH)$/,
    field: /^ost_body\.oa\.o_layout_version$/,
    values: /^2147483651 \(0x80000003\) \| 2147483652 \(0x80000004\)$/,
    why: 'the layout of a resync: a kernel asked for it by FID, ours by name, which was answered as before it',
  },
  {
    operation: /^OST_READ$/,
    field: /^niobuf_remote\.\d+\.rnb_len$/,
    values: wholePages,
    why: 'kernels read and write whole pages of their cache, ours the bytes that were asked for',
  },
  {
    operation: /^OST_(READ|WRITE)$/,
    field: /^ost_body\.oa\.o_handle$/,
    values:
      /^0x[\da-f]+ \| 0$|^0x12a02812f77cdf67 \| 0x12a02812f77cdfad$|^0xd7db48792eb02e[\da-f]{2} \| 0xd21642270bad27[\da-f]{2}$/,
    why: 'ours names the lock that covers the bytes, for the server to prolong; a kernel leaves it out with O_DIRECT and where pages of several locks go together, and does not change it when it sends again; of two that cover them each has another',
  },
  {
    operation: /^OST_SYNC$/,
    field: /^ost_body\.oa\.o_(blocks|stripe_idx)$/,
    values: /^(0xf{16} \| 0x(3f{15}|40{15}|7f{15})|1 \| 0)$/,
    why: 'ours names the whole object; a kernel counts how far a file of the greatest length would reach into each',
  },
  {
    operation: /^FLD_QUERY sequence 0x200001b70$/,
    field: /^fld_mdfld\.lsr_end$/,
    values: /^0 \| 0x200000008$/,
    why: 'a kernel leaves the end of the range that it last knew; what is asked is the start',
  },
  {
    operation: /^MDS_READPAGE$/,
    field: /^mdt_body\.mbo_nlink$/,
    values: /^65536 \(0x10000\) \| 1048576 \(0x100000\)$/,
    why: 'ours asks for little first: most directories are short',
  },
  {
    operation: /^LDLM_ENQUEUE open$/,
    field: /^eadata$/,
    values: /^0+… \(128 bytes\) \| d00bd10b01.* \((128|392) bytes\)$/,
    why: 'a stand-in: the open with which `lfs setstripe` sets a layout; ours set it when it made the file',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_valid$/,
    values: fewer(),
    why: 'sizes and times at close are hints: ours tells what a lock protects and when it read; older MDTs take any',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_bias$/,
    values: /^(512 \| 0|0 \| 512)$/,
    why: 'sizes at close are a hint (LSOM): each tells what it knows; a directory has none to tell',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_size$/,
    values: /^0 \| (0x[\da-f]+|\d+)$/,
    why: 'sizes at close are a hint (LSOM): each tells what it knows; a directory has none to tell',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_blocks$/,
    values: /^(\d+ \| [018]|0 \| (16|48|360|5128)|10240 \| 8192|24 \| 16|32 \| 24|40 \| 32|48 \| 40)$/,
    why: 'sizes at close are a hint (LSOM): each tells what it knows; a directory has none to tell',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_atime$/,
    values: /^(0 \| 0x[\da-f]{8}|0x6b02[\da-f]{4} \| 0x6b02[\da-f]{4})$/,
    why: 'what was read between is another moment’s; ours tells none where it did not read',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^rec_reint\.sa_[mc]time$/,
    values: /^(0 \| 0x6b02[\da-f]{4}|0x6b02b7ae \| 0x6b02b8c5)$/,
    why: 'ours tells none that no lock protects any more, and closed behind the loss of what was written',
  },
  {
    operation: /^MDS_CLOSE$/,
    field: /^mdt_epoch\.mio_open_handle$/,
    values: /^0x[\da-f]{16} \| 0x[\da-f]{16}$/,
    why: 'which of several opens of a file is closed',
  },
];
