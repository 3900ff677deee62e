/** Rows of capture 08: servers that crash, are started again or have evicted the client. */
import type { Meant } from './meant.ts';

export const OF_RECOVERY: readonly Meant[] = [
  {
    operation: /./,
    field: /^ptlrpc_body\.pb_handle$/,
    values:
      /^((0xd21642270bad26[\da-f]{2}|0xd7db48792eb02[\da-f]{3}) \| 0xd7db48792eb0[\da-f]{4}|0xd7db48792eb033c1 \| 0xd7db48792eb037bf|0xd7db48792eb02910 \| 0xd21642270bad265a)$/,
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
    values: /^(0 \| (256|0x200000021)|0x200000082 \| 0x300000003|(0x20000007b|0x400000001) \| 0x400000006)$/,
    why: 'what would be replayed first: a kernel’s chmod went to an OST, too; ours replays the open of a file until its close is on disk',
  },
  {
    operation: /^(MDS|OST)_CONNECT$/,
    field: /^connect_data\.ocd_grant$/,
    values:
      /^134217728 \(0x8000000\) \| (2097152 \(0x200000\)|258048 \(0x3f000\)|90112 \(0x16000\)|118784 \(0x1d000\))$/,
    why: 'again a kernel asks for what it would need at least, ours for as much as at first',
  },
  {
    operation: /^OST_CONNECT$/,
    field: /^(ptlrpc_body\.pb_op_flags|connect_data\.ocd_transno)$/,
    values: /^(256|0x300000007) \| (0|0)$/,
    why: 'pings have no news of commits here: of what is to be replayed an eviction makes nothing',
  },
  {
    operation: /^LLOG_ORIGIN_HANDLE_READ_HEADER$/,
    field: /^llogd_body\.lgd_logid\.lgl_oi\.(oi\.oi_id|oi_fid)$/,
    values: /^([23] \| [23]|\[0x[23]:0xa:0x0\] \| \[0x[23]:0xa:0x0\])$/,
    why: 'of an MGS that was started again ours reads all logs at once, a kernel one after the other',
  },
  {
    operation: /^MGS_CONFIG_READ$/,
    field: /^mgs_config_body\.mcb_offset$/,
    values: /^11 \| 15$/,
    why: 'how far the table of restarted targets is known: at the restart before this one the MGS was not asked here',
  },
];
