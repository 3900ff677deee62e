/** A type whose fields may be filled again: for objects that are used for one message after the other. */
export type Writable<T> = { -readonly [K in keyof T]: T[K] };
