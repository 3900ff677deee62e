/**
 * Every request format of the reference, by its RQF name: opcodes, RPC version, request and reply buffers in order (guide 04;
 * guides 05 to 17 for their use). Held to the reference table by test/wire.
 */

import {
  MgsConfigBody,
  MgsConfigRes,
  MgsSendParam,
  MgsTargetInfo,
  MgsTargetNidlist,
  ObdConnectData,
} from './connection-structs.ts';
import { LuFid, LuSeqRange } from './fid-structs.ts';
import {
  arrayField,
  bytesField,
  emptyField,
  format,
  ldlmRequestField,
  numberField,
  ptlrpcBodyField,
  stringField,
  structField,
  structWithText,
  u32ArrayField,
} from './format.ts';
import {
  HsmCurrentAction,
  HsmProgressKernel,
  HsmRequest,
  HsmStateSet,
  HsmUserItem,
  HsmUserState,
} from './hsm-structs.ts';
import { LovConstant } from './layout-constants.ts';
import { LayoutIntent, LdlmGlDesc, LdlmIntent, LdlmReply } from './ldlm-structs.ts';
import { LlogdBody, LlogLogHdr } from './llog-structs.ts';
import {
  CloseData,
  IdxInfo,
  MdcSwapLayouts,
  MdtBody,
  MdtIoepoch,
  MdtRecCreate,
  MdtRecLink,
  MdtRecReint,
  MdtRecRename,
  MdtRecResync,
  MdtRecSetattr,
  MdtRecSetxattr,
  MdtRecUnlink,
  ObdStatfs,
} from './mds-structs.ts';
import { LadviseHdr, LlFiemapInfoKey, LuLadvise, NiobufRemote, ObdIoobj, OstBody } from './ost-structs.ts';
import { ButUpdateBuffer } from './ptlrpc-structs.ts';
import { ObdQuotactl, QuotaBody } from './quota-structs.ts';
import { u32, u64 } from './struct.ts';
import { OutUpdateBuffer } from './update-structs.ts';

