/**
 * The options of `lfs setstripe` (guide 17): what stands behind `-E` is that component's, what stands behind `-N` begins a
 * mirror, so their order counts.
 */
import { InvalidArgumentError } from 'commander';
import type { ComponentOptions, ComponentStriping, StripingOptions } from '../layout/striping.ts';
import { parseSize } from './output.ts';

type Draft = { -readonly [K in keyof ComponentOptions]?: ComponentOptions[K] };

const NAMES: Readonly<Record<string, string>> = {
  '--component-end': '-E',
  '--stripe-count': '-c',
  '--overstripe-count': '-C',
  '--stripe-size': '-S',
  '--stripe-index': '-i',
  '--ost-list': '-o',
  '--ost': '-o',
  '--pool': '-p',
  '--layout': '-L',
  '--extension-size': '-z',
  '--ext-size': '-z',
  '--mirror-count': '-N',
  '--flags': '--flags',
};

/** Reads the words behind the command, without paths. Throws InvalidArgumentError. */
export function parseComponents(words: readonly string[]): StripingOptions {
  const builder = new Builder();
  for (let i = 0; i < words.length; i++) {
    const { option, attached } = split(words[i]!);
    // A count of mirrors, where there is one, is attached.
    if (option === '-N') builder.mirror(attached);
    else {
      const value = attached ?? words[++i];
      if (value === undefined) throw new InvalidArgumentError(`${option} needs a value`);
      builder.set(option, value);
    }
  }
  return builder.options();
}

function split(word: string): { option: string; attached: string | undefined } {
  const equals = word.indexOf('=');
  if (word.startsWith('--')) {
    const name = equals === -1 ? word : word.slice(0, equals);
    return { option: known(name), attached: equals === -1 ? undefined : word.slice(equals + 1) };
  }
  return { option: word.slice(0, 2), attached: word.length > 2 ? word.slice(2) : undefined };
}

function known(name: string): string {
  const option = NAMES[name];
  if (option === undefined) throw new InvalidArgumentError(`there is no option ${name}`);
  return option;
}

class Builder {
  readonly #mirrors: { copies: number; components: Draft[] }[] = [];
  #mirrored = false;

  get #mirror(): { copies: number; components: Draft[] } {
    if (this.#mirrors.length === 0) this.#mirrors.push({ copies: 1, components: [] });
    return this.#mirrors.at(-1)!;
  }

  /** The component that an option is for; a layout without components is one draft without an end. */
  get #draft(): Draft {
    const { components } = this.#mirror;
    if (components.length === 0) components.push({});
    return components.at(-1)!;
  }

  mirror(count: string | undefined): void {
    const copies = count === undefined ? 1 : integer(count, 1);
    this.#mirrored = true;
    this.#mirrors.push({ copies, components: [] });
  }

  set(option: string, value: string): void {
    switch (option) {
      case '-E':
        this.#mirror.components.push({ end: endOf(value) });
        return;
      case '-c':
        this.#draft.stripeCount = integer(value, -1);
        return;
      case '-C':
        Object.assign(this.#draft, { stripeCount: integer(value, 1), overstripe: true });
        return;
      case '-S':
        this.#draft.stripeSize = sizeOf(value);
        return;
      case '-i':
        this.#draft.stripeOffset = integer(value, -1);
        return;
      case '-o':
        this.#setOsts(indices(value));
        return;
      case '-p':
        this.#draft.pool = value;
        return;
      case '-L':
        this.#draft.pattern = patternOf(value);
        return;
      case '-z':
        this.#draft.extensionSize = sizeOf(value);
        return;
      case '--flags':
        this.#draft.flags = flagsOf(value);
        return;
      default:
        throw new InvalidArgumentError(`there is no option ${option}`);
    }
  }

  /** A list of one is a first OST, as lfs sends it for a component. */
  #setOsts(osts: number[]): void {
    const draft = this.#draft;
    if (osts.length === 1 && (this.#mirrored || draft.end !== undefined)) draft.stripeOffset = osts[0]!;
    else draft.osts = osts;
  }

  options(): StripingOptions {
    const plain = this.#mirror.components[0];
    if (!this.#mirrored && (plain === undefined || plain.end === undefined)) {
      const { pattern, extensionSize, flags, ...striping } = plain ?? {};
      if (pattern === 'mdt' || extensionSize !== undefined || flags !== undefined)
        throw new InvalidArgumentError('-L mdt, -z and --flags are of components: give -E');
      return striping satisfies ComponentStriping;
    }
    const components = this.#mirrors.flatMap(({ copies, components: drafts }) => {
      const list = drafts.length === 0 ? [{}] : drafts;
      return Array.from({ length: copies }, () => list).flatMap((copy) =>
        copy.map((draft, i) => ({ draft, first: i === 0 })),
      );
    });
    return {
      components: components.map(
        ({ draft, first }, i): ComponentOptions => ({
          end: Number.POSITIVE_INFINITY,
          ...draft,
          ...(first && i > 0 && { newMirror: true }),
        }),
      ),
    };
  }
}

function integer(text: string, least: number): number {
  const n = Number(text);
  if (text === '' || !Number.isInteger(n) || n < least)
    throw new InvalidArgumentError(`'${text}' is no whole number from ${least}`);
  return n;
}

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (size === undefined || size === 0 || size % 65536 !== 0)
    throw new InvalidArgumentError(`'${text}' is no multiple of 64k, for example 4M`);
  return size;
}

function endOf(text: string): number {
  return text === '-1' || text.toLowerCase() === 'eof' ? Number.POSITIVE_INFINITY : sizeOf(text);
}

function patternOf(text: string): 'raid0' | 'mdt' {
  if (text === 'mdt' || text === 'raid0') return text;
  throw new InvalidArgumentError(`'${text}' is no layout: mdt or raid0`);
}

function flagsOf(text: string): NonNullable<ComponentOptions['flags']> {
  return text.split(',').map((name) => {
    if (name === 'prefer' || name === 'prefrd' || name === 'prefwr' || name === 'nosync') return name;
    throw new InvalidArgumentError(`'${name}' is no flag: prefer, prefrd, prefwr or nosync`);
  });
}

/** `0,3-5` */
function indices(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [from = '', to = from] = part.split('-');
    const first = integer(from, 0);
    const last = integer(to, first);
    if (last - first > 2000) throw new InvalidArgumentError(`'${part}' are too many OSTs`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
