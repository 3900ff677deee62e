/** A plain tree with Linux's rules, to hold the namespace against. */
export type Kind = 'file' | 'directory' | 'symlink';

export interface Node {
  readonly id: number;
  readonly kind: Kind;
  nlink: number;
  readonly children: Map<string, Node>;
  parent: Node | undefined;
}

/** Errors of a model have only a code. */
export class ModelError extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export const fail = (code: string): never => {
  throw new ModelError(code);
};

function checkName(name: string): void {
  if (Buffer.byteLength(name) > 255) fail('ENAMETOOLONG');
  if (name === '' || name.includes('/') || name.includes('\0')) fail('EINVAL');
}

export class ModelTree {
  readonly root: Node = { id: 1, kind: 'directory', nlink: 2, children: new Map(), parent: undefined };

  #directory(node: Node): Node {
    if (node.kind !== 'directory') fail('ENOTDIR');
    if (node.nlink === 0) fail('ENOENT');
    return node;
  }

  create(parent: Node, name: string, kind: Kind, id: number): Node {
    checkName(name);
    this.#directory(parent);
    if (name === '.' || name === '..' || parent.children.has(name)) fail('EEXIST');
    const node: Node = {
      id,
      kind,
      nlink: kind === 'directory' ? 2 : 1,
      children: new Map(),
      parent: kind === 'directory' ? parent : undefined,
    };
    parent.children.set(name, node);
    if (kind === 'directory') parent.nlink++;
    return node;
  }

  link(node: Node, parent: Node, name: string): void {
    if (node === parent) fail('EPERM');
    if (node.nlink === 0) fail('ENOENT');
    checkName(name);
    this.#directory(parent);
    if (name === '.' || name === '..' || parent.children.has(name)) fail('EEXIST');
    if (node.kind === 'directory') fail('EPERM');
    node.nlink++;
    parent.children.set(name, node);
  }

  unlink(parent: Node, name: string, directory: boolean): void {
    checkName(name);
    this.#directory(parent);
    if (name === '.') fail('EINVAL');
    if (name === '..') fail('ENOTEMPTY');
    const node = parent.children.get(name) ?? fail('ENOENT');
    if (directory && node.kind !== 'directory') fail('ENOTDIR');
    if (!directory && node.kind === 'directory') fail('EISDIR');
    if (directory && node.children.size > 0) fail('ENOTEMPTY');
    parent.children.delete(name);
    this.#dropLink(parent, node);
  }

  #dropLink(parent: Node, node: Node): void {
    if (node.kind === 'directory') {
      node.nlink = 0;
      parent.nlink--;
    } else node.nlink--;
  }

  rename(from: Node, fromName: string, to: Node, toName: string): void {
    for (const name of [fromName, toName]) {
      checkName(name);
      if (name === '.' || name === '..') fail('EINVAL');
    }
    this.#directory(from);
    this.#directory(to);
    const node = from.children.get(fromName) ?? fail('ENOENT');
    const target = to.children.get(toName);
    const isWithin = (child: Node | undefined, above: Node): boolean =>
      child !== undefined && (child === above || isWithin(child.parent, above));
    if (node.kind === 'directory' && isWithin(to, node)) fail('EINVAL');
    if (target !== undefined && isWithin(from, target)) fail('ENOTEMPTY');
    if (target === node) return;
    if (target !== undefined) {
      if (node.kind === 'directory' && target.kind !== 'directory') fail('ENOTDIR');
      if (node.kind !== 'directory' && target.kind === 'directory') fail('EISDIR');
      if (target.children.size > 0) fail('ENOTEMPTY');
      this.#dropLink(to, target);
    }
    from.children.delete(fromName);
    to.children.set(toName, node);
    if (node.kind === 'directory' && from !== to) {
      from.nlink--;
      to.nlink++;
      node.parent = to;
    }
  }
}