const RMF_GENERIC_DATA = bytesField('generic_data');
const RMF_MGS_TARGET_INFO = structField('mgs_target_info', MgsTargetInfo);
const RMF_MGS_TARGET_NIDLIST = structField('mgs_target_nidlist', MgsTargetNidlist);
const RMF_MGS_SEND_PARAM = structField('mgs_send_param', MgsSendParam);
const RMF_MGS_CONFIG_BODY = structField('mgs_config_body', MgsConfigBody);
const RMF_MGS_CONFIG_RES = structField('mgs_config_res', MgsConfigRes);
const RMF_U32 = u32ArrayField('u32');
const RMF_SETINFO_VAL = bytesField('setinfo_val');
const RMF_GETINFO_KEY = bytesField('getinfo_key');
const RMF_GETINFO_VALLEN = numberField('getinfo_vallen', u32);
const RMF_GETINFO_VAL = bytesField('getinfo_val');
const RMF_SEQ_OPC = numberField('seq_opc', u32);
const RMF_SEQ_RANGE = structField('seq_range', LuSeqRange);
const RMF_FLD_OPC = numberField('fld_opc', u32);
const RMF_FLD_MDFLD = structField('fld_mdfld', LuSeqRange);
const RMF_MDT_BODY = structField('mdt_body', MdtBody);
const RMF_OBD_QUOTACTL = structWithText(
  'obd_quotactl',
  ObdQuotactl,
  'qc_poolname',
  LovConstant.LOV_MAXPOOLNAME + 1,
);
const RMF_OBD_QUOTA_ITER = bytesField('obd_quota_iter');
const RMF_QUOTA_BODY = structField('quota_body', QuotaBody);
const RMF_MDT_EPOCH = structField('mdt_epoch', MdtIoepoch);
const RMF_PTLRPC_BODY = ptlrpcBodyField;
const RMF_CLOSE_DATA = structField('close_data', CloseData);
const RMF_OBD_STATFS = structField('obd_statfs', ObdStatfs);
const RMF_SETINFO_KEY = bytesField('setinfo_key');
const RMF_NAME = stringField('name', 0);
const RMF_FID_ARRAY = bytesField('fid_array');
const RMF_SYMTGT = stringField('symtgt', 0);
const RMF_TGTUUID = stringField('tgtuuid', 39);
const RMF_CLUUID = stringField('cluuid', 39);
const RMF_FILE_SECCTX_NAME = stringField('file_secctx_name', 0);
const RMF_FILE_SECCTX = bytesField('file_secctx');
const RMF_FILE_ENCCTX = bytesField('file_encctx');
const RMF_LLOGD_BODY = structField('llogd_body', LlogdBody);
const RMF_LLOG_LOG_HDR = structField('llog_log_hdr', LlogLogHdr);
const RMF_CONN = numberField('conn', u64);
const RMF_CONNECT_DATA = structField('connect_data', ObdConnectData, { sizeMayDiffer: true });
const RMF_DLM_REQ = ldlmRequestField('dlm_req');
const RMF_DLM_REP = structField('dlm_rep', LdlmReply);
const RMF_LDLM_INTENT = structField('ldlm_intent', LdlmIntent);
const RMF_DLM_LVB = bytesField('dlm_lvb');
const RMF_DLM_GL_DESC = structField('dlm_gl_desc', LdlmGlDesc);
const RMF_MDT_MD = bytesField('mdt_md');
const RMF_DEFAULT_MDT_MD = bytesField('default_mdt_md');
const RMF_REC_REINT = structField('rec_reint', MdtRecReint);
const RMF_EADATA = bytesField('eadata');
const RMF_EAVALS = bytesField('eavals');
const RMF_ACL = bytesField('acl');
const RMF_LOGCOOKIES = bytesField('logcookies');
const RMF_CAPA1 = emptyField('capa1');
const RMF_CAPA2 = emptyField('capa2');
const RMF_LAYOUT_INTENT = structField('layout_intent', LayoutIntent);
const RMF_SELINUX_POL = stringField('selinux_pol', 0);
const RMF_OST_BODY = structField('ost_body', OstBody);
const RMF_OBD_IOOBJ = arrayField('obd_ioobj', ObdIoobj);
const RMF_NIOBUF_REMOTE = arrayField('niobuf_remote', NiobufRemote);
const RMF_NIOBUF_INLINE = bytesField('niobuf_inline');
const RMF_RCS = u32ArrayField('rcs');
const RMF_EAVALS_LENS = u32ArrayField('eavals_lens');
const RMF_OBD_ID = numberField('obd_id', u64);
const RMF_FID = structField('fid', LuFid);
const RMF_FIEMAP_KEY = structField('fiemap_key', LlFiemapInfoKey);
const RMF_FIEMAP_VAL = bytesField('fiemap_val');
const RMF_IDX_INFO = structField('idx_info', IdxInfo);
const RMF_SHORT_IO = bytesField('short_io');
const RMF_HSM_USER_STATE = structField('hsm_user_state', HsmUserState);
const RMF_HSM_STATE_SET = structField('hsm_state_set', HsmStateSet);
const RMF_MDS_HSM_PROGRESS = structField('mds_hsm_progress', HsmProgressKernel);
const RMF_MDS_HSM_CURRENT_ACTION = structField('mds_hsm_current_action', HsmCurrentAction);
const RMF_MDS_HSM_USER_ITEM = arrayField('mds_hsm_user_item', HsmUserItem);
const RMF_MDS_HSM_ARCHIVE = u32ArrayField('mds_hsm_archive');
const RMF_MDS_HSM_REQUEST = structField('mds_hsm_request', HsmRequest);
const RMF_SWAP_LAYOUTS = structField('swap_layouts', MdcSwapLayouts);
const RMF_OST_LADVISE_HDR = structField('ost_ladvise_hdr', LadviseHdr);
const RMF_OST_LADVISE = arrayField('ost_ladvise', LuLadvise);
const RMF_BUT_REPLY = bytesField('but_reply');
const RMF_BUT_HEADER = bytesField('but_header');
const RMF_BUT_BUF = arrayField('but_buf', ButUpdateBuffer);
const RMF_OUT_UPDATE_REPLY = bytesField('out_update_reply');
const RMF_OUT_UPDATE_HEADER = bytesField('out_update_header');
const RMF_OUT_UPDATE_BUF = arrayField('out_update_buf', OutUpdateBuffer);
const RMF_REC_CREATE = structField('rec_reint', MdtRecCreate);
const RMF_REC_LINK = structField('rec_reint', MdtRecLink);
const RMF_REC_RENAME = structField('rec_reint', MdtRecRename);
const RMF_REC_RESYNC = structField('rec_reint', MdtRecResync);
const RMF_REC_SETATTR = structField('rec_reint', MdtRecSetattr);
const RMF_REC_SETXATTR = structField('rec_reint', MdtRecSetxattr);
const RMF_REC_UNLINK = structField('rec_reint', MdtRecUnlink);

