/**
 * `npm run diagrams`: writes docs/state-machines.md from the state tables of lib/. test/docs.test.ts fails where the page and the
 * tables have drifted apart.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { exportStates } from '../lib/connection/export-states.ts';
import { importStates } from '../lib/connection/import-states.ts';
import { clientLockStates } from '../lib/ldlm/client-lock-states.ts';
import { serverLockStates } from '../lib/ldlm/server-lock-states.ts';
import { logCursorStates } from '../lib/llog/log-cursor-states.ts';
import { mermaid } from '../lib/runtime/automaton.ts';
import { ospStates } from '../lib/server/mds/osp-states.ts';

const sections: readonly [title: string, file: string, about: string, diagram: string][] = [
  [
    'Import',
    'lib/connection/import-states.ts',
    "a client's end of the connection to one target",
    mermaid(importStates),
  ],
  [
    'Export',
    'lib/connection/export-states.ts',
    'one client of one target, as the server sees it',
    mermaid(exportStates),
  ],
  [
    'Lock, client side',
    'lib/ldlm/client-lock-states.ts',
    'a lock as its holder sees it',
    mermaid(clientLockStates),
  ],
  [
    'Lock, server side',
    'lib/ldlm/server-lock-states.ts',
    'a lock as the lock manager sees it',
    mermaid(serverLockStates),
  ],
  ['Log cursor', 'lib/llog/log-cursor-states.ts', 'the reader of a remote log', mermaid(logCursorStates)],
  [
    'OSP',
    'lib/server/mds/osp-states.ts',
    'an MDT as a client of one OST: precreated objects',
    mermaid(ospStates),
  ],
];

/** The whole page. */
export function stateMachinesPage(): string {
  const parts = sections.map(
    ([title, file, about, diagram]) =>
      `## ${title}\n\n[${file}](../${file}): ${about}.\n\n\`\`\`mermaid\n${diagram}\`\`\`\n`,
  );
  return `# State machines\n\nPrinted from the tables in \`*-states.ts\` by \`npm run diagrams\`. An event that a state has no row for is the protocol error
\`ERR_LUSTRE_UNEXPECTED_EVENT\`.\n\n${parts.join('\n')}`;
}

const page = fileURLToPath(new URL('../docs/state-machines.md', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(page, stateMachinesPage());
