/** What a target granted, less what this client was told to use of it. */
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';

const PAGE = 4096;

export class DataLimits {
  readonly #connection: { readonly granted: ObdConnectData };
  /** Most pages in a data request (max_pages_per_rpc); undefined: what the server takes. */
  pagesMax: number | undefined;
  #last:
    | { readonly from: ObdConnectData; readonly pages: number; readonly granted: ObdConnectData }
    | undefined;

  constructor(connection: { readonly granted: ObdConnectData }) {
    this.#connection = connection;
  }

  get granted(): ObdConnectData {
    const { granted } = this.#connection;
    const { pagesMax: pages } = this;
    if (pages === undefined) return granted;
    if (this.#last?.from !== granted || this.#last.pages !== pages) {
      const bytes = Math.max(1, pages) * PAGE;
      const negotiated = (granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_BRW_SIZE) !== 0n;
      const most = negotiated ? granted.ocd_brw_size : 1 << 20;
      this.#last = {
        from: granted,
        pages,
        granted: {
          ...granted,
          ocd_connect_flags: granted.ocd_connect_flags | ConnectFlag.OBD_CONNECT_BRW_SIZE,
          ocd_brw_size: Math.min(most, bytes),
        },
      };
    }
    return this.#last.granted;
  }
}