export const RQF_OBD_PING = format('OBD_PING', [400], 0x10000, [RMF_PTLRPC_BODY], [RMF_PTLRPC_BODY]);

/** One layout, opcode depends on target. */
export const RQF_OBD_SET_INFO = format(
  'OBD_SET_INFO',
  [17, 46, 107],
  0,
  [RMF_PTLRPC_BODY, RMF_SETINFO_KEY, RMF_SETINFO_VAL],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDT_SET_INFO = format(
  'MDT_SET_INFO',
  [46],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_SETINFO_KEY, RMF_SETINFO_VAL, RMF_MDT_BODY],
  [RMF_PTLRPC_BODY],
);

/** Bulk read on MDS_BULK_PORTAL; OUT_PORTAL is used when the client is an OSP. */
export const RQF_OBD_IDX_READ = format(
  'OBD_IDX_READ',
  [403],
  0x10000,
  [RMF_PTLRPC_BODY, RMF_IDX_INFO],
  [RMF_PTLRPC_BODY, RMF_IDX_INFO],
);

export const RQF_SEC_CTX = format('SEC_CTX', [801, 802, 803], 0x10000, [RMF_PTLRPC_BODY], [RMF_PTLRPC_BODY]);

export const RQF_MGS_TARGET_REG = format(
  'MGS_TARGET_REG',
  [253],
  0x60000,
  [RMF_PTLRPC_BODY, RMF_MGS_TARGET_INFO],
  [RMF_PTLRPC_BODY, RMF_MGS_TARGET_INFO],
);

/** Used when OBD_CONNECT2_LARGE_NID / nidlist form is negotiated; long lists go by bulk on MGS_BULK_PORTAL. */
export const RQF_MGS_TARGET_REG_NIDLIST = format(
  'MGS_TARGET_REG_NIDLIST',
  [253],
  0x60000,
  [RMF_PTLRPC_BODY, RMF_MGS_TARGET_INFO, RMF_MGS_TARGET_NIDLIST],
  [RMF_PTLRPC_BODY, RMF_MGS_TARGET_INFO],
);

export const RQF_MGS_SET_INFO = format(
  'MGS_SET_INFO',
  [255],
  0x60000,
  [RMF_PTLRPC_BODY, RMF_MGS_SEND_PARAM],
  [RMF_PTLRPC_BODY, RMF_MGS_SEND_PARAM],
);

/** Bulk read on MGS_BULK_PORTAL. */
export const RQF_MGS_CONFIG_READ = format(
  'MGS_CONFIG_READ',
  [256],
  0x60000,
  [RMF_PTLRPC_BODY, RMF_MGS_CONFIG_BODY],
  [RMF_PTLRPC_BODY, RMF_MGS_CONFIG_RES],
);

/** Super-sequence requests use SEQ_CONTROLLER_PORTAL; data sequence clients use SEQ_DATA_PORTAL with OSC_REPLY_PORTAL. */
export const RQF_SEQ_QUERY = format(
  'SEQ_QUERY',
  [700],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_SEQ_OPC, RMF_SEQ_RANGE],
  [RMF_PTLRPC_BODY, RMF_SEQ_RANGE],
);

export const RQF_FLD_QUERY = format(
  'FLD_QUERY',
  [900],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_FLD_OPC, RMF_FLD_MDFLD],
  [RMF_PTLRPC_BODY, RMF_FLD_MDFLD],
);

/** Reply generic_data is struct lu_seq_range_array, always little-endian. */
export const RQF_FLD_READ = format(
  'FLD_READ',
  [901],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_FLD_MDFLD],
  [RMF_PTLRPC_BODY, RMF_GENERIC_DATA],
);

export const RQF_MDS_CONNECT = format(
  'MDS_CONNECT',
  [38],
  0x10000,
  [RMF_PTLRPC_BODY, RMF_TGTUUID, RMF_CLUUID, RMF_CONN, RMF_CONNECT_DATA, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_CONNECT_DATA],
);

