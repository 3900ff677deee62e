/** An open file at its MDT (guide 06 §4.1): a handle, and how it is opened again where the MDT was started again. */
import { intentOnly, withoutLock } from '../../ldlm/lock-replay.ts';
import type { MadeState } from '../../rpc/rpc.ts';
import type { ReplyValues, RequestInputs } from '../../wire/format.ts';
import type { RQF_LDLM_INTENT_OPEN } from '../../wire/formats.ts';
import { LovConstant } from '../../wire/layout-constants.ts';
import { LovMdsMdV1 } from '../../wire/layout-structs.ts';

type Request = RequestInputs<typeof RQF_LDLM_INTENT_OPEN>;
export type OpenReply = ReplyValues<typeof RQF_LDLM_INTENT_OPEN>;

export class OpenState implements MadeState {
  #handle: bigint;

  constructor(handle = 0n) {
    this.#handle = handle;
  }

  /** mbo_open_handle: 0n where the MDT gave none (devices). Another one after a restart. */
  get handle(): bigint {
    return this.#handle;
  }

  get made(): boolean {
    return this.#handle !== 0n;
  }

  /** The open with what its reply says: the FID and the layout that it found or made, and the handle that it replaces. */
  opened(request: Request, { mdt_body: body, mdt_md }: OpenReply): object {
    if (body === undefined) return intentOnly(request);
    this.#handle = body.mbo_open_handle;
    const layout = mdt_md?.slice(0, body.mbo_eadatasize) ?? new Uint8Array(0);
    // As kernels send it: whatever generation it had, an MDT reads a wish for an OST there (captures/08, pkt 375, 378).
    if (mdt_md !== undefined && isPlain(mdt_md, layout.length))
      layout.fill(0xff, STRIPE_OFFSET, STRIPE_OFFSET + 2);
    return {
      ...request,
      dlm_req: withoutLock(request.dlm_req),
      rec_reint: { ...request.rec_reint, cr_fid2: body.mbo_fid1, cr_open_handle_old: this.#handle },
      eadata: layout.length > 0 ? layout : request.eadata,
    };
  }

  remade(reply: object): void {
    const { mdt_body } = reply as OpenReply;
    if (mdt_body !== undefined && mdt_body.mbo_open_handle !== 0n) this.#handle = mdt_body.mbo_open_handle;
  }
}

/** Of lmm_stripe_offset, which is lmm_layout_gen in what an MDT answers. */
const STRIPE_OFFSET = LovMdsMdV1.fields.lmm_layout_gen![0];

/** Not of several components. Of the message, whose memory has a view already: to make one for a copy costs more than all the rest. */
function isPlain(layout: Uint8Array, length: number): boolean {
  if (length < LovMdsMdV1.size) return false;
  const { lmm_magic } = LovMdsMdV1.view(layout);
  return lmm_magic === LovConstant.LOV_MAGIC_V1 || lmm_magic === LovConstant.LOV_MAGIC_V3;
}
