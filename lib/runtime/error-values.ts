/** Errors as plain values, for another thread: structured cloning keeps an Error's text but loses its class and fields. */
import { LustreError, ProtocolError } from './errors.ts';

const CAUSES_MAX = 8;
const fields = ['syscall', 'path', 'dest', 'fid', 'target', 'nid', 'opcode'] as const;

export interface ErrorValue {
  readonly kind: 'lustre' | 'protocol' | 'other';
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly errno: number | undefined;
  readonly context: { readonly [field in (typeof fields)[number]]?: string };
  readonly cause: ErrorValue | undefined;
}

/** Anything that was thrown, as a value. Of a chain of causes the first eight. */
export function errorValue(thrown: unknown, causes = CAUSES_MAX): ErrorValue {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const { code, errno } = error as Error & { code?: unknown; errno?: unknown };
  const context: Record<string, string> = {};
  if (error instanceof LustreError) {
    for (const field of fields) {
      const value = error[field];
      if (value !== undefined) context[field] = value;
    }
  }
  return {
    kind: error instanceof ProtocolError ? 'protocol' : error instanceof LustreError ? 'lustre' : 'other',
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: typeof code === 'string' ? code : undefined,
    errno: typeof errno === 'number' ? errno : undefined,
    context,
    cause: error.cause === undefined || causes === 0 ? undefined : errorValue(error.cause, causes - 1),
  };
}

/** The error that a value was made of: same class, fields, message and stack. */
export function errorOf(value: ErrorValue): Error {
  const { kind, name, message, stack, code, errno, context } = value;
  const cause = value.cause === undefined ? undefined : errorOf(value.cause);
  const Kind = kind === 'protocol' ? ProtocolError : LustreError;
  const error =
    kind === 'other'
      ? Object.assign(new Error(message, cause && { cause }), code && { code }, errno && { errno })
      : new Kind(code ?? '', '', { ...context, cause }, errno);
  // The constructor would describe the context a second time.
  error.message = message;
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}