export const RQF_MDS_DISCONNECT = format(
  'MDS_DISCONNECT',
  [39, 9, 251],
  0x10000,
  [RMF_PTLRPC_BODY],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_GET_INFO = format(
  'MDS_GET_INFO',
  [53],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_GETINFO_KEY, RMF_GETINFO_VAL],
  [RMF_PTLRPC_BODY, RMF_GETINFO_VAL],
);

export const RQF_MDS_FID2PATH = format(
  'MDS_FID2PATH',
  [53, 7],
  0,
  [RMF_PTLRPC_BODY, RMF_GETINFO_KEY, RMF_GETINFO_VALLEN],
  [RMF_PTLRPC_BODY, RMF_GETINFO_VAL],
);

export const RQF_MDS_GET_ROOT = format(
  'MDS_GET_ROOT',
  [40],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_NAME],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
);

export const RQF_MDS_STATFS = format(
  'MDS_STATFS',
  [41],
  0x20000,
  [RMF_PTLRPC_BODY],
  [RMF_PTLRPC_BODY, RMF_OBD_STATFS],
);

/** Used when OBD_CONNECT2_SUM_STATFS is negotiated. */
export const RQF_MDS_STATFS_NEW = format(
  'MDS_STATFS_NEW',
  [41],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
  [RMF_PTLRPC_BODY, RMF_OBD_STATFS],
);

export const RQF_MDS_GETATTR = format(
  'MDS_GETATTR',
  [33],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL, RMF_CAPA1, RMF_CAPA2, RMF_FILE_ENCCTX],
);

export const RQF_MDS_GETATTR_NAME = format(
  'MDS_GETATTR_NAME',
  [34],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1, RMF_NAME],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL, RMF_CAPA1, RMF_CAPA2, RMF_FILE_ENCCTX],
);

export const RQF_MDS_GETXATTR = format(
  'MDS_GETXATTR',
  [49],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1, RMF_NAME, RMF_EADATA, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_EADATA],
);

export const RQF_MDS_SYNC = format(
  'MDS_SYNC',
  [44],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

export const RQF_MDS_CLOSE = format(
  'MDS_CLOSE',
  [35],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_EPOCH, RMF_REC_SETATTR, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_LOGCOOKIES, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_CLOSE_INTENT = format(
  'MDS_CLOSE_INTENT',
  [35],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_EPOCH, RMF_REC_SETATTR, RMF_CAPA1, RMF_CLOSE_DATA, RMF_U32],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_LOGCOOKIES, RMF_CAPA1, RMF_CAPA2],
);

/** Bulk read on MDS_BULK_PORTAL. */
export const RQF_MDS_READPAGE = format(
  'MDS_READPAGE',
  [37],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

export const RQF_MDS_REINT = format(
  'MDS_REINT',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_REINT],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

export const RQF_MDS_REINT_CREATE = format(
  'MDS_REINT_CREATE',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_CREATE, RMF_CAPA1, RMF_NAME],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
);

export const RQF_MDS_REINT_CREATE_ACL = format(
  'MDS_REINT_CREATE_ACL',
  [36],
  0x20000,
  [
    RMF_PTLRPC_BODY,
    RMF_REC_CREATE,
    RMF_CAPA1,
    RMF_NAME,
    RMF_EADATA,
    RMF_DLM_REQ,
    RMF_FILE_SECCTX_NAME,
    RMF_FILE_SECCTX,
    RMF_SELINUX_POL,
    RMF_FILE_ENCCTX,
  ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1, RMF_MDT_MD],
);

export const RQF_MDS_REINT_CREATE_SLAVE = format(
  'MDS_REINT_CREATE_EA',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_CREATE, RMF_CAPA1, RMF_NAME, RMF_EADATA, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
);

