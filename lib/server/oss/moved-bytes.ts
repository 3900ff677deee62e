/** Which way the bytes of an OST's reads and writes went: plain counts for people who look in. */

/** Bytes since the start, of requests that succeeded. */
export interface WaysMoved {
  /** Between an object's file and the network, without memory of ours. */
  straight: number;
  /** Through bulk memory: what has T10 checksums, writes of which a part is beyond the space left, and stores that are no files. */
  slabs: number;
  /** Inside the messages. */
  messages: number;
}

export interface MovedBytes {
  readonly read: WaysMoved;
  readonly written: WaysMoved;
}

const none = (): WaysMoved => ({ straight: 0, slabs: 0, messages: 0 });

export const nothingMoved = (): MovedBytes => ({ read: none(), written: none() });
