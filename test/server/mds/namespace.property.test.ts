import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Fid, ROOT_FID } from '../../../lib/fid/fid.ts';
import { SUPERUSER } from '../../../lib/server/mds/credential.ts';
import { decodeLinks } from '../../../lib/server/mds/link-ea.ts';
import { create, link } from '../../../lib/server/mds/namespace-create.ts';
import { unlink } from '../../../lib/server/mds/namespace-remove.ts';
import { rename } from '../../../lib/server/mds/namespace-rename.ts';
import { type Kind, ModelTree, type Node } from './namespace-model.ts';
import { type Bench, bench, bytes, fid } from './namespace-setup.ts';

const typeBits = { file: 0o100644, directory: 0o40755, symlink: 0o120777 } as const;
const name = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'longer name', 'ü') },
  { weight: 1, arbitrary: fc.constantFrom('.', '..', '', 'x/y', 'n'.repeat(256), 'm'.repeat(255)) },
);
/** Which of the objects made so far. */
const pick = fc.nat(30);
const step = fc.oneof(
  fc.record({
    op: fc.constant('create' as const),
    kind: fc.constantFrom<Kind>('file', 'directory', 'directory', 'symlink'),
    parent: pick,
    name,
  }),
  fc.record({ op: fc.constant('link' as const), node: pick, parent: pick, name }),
  fc.record({ op: fc.constant('unlink' as const), parent: pick, name, directory: fc.boolean() }),
  fc.record({ op: fc.constant('rename' as const), from: pick, fromName: name, to: pick, toName: name }),
);
type Step = (typeof step)['generate'] extends (...a: never[]) => { value: infer T } ? T : never;

async function outcome(work: () => unknown): Promise<string> {
  try {
    await work();
    return 'ok';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

class Pair {
  readonly model = new ModelTree();
  readonly nodes: Node[] = [this.model.root];
  readonly b: Bench;
  #next = 2;

  constructor(b: Bench) {
    this.b = b;
  }

  node(n: number): Node {
    return this.nodes[n % this.nodes.length]!;
  }

  fidOf(node: Node): Fid {
    return node.id === 1 ? ROOT_FID : fid(node.id);
  }

  /** Gives what the model and what the namespace said. */
  async apply(s: Step): Promise<[string, string]> {
    const { b, model } = this;
    switch (s.op) {
      case 'create': {
        const parent = this.node(s.parent);
        const id = this.#next++;
        const want = await outcome(() => this.nodes.push(model.create(parent, s.name, s.kind, id)));
        const made = {
          parent: this.fidOf(parent),
          name: bytes(s.name),
          fid: fid(id),
          mode: typeBits[s.kind],
          umask: 0,
          time: 1n,
          target: bytes('to'),
        };
        return [want, await outcome(() => b.edit((ns) => create(ns, SUPERUSER, made)))];
      }
      case 'link': {
        const node = this.node(s.node);
        const parent = this.node(s.parent);
        const o = { fid: this.fidOf(node), parent: this.fidOf(parent), name: bytes(s.name), time: 2n };
        const want = await outcome(() => model.link(node, parent, s.name));
        return [want, await outcome(() => b.edit((ns) => link(ns, SUPERUSER, o)))];
      }
      case 'unlink': {
        const parent = this.node(s.parent);
        const o = { parent: this.fidOf(parent), name: bytes(s.name), directory: s.directory, time: 3n };
        const want = await outcome(() => model.unlink(parent, s.name, s.directory));
        return [want, await outcome(() => b.edit((ns) => unlink(ns, SUPERUSER, o, b.context)))];
      }
      case 'rename': {
        const from = this.node(s.from);
        const to = this.node(s.to);
        const o = {
          sourceParent: this.fidOf(from),
          sourceName: bytes(s.fromName),
          targetParent: this.fidOf(to),
          targetName: bytes(s.toName),
          time: 4n,
        };
        const want = await outcome(() => model.rename(from, s.fromName, to, s.toName));
        return [want, await outcome(() => b.edit((ns) => rename(ns, SUPERUSER, o, b.context)))];
      }
    }
  }

  compare(node: Node = this.model.root): void {
    const f = this.fidOf(node);
    const { view } = this.b;
    expect(view.inode(f).nlink).toBe(node.nlink);
    if (node.kind !== 'directory') return;
    const listed = [...view.entries(f)].map((e) => Buffer.from(e.name).toString());
    expect(listed.slice(0, 2)).toEqual(['.', '..']);
    expect(listed.slice(2).sort()).toEqual([...node.children.keys()].sort());
    expect(view.inode(f).parent).toEqual(this.fidOf(node.parent ?? node));
    for (const [childName, child] of node.children) {
      const childFid = this.fidOf(child);
      expect(view.lookup(f, bytes(childName))?.fid).toEqual(childFid);
      const links = decodeLinks(view.xattr(childFid, 'trusted.link'));
      expect(links).toHaveLength(child.kind === 'directory' ? 1 : child.nlink);
      expect(
        links.some((l) => l.parent.f_oid === f.f_oid && Buffer.from(l.name).toString() === childName),
      ).toBe(true);
      this.compare(child);
    }
  }
}

it('agrees with a plain tree: results, errors, link counts, names, link EAs', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const pair = new Pair(await bench());
      for (const s of steps) {
        const [want, have] = await pair.apply(s);
        // An object without names is gone, and with it the reason why it would have been refused.
        if (want !== have) expect([want, have]).toEqual(['ENOTDIR', 'ENOENT']);
      }
      pair.compare();
    }),
    { numRuns: 150 },
  );
});
