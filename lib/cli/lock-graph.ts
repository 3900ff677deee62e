/** Reports of locks as graphs: a box a resource, a node a lock, an arrow from who waits to what is waited for. */
import type { LockReport } from '../index.ts';

type Resource = LockReport['shown'][number];
type Entry = Resource['holders'][number];

interface Node {
  readonly id: string;
  readonly lines: readonly string[];
  readonly waits: boolean;
}

interface Box {
  readonly id: string;
  readonly title: string;
  readonly nodes: readonly Node[];
}

interface Graph {
  readonly boxes: readonly Box[];
  readonly arrows: readonly (readonly [string, string])[];
}

function graphOf(reports: readonly LockReport[]): Graph {
  const arrows: [string, string][] = [];
  let resources = 0;
  let locks = 0;
  const boxes = reports.flatMap(({ target, shown }) =>
    shown.map((resource): Box => {
      const ids = new Map<string, string>();
      for (const { id } of [...resource.holders, ...resource.waiters]) ids.set(id, `l${locks++}`);
      for (const { id, waitsFor } of resource.waiters)
        for (const other of waitsFor) arrows.push([ids.get(id)!, ids.get(other) ?? ids.get(id)!]);
      const node = (entry: Entry, waits: boolean): Node => ({
        id: ids.get(entry.id)!,
        lines: linesOf(entry),
        waits,
      });
      const title = `${target} ${resource.object === '' ? resource.name : resource.object} ${resource.type}`;
      return {
        id: `r${resources++}`,
        title,
        nodes: [
          ...resource.holders.map((entry) => node(entry, false)),
          ...resource.waiters.map((entry) => node(entry, true)),
        ],
      };
    }),
  );
  return { boxes, arrows };
}

function linesOf({ mode, what, state, holder, nid }: Entry): string[] {
  return [`${mode} ${what}`.trim(), state, nid === '' ? holder : `${holder} ${nid}`];
}

/** Nothing that a quoted label of either language gives a meaning to. */
const plain = (text: string): string => text.replaceAll(/["\\<>&#;`\n\r]/g, '?');

/** As a Mermaid flowchart: rounded nodes wait. */
export function mermaid(reports: readonly LockReport[]): string {
  const { boxes, arrows } = graphOf(reports);
  const lines = ['flowchart LR'];
  for (const { id, title, nodes } of boxes) {
    lines.push(`  subgraph ${id}["${plain(title)}"]`);
    for (const node of nodes) {
      const label = `"${node.lines.map(plain).join('<br>')}"`;
      lines.push(`    ${node.id}${node.waits ? `([${label}])` : `[${label}]`}`);
    }
    lines.push('  end');
  }
  for (const [from, to] of arrows) lines.push(`  ${from} --> ${to}`);
  return `${lines.join('\n')}\n`;
}

/** As a Graphviz digraph: dashed nodes wait. */
export function graphviz(reports: readonly LockReport[]): string {
  const { boxes, arrows } = graphOf(reports);
  const lines = ['digraph locks {', '  rankdir=LR;', '  node [shape=box];'];
  for (const { id, title, nodes } of boxes) {
    lines.push(`  subgraph cluster_${id} {`, `    label="${plain(title)}";`);
    for (const node of nodes) {
      const style = node.waits ? ', style=dashed' : '';
      lines.push(`    ${node.id} [label="${node.lines.map(plain).join('\\n')}"${style}];`);
    }
    lines.push('  }');
  }
  for (const [from, to] of arrows) lines.push(`  ${from} -> ${to};`);
  return `${[...lines, '}'].join('\n')}\n`;
}