export const RQF_MDS_REINT_CREATE_SYM = format(
  'MDS_REINT_CREATE_SYM',
  [36],
  0x20000,
  [
    RMF_PTLRPC_BODY,
    RMF_REC_CREATE,
    RMF_CAPA1,
    RMF_NAME,
    RMF_SYMTGT,
    RMF_DLM_REQ,
    RMF_FILE_SECCTX_NAME,
    RMF_FILE_SECCTX,
    RMF_SELINUX_POL,
    RMF_FILE_ENCCTX,
  ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
);

export const RQF_MDS_REINT_OPEN = format(
  'MDS_REINT_OPEN',
  [36],
  0x20000,
  [
    RMF_PTLRPC_BODY,
    RMF_REC_CREATE,
    RMF_CAPA1,
    RMF_CAPA2,
    RMF_NAME,
    RMF_EADATA,
    RMF_FILE_SECCTX_NAME,
    RMF_FILE_SECCTX,
    RMF_SELINUX_POL,
    RMF_FILE_ENCCTX,
  ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_REINT_UNLINK = format(
  'MDS_REINT_UNLINK',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_UNLINK, RMF_CAPA1, RMF_NAME, RMF_DLM_REQ, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_LOGCOOKIES, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_REINT_LINK = format(
  'MDS_REINT_LINK',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_LINK, RMF_CAPA1, RMF_CAPA2, RMF_NAME, RMF_DLM_REQ, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

/** Seen on MDS_IO_PORTAL (13) from 2.17; older clients use MDS_REQUEST_PORTAL (12). */
export const RQF_MDS_REINT_RENAME = format(
  'MDS_REINT_RENAME',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_RENAME, RMF_CAPA1, RMF_CAPA2, RMF_NAME, RMF_SYMTGT, RMF_DLM_REQ, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_LOGCOOKIES, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_REINT_MIGRATE = format(
  'MDS_REINT_MIGRATE',
  [36],
  0x20000,
  [
    RMF_PTLRPC_BODY,
    RMF_REC_RENAME,
    RMF_CAPA1,
    RMF_CAPA2,
    RMF_NAME,
    RMF_SYMTGT,
    RMF_DLM_REQ,
    RMF_SELINUX_POL,
    RMF_MDT_EPOCH,
    RMF_CLOSE_DATA,
    RMF_EADATA,
  ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_LOGCOOKIES, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_REINT_SETATTR = format(
  'MDS_REINT_SETATTR',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_SETATTR, RMF_CAPA1, RMF_MDT_EPOCH, RMF_EADATA, RMF_LOGCOOKIES, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL, RMF_CAPA1, RMF_CAPA2],
);

export const RQF_MDS_REINT_SETXATTR = format(
  'MDS_REINT_SETXATTR',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_SETXATTR, RMF_CAPA1, RMF_NAME, RMF_EADATA, RMF_DLM_REQ, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

export const RQF_MDS_REINT_RESYNC = format(
  'MDS_REINT_RESYNC',
  [36],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_REC_RESYNC, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
);

export const RQF_MDS_QUOTACTL = format(
  'MDS_QUOTACTL',
  [48],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_OBD_QUOTACTL],
  [RMF_PTLRPC_BODY, RMF_OBD_QUOTACTL, RMF_OBD_QUOTA_ITER],
);

export const RQF_MDS_HSM_PROGRESS = format(
  'MDS_HSM_PROGRESS',
  [57],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDS_HSM_PROGRESS],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_HSM_CT_REGISTER = format(
  'MDS_HSM_CT_REGISTER',
  [59],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDS_HSM_ARCHIVE],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_HSM_CT_UNREGISTER = format(
  'MDS_HSM_CT_UNREGISTER',
  [60],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_HSM_STATE_GET = format(
  'MDS_HSM_STATE_GET',
  [54],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_HSM_USER_STATE],
);

export const RQF_MDS_HSM_STATE_SET = format(
  'MDS_HSM_STATE_SET',
  [55],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1, RMF_HSM_STATE_SET],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_HSM_ACTION = format(
  'MDS_HSM_ACTION',
  [56],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDS_HSM_CURRENT_ACTION],
);

export const RQF_MDS_HSM_REQUEST = format(
  'MDS_HSM_REQUEST',
  [58],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_MDS_HSM_REQUEST, RMF_MDS_HSM_USER_ITEM, RMF_GENERIC_DATA],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_HSM_DATA_VERSION = format(
  'MDS_HSM_DATA_VERSION',
  [64],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_SWAP_LAYOUTS = format(
  'MDS_SWAP_LAYOUTS',
  [61],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_SWAP_LAYOUTS, RMF_CAPA1, RMF_CAPA2, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY],
);

export const RQF_MDS_RMFID = format(
  'MDS_RMFID',
  [62],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_FID_ARRAY, RMF_CAPA1, RMF_CAPA2],
  [RMF_PTLRPC_BODY, RMF_MDT_BODY, RMF_FID_ARRAY, RMF_RCS],
);

/** Large updates by bulk on MDS_BULK_PORTAL. */
export const RQF_OUT_UPDATE = format(
  'OUT_UPDATE',
  [1000],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_OUT_UPDATE_HEADER, RMF_OUT_UPDATE_BUF],
  [RMF_PTLRPC_BODY, RMF_OUT_UPDATE_REPLY],
);

export const RQF_OST_CONNECT = format(
  'OST_CONNECT',
  [8],
  0x10000,
  [RMF_PTLRPC_BODY, RMF_TGTUUID, RMF_CLUUID, RMF_CONN, RMF_CONNECT_DATA, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_CONNECT_DATA],
);

export const RQF_OST_DISCONNECT = format(
  'OST_DISCONNECT',
  [9],
  0x10000,
  [RMF_PTLRPC_BODY],
  [RMF_PTLRPC_BODY],
);

export const RQF_OST_QUOTACTL = format(
  'OST_QUOTACTL',
  [19],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OBD_QUOTACTL],
  [RMF_PTLRPC_BODY, RMF_OBD_QUOTACTL, RMF_OBD_QUOTA_ITER],
);

export const RQF_OST_GETATTR = format(
  'OST_GETATTR',
  [1],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_SETATTR = format(
  'OST_SETATTR',
  [2],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_CREATE = format(
  'OST_CREATE',
  [5],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_PUNCH = format(
  'OST_PUNCH',
  [10],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_FALLOCATE = format(
  'OST_FALLOCATE',
  [22],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_SYNC = format(
  'OST_SYNC',
  [16],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_DESTROY = format(
  'OST_DESTROY',
  [6],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_DLM_REQ, RMF_CAPA1],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

/** Bulk on OST_BULK_PORTAL; MDS_IO_PORTAL / MDC_REPLY_PORTAL for Data-on-MDT. */
export const RQF_OST_BRW_READ = format(
  'OST_BRW_READ',
  [3],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_OBD_IOOBJ, RMF_NIOBUF_REMOTE, RMF_CAPA1, RMF_SHORT_IO],
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_SHORT_IO],
);

/** Bulk on OST_BULK_PORTAL; MDS_IO_PORTAL / MDC_REPLY_PORTAL for Data-on-MDT. */
export const RQF_OST_BRW_WRITE = format(
  'OST_BRW_WRITE',
  [4],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_OBD_IOOBJ, RMF_NIOBUF_REMOTE, RMF_CAPA1, RMF_SHORT_IO],
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_RCS],
);

export const RQF_OST_STATFS = format(
  'OST_STATFS',
  [13],
  0x30000,
  [RMF_PTLRPC_BODY],
  [RMF_PTLRPC_BODY, RMF_OBD_STATFS],
);

/** Key grant_shrink. */
export const RQF_OST_SET_GRANT_INFO = format(
  'OST_SET_GRANT_INFO',
  [17],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_SETINFO_KEY, RMF_OST_BODY],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_GET_INFO = format(
  'OST_GET_INFO',
  [7],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_GETINFO_KEY],
  [RMF_PTLRPC_BODY, RMF_GENERIC_DATA],
);

/** Key last_id. */
export const RQF_OST_GET_INFO_LAST_ID = format(
  'OST_GET_INFO_LAST_ID',
  [7],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_GETINFO_KEY],
  [RMF_PTLRPC_BODY, RMF_OBD_ID],
);

/** Key last_fid. */
export const RQF_OST_GET_INFO_LAST_FID = format(
  'OST_GET_INFO_LAST_FID',
  [7],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_GETINFO_KEY, RMF_FID],
  [RMF_PTLRPC_BODY, RMF_FID],
);

export const RQF_OST_SET_INFO_LAST_FID = format(
  'OST_SET_INFO_LAST_FID',
  [17],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_SETINFO_KEY, RMF_SETINFO_VAL],
  [RMF_PTLRPC_BODY],
);

/** Key is struct ll_fiemap_info_key. */
export const RQF_OST_GET_INFO_FIEMAP = format(
  'OST_GET_INFO_FIEMAP',
  [7, 53],
  0,
  [RMF_PTLRPC_BODY, RMF_FIEMAP_KEY, RMF_FIEMAP_VAL],
  [RMF_PTLRPC_BODY, RMF_FIEMAP_VAL],
);

export const RQF_OST_LADVISE = format(
  'OST_LADVISE',
  [21],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY, RMF_OST_LADVISE_HDR, RMF_OST_LADVISE],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_OST_SEEK = format(
  'OST_SEEK',
  [23],
  0x30000,
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
  [RMF_PTLRPC_BODY, RMF_OST_BODY],
);

export const RQF_LDLM_ENQUEUE = format(
  'LDLM_ENQUEUE',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_DLM_LVB],
);

