/** What a buffer's content depends on beside its field: the opcode, the intent or reint, and the key of an info request. */
export interface ContentContext {
  readonly opcode: number;
  readonly detail: string;
  readonly key: string;
}

export interface SidedContext extends ContentContext {
  readonly side: 'request' | 'reply';
}
