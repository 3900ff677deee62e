/** Where our client differs from a 2.17 kernel client on purpose, and why: what is not in these tables fails the test. */

/** Fields of requests that both send. */
export interface Meant {
  readonly operation: RegExp;
  readonly field: RegExp;
  readonly why: string;
}

/** Requests that only the kernel client sends. */
export interface NotAsked {
  readonly purpose: RegExp;
  readonly why: string;
}

export const MEANT: readonly Meant[] = [
  {
    operation: /./,
    field: /^ptlrpc_body\.pb_(status|flags)$/,
    why: "a kernel puts the asking process's id into pb_status and says with a flag that uid and gid are filled in; servers use them for job statistics only",
  },
  {
    operation: /./,
    field: /^lm_repsize$/,
    why: 'room for replies is each client’s own choice; a reply that is longer is asked for again',
  },
  {
    operation: /_CONNECT$/,
    field: /^connect_data\./,
    why: 'we ask for the features that we have: lib/client/connect-flags.ts names the others; a kernel asks an OST with what is left in the structure from the MDT',
  },
  {
    operation: /^LLOG_ORIGIN_HANDLE_CREATE/,
    field: /^mdt_body\.mbo_(capability|suppgid)$/,
    why: 'whose capabilities these are is of no interest to the MGS: it reads the log’s name',
  },
  {
    operation: /^LDLM_ENQUEUE (getattr|lookup|open)|^MDS_GETATTR|^MDS_REINT setx?attr|^MDS_CLOSE/,
    field: /(mbo|cr|sa|sx)_suppgid[12]?$/,
    why: 'a kernel names group 0 for root without asking whether it helps; root needs none',
  },
  {
    operation: /^MDS_REINT create/,
    field: /^(buffers|eadata|rec_reint\.cr_(bias|flags_[lh]))$/,
    why: 'that directories inherit a default layout is left to the server; where ours puts one it says so as `lfs mkdir` does',
  },
  {
    operation: /creat|create/,
    field: /^rec_reint\.cr_fid2$/,
    why: 'FIDs are each client’s own: ours has used one more or less of its sequence',
  },
  {
    operation: /^(MDS_REINT|LDLM_ENQUEUE open)/,
    field: /^(handles|buffers|dlm_req\.lock_count)$/,
    why: 'which locks a request conflicts with depends on what was cached before it',
  },
  {
    operation: /^MDS_REINT rename/,
    field: /^portal$/,
    why: 'portal 13 is for clients that were granted data on MDT (guide 09 §1.1), which we do not ask for',
  },
  {
    operation: /^LDLM_ENQUEUE (getattr|lookup|open)/,
    field:
      /^(ldlm_intent\.opc|name|buffers|mdt_body\.mbo_fid2|rec_reint\.cr_(fid2|flags_[lh]|mode)|dlm_req\.lock_desc\.l_policy_data\..*)$/,
    why: 'stand-ins: a kernel opens by FID what it has cached, and asks for attributes where ours only passes through',
  },
  {
    operation: /^LDLM_ENQUEUE (getattr|open)/,
    field:
      /^(mdt_body\.mbo_(fid1|eadatasize)|eadata|rec_reint\.cr_fid1|dlm_req\.lock_desc\.l_resource\.lr_name\.name)$/,
    why: 'by FID a kernel names the directory that it came through, too, ours the object alone, as a kernel does at the root; how much room a layout gets is each client’s own choice',
  },
  {
    operation: /^LDLM_ENQUEUE (lookup|getxattr)/,
    field: /^mdt_body\.mbo_eadatasize$/,
    why: 'how much room a layout or attributes get is each client’s own choice',
  },
  {
    operation: /^MDS_REINT setattr/,
    field: /^rec_reint\.sa_(valid|blocks)$/,
    why: 'with times a kernel tells the blocks that it knows, which the MDT does not take from a setattr',
  },
  {
    operation: /^(MDS|OST)_QUOTACTL/,
    field: /^obd_quotactl\.qc_dqblk\.dqb_(valid|curinodes)$/,
    why: '`lfs` asks each target with the answer of the one before',
  },
  {
    operation: /^MDS_GETATTR$/,
    field: /^(portal|buffers|name|ptlrpc_body\.pb_opc|mdt_body\.mbo_(fid1|eadatasize))$/,
    why: 'a layout is asked of the file by FID; `lfs getstripe` opens the directory and asks by name',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.(lock_flags|lock_desc\.l_policy_data\..*)$/,
    why: 'ours locks the bytes that it reads, for the server to extend; a kernel asks for all with NO_EXPANSION unset after a glimpse',
  },
  {
    operation: /^OST_(READ|WRITE)/,
    field: /^ost_body\.oa\.o_(valid|mode|flags|nlink|blocks|grant|data_version|[amc]time)$/,
    why: 'no checksums here, as the servers of the recordings took T10 for the default; dirty, granted and used (o_data_version) bytes are a cache’s own; OSTs take the times of a read from o_atime alone, those of a write from the others',
  },
  {
    operation: /^OST_(READ|WRITE)/,
    field: /^(niobuf_remote\..*|buffers|short_io|bulk)$/,
    why: 'kernels read and write whole pages of their cache, ours the bytes that were asked for',
  },
  {
    operation: /^OST_(READ|WRITE)/,
    field: /^ost_body\.oa\.o_handle$/,
    why: 'ours names the lock that covers the bytes, for the server to prolong; a kernel leaves it out with O_DIRECT and where pages of several locks go together',
  },
  {
    operation: /^OST_SYNC/,
    field: /^ost_body\.oa\.o_(blocks|stripe_idx)$/,
    why: 'ours names the whole object; a kernel counts how far a file of the greatest length would reach into each',
  },
  {
    operation: /^LDLM_ENQUEUE$/,
    field: /^dlm_req\.lock_desc\.l_req_mode$/,
    why: 'a stand-in: with O_DIRECT a kernel leaves the locks to the OST, ours locks what it writes',
  },
  {
    operation: /^FLD_QUERY/,
    field: /^fld_mdfld\.lsr_end$/,
    why: 'a kernel leaves the end of the range that it last knew; what is asked is the start',
  },
  {
    operation: /^MDS_READPAGE/,
    field: /^mdt_body\.mbo_nlink$/,
    why: 'ours asks for little first: most directories are short',
  },
  {
    operation: /^MDS_CLOSE/,
    field: /^(rec_reint\.sa_(valid|size|blocks|bias|atime)|mdt_epoch\.mio_open_handle)$/,
    why: 'sizes at close are a hint (LSOM): each tells what it knows; a directory has none to tell',
  },
];

export const NOT_ASKED: readonly NotAsked[] = [
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
    purpose: /config lab 2 |MGS_CONFIG_READ/,
    why: 'the imperative recovery table is not followed',
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
    purpose: /MDS_REINT unlink .* (fifo|null|sym)( |$)/,
    why: 'ours looks what a name is before it removes it; the kernel had looked these up in a batch, so no answer to that is recorded',
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