export const RQF_LDLM_ENQUEUE_LVB = format(
  'LDLM_ENQUEUE_LVB',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_DLM_LVB],
);

export const RQF_LDLM_CONVERT = format(
  'LDLM_CONVERT',
  [102],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_DLM_REP],
);

export const RQF_LDLM_CANCEL = format(
  'LDLM_CANCEL',
  [103],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY],
);

/** Generic server-to-client callback view. */
export const RQF_LDLM_CALLBACK = format(
  'LDLM_CALLBACK',
  [104, 105, 106],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY],
);

export const RQF_LDLM_CP_CALLBACK = format(
  'LDLM_CP_CALLBACK',
  [105],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_DLM_LVB],
  [RMF_PTLRPC_BODY],
);

export const RQF_LDLM_BL_CALLBACK = format(
  'LDLM_BL_CALLBACK',
  [104],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY],
);

export const RQF_LDLM_GL_CALLBACK = format(
  'LDLM_GL_CALLBACK',
  [106],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ],
  [RMF_PTLRPC_BODY, RMF_DLM_LVB],
);

export const RQF_LDLM_GL_CALLBACK_DESC = format(
  'LDLM_GL_CALLBACK',
  [106],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_DLM_GL_DESC],
  [RMF_PTLRPC_BODY, RMF_DLM_LVB],
);

