/**
 * Extents of one resource by where they lie: an AVL tree by start, each node with the furthest end below it, so that those
 * which overlap a range are found without looking at the others (guide 08 §3.3).
 */
import type { Extent } from './lock.ts';

interface Node<T> {
  readonly item: T;
  readonly start: bigint;
  readonly end: bigint;
  /** Tells apart what starts at the same byte. */
  readonly order: number;
  height: number;
  furthest: bigint;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

export class ExtentTree<T> {
  #root: Node<T> | undefined;
  #order = 0;
  readonly #nodes = new Map<T, Node<T>>();

  get size(): number {
    return this.#nodes.size;
  }

  add(item: T, { start, end }: Extent): void {
    this.delete(item);
    const node: Node<T> = {
      item,
      start,
      end,
      order: this.#order++,
      height: 1,
      furthest: end,
      left: undefined,
      right: undefined,
    };
    this.#nodes.set(item, node);
    this.#root = insert(this.#root, node);
  }

  delete(item: T): void {
    const node = this.#nodes.get(item);
    if (node === undefined) return;
    this.#nodes.delete(item);
    this.#root = remove(this.#root, node);
  }

  /** What overlaps the bytes from `start` to `end`, by start, added to `found`. */
  overlapping(start: bigint, end: bigint, found: T[] = []): T[] {
    collect(this.#root, start, end, found);
    return found;
  }

  /** The lowest start above `position`. */
  startAbove(position: bigint): bigint | undefined {
    let best: bigint | undefined;
    let node = this.#root;
    while (node !== undefined) {
      if (node.start > position) {
        best = node.start;
        node = node.left;
      } else node = node.right;
    }
    return best;
  }
}

function collect<T>(node: Node<T> | undefined, start: bigint, end: bigint, found: T[]): void {
  if (node === undefined || node.furthest < start) return;
  collect(node.left, start, end, found);
  if (node.start > end) return;
  if (node.end >= start) found.push(node.item);
  collect(node.right, start, end, found);
}

function before<T>(a: Node<T>, b: Node<T>): boolean {
  return a.start < b.start || (a.start === b.start && a.order < b.order);
}

function insert<T>(at: Node<T> | undefined, node: Node<T>): Node<T> {
  if (at === undefined) return node;
  if (before(node, at)) at.left = insert(at.left, node);
  else at.right = insert(at.right, node);
  return balance(at);
}

function remove<T>(at: Node<T> | undefined, node: Node<T>): Node<T> | undefined {
  if (at === undefined) return undefined;
  if (at === node) {
    if (at.left === undefined) return at.right;
    if (at.right === undefined) return at.left;
    const next = lowest(at.right);
    next.right = removeLowest(at.right);
    next.left = at.left;
    return balance(next);
  }
  if (before(node, at)) at.left = remove(at.left, node);
  else at.right = remove(at.right, node);
  return balance(at);
}

function lowest<T>(at: Node<T>): Node<T> {
  let node = at;
  while (node.left !== undefined) node = node.left;
  return node;
}

function removeLowest<T>(at: Node<T>): Node<T> | undefined {
  if (at.left === undefined) return at.right;
  at.left = removeLowest(at.left);
  return balance(at);
}

const heightOf = (node: Node<unknown> | undefined): number => node?.height ?? 0;

function update<T>(node: Node<T>): void {
  const { left, right } = node;
  node.height = 1 + Math.max(heightOf(left), heightOf(right));
  node.furthest = node.end;
  if (left !== undefined && left.furthest > node.furthest) node.furthest = left.furthest;
  if (right !== undefined && right.furthest > node.furthest) node.furthest = right.furthest;
}

function balance<T>(node: Node<T>): Node<T> {
  const lean = heightOf(node.left) - heightOf(node.right);
  if (lean > 1 && node.left !== undefined) {
    if (heightOf(node.left.left) < heightOf(node.left.right)) node.left = rotateLeft(node.left);
    return rotateRight(node);
  }
  if (lean < -1 && node.right !== undefined) {
    if (heightOf(node.right.right) < heightOf(node.right.left)) node.right = rotateRight(node.right);
    return rotateLeft(node);
  }
  update(node);
  return node;
}

function rotateRight<T>(node: Node<T>): Node<T> {
  const up = node.left!;
  node.left = up.right;
  up.right = node;
  update(node);
  update(up);
  return up;
}

function rotateLeft<T>(node: Node<T>): Node<T> {
  const up = node.right!;
  node.right = up.left;
  up.left = node;
  update(node);
  update(up);
  return up;
}