export const RQF_LDLM_INTENT = format(
  'LDLM_INTENT',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_REC_REINT],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL],
);

export const RQF_LDLM_INTENT_BASIC = format(
  'LDLM_INTENT_BASIC',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_DLM_LVB],
);

export const RQF_LDLM_INTENT_LAYOUT = format(
  'LDLM_INTENT_LAYOUT',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_LAYOUT_INTENT, RMF_EADATA],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_DLM_LVB],
);

export const RQF_LDLM_INTENT_GETATTR = format(
  'LDLM_INTENT_GETATTR',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_MDT_BODY, RMF_CAPA1, RMF_NAME, RMF_FILE_SECCTX_NAME],
  [
    RMF_PTLRPC_BODY,
    RMF_DLM_REP,
    RMF_MDT_BODY,
    RMF_MDT_MD,
    RMF_ACL,
    RMF_CAPA1,
    RMF_FILE_SECCTX,
    RMF_DEFAULT_MDT_MD,
    RMF_FILE_ENCCTX,
  ],
);

export const RQF_LDLM_INTENT_OPEN = format(
  'LDLM_INTENT_OPEN',
  [101],
  0x40000,
  [
    RMF_PTLRPC_BODY,
    RMF_DLM_REQ,
    RMF_LDLM_INTENT,
    RMF_REC_CREATE,
    RMF_CAPA1,
    RMF_CAPA2,
    RMF_NAME,
    RMF_EADATA,
    RMF_FILE_SECCTX_NAME,
    RMF_FILE_SECCTX,
    RMF_SELINUX_POL,
    RMF_FILE_ENCCTX,
  ],
  [
    RMF_PTLRPC_BODY,
    RMF_DLM_REP,
    RMF_MDT_BODY,
    RMF_MDT_MD,
    RMF_ACL,
    RMF_CAPA1,
    RMF_CAPA2,
    RMF_NIOBUF_INLINE,
    RMF_FILE_SECCTX,
    RMF_FILE_ENCCTX,
    RMF_DEFAULT_MDT_MD,
  ],
);

export const RQF_LDLM_INTENT_CREATE = format(
  'LDLM_INTENT_CREATE',
  [101],
  0x40000,
  [
    RMF_PTLRPC_BODY,
    RMF_DLM_REQ,
    RMF_LDLM_INTENT,
    RMF_REC_CREATE,
    RMF_CAPA1,
    RMF_NAME,
    RMF_EADATA,
    RMF_FILE_SECCTX_NAME,
    RMF_FILE_SECCTX,
    RMF_SELINUX_POL,
    RMF_FILE_ENCCTX,
  ],
  [
    RMF_PTLRPC_BODY,
    RMF_DLM_REP,
    RMF_MDT_BODY,
    RMF_MDT_MD,
    RMF_ACL,
    RMF_CAPA1,
    RMF_FILE_SECCTX,
    RMF_DEFAULT_MDT_MD,
    RMF_FILE_ENCCTX,
  ],
);

export const RQF_LDLM_INTENT_GETXATTR = format(
  'LDLM_INTENT_GETXATTR',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_MDT_BODY, RMF_CAPA1, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_MDT_BODY, RMF_MDT_MD, RMF_ACL, RMF_EADATA, RMF_EAVALS, RMF_EAVALS_LENS],
);

export const RQF_LDLM_INTENT_QUOTA = format(
  'LDLM_INTENT_QUOTA',
  [101],
  0x40000,
  [RMF_PTLRPC_BODY, RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_QUOTA_BODY],
  [RMF_PTLRPC_BODY, RMF_DLM_REP, RMF_DLM_LVB, RMF_QUOTA_BODY],
);

export const RQF_QUOTA_DQACQ = format(
  'QUOTA_DQACQ',
  [601],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_QUOTA_BODY],
  [RMF_PTLRPC_BODY, RMF_QUOTA_BODY],
);

export const RQF_LLOG_ORIGIN_HANDLE_CREATE = format(
  'LLOG_ORIGIN_HANDLE_CREATE',
  [501],
  0x50000,
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY, RMF_NAME, RMF_MDT_BODY],
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY],
);

export const RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK = format(
  'LLOG_ORIGIN_HANDLE_NEXT_BLOCK',
  [502],
  0x50000,
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY],
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY, RMF_EADATA],
);

export const RQF_LLOG_ORIGIN_HANDLE_PREV_BLOCK = format(
  'LLOG_ORIGIN_HANDLE_PREV_BLOCK',
  [508],
  0x50000,
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY],
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY, RMF_EADATA],
);

export const RQF_LLOG_ORIGIN_HANDLE_READ_HEADER = format(
  'LLOG_ORIGIN_HANDLE_READ_HEADER',
  [503],
  0x50000,
  [RMF_PTLRPC_BODY, RMF_LLOGD_BODY],
  [RMF_PTLRPC_BODY, RMF_LLOG_LOG_HDR],
);

export const RQF_CONNECT = format(
  'CONNECT',
  [8, 38, 250],
  0x10000,
  [RMF_PTLRPC_BODY, RMF_TGTUUID, RMF_CLUUID, RMF_CONN, RMF_CONNECT_DATA, RMF_SELINUX_POL],
  [RMF_PTLRPC_BODY, RMF_CONNECT_DATA],
);

/** Sub-request carried inside RQF_MDS_BATCH (struct lustre_msg_v2 without ptlrpc_body); opcode is in lm_opc (alias lm_result in replies). */
export const RQF_BUT_GETATTR = format(
  'MDS_BATCH_GETATTR',
  [1],
  0,
  [RMF_DLM_REQ, RMF_LDLM_INTENT, RMF_MDT_BODY, RMF_CAPA1, RMF_NAME, RMF_FILE_SECCTX_NAME],
  [
    RMF_DLM_REP,
    RMF_MDT_BODY,
    RMF_MDT_MD,
    RMF_ACL,
    RMF_CAPA1,
    RMF_FILE_SECCTX,
    RMF_DEFAULT_MDT_MD,
    RMF_FILE_ENCCTX,
  ],
);

/** Large batches by bulk on MDS_BULK_PORTAL. */
export const RQF_MDS_BATCH = format(
  'MDS_BATCH',
  [63],
  0x20000,
  [RMF_PTLRPC_BODY, RMF_BUT_HEADER, RMF_BUT_BUF],
  [RMF_PTLRPC_BODY, RMF_BUT_REPLY],
);
