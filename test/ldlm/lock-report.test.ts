/** What the locks of both sides look like to those who look in, and the graphs of them. */
import { expect, test } from 'vitest';
import { graphviz, mermaid } from '../../lib/cli/lock-graph.ts';
import { reportClientLocks } from '../../lib/ldlm/client-report.ts';
import { reportServerLocks } from '../../lib/ldlm/server-report.ts';
import { LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { bits, EOF, extent, inSimulation, lockClient, lockServer, resource } from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_CR } = LockMode;

test(
  'holders, waiters, who waits for whom',
  inSimulation(async (sim) => {
    const { namespace } = await lockServer(sim);
    const [a, b] = [await lockClient(sim), await lockClient(sim)];
    const held = await a.locks.enqueue({
      resource: resource(1),
      type: LockType.LDLM_EXTENT,
      mode: LCK_PW,
      policy: extent(0, 4095),
    });
    const waiting = b.locks.enqueue({
      resource: resource(1),
      type: LockType.LDLM_EXTENT,
      mode: LCK_PR,
      policy: extent(0, EOF),
    });
    const inode = [0x200000401n, 7n, 0n, 0n] as const;
    const { lock } = await a.locks.enqueue({
      resource: inode,
      type: LockType.LDLM_IBITS,
      mode: LCK_PR,
      policy: bits(0x13),
    });
    a.locks.release(lock!);
    await b.locks.enqueue({
      resource: [0x62616cn, 0n, 0n, 0n],
      type: LockType.LDLM_PLAIN,
      mode: LCK_CR,
      policy: {},
    });
    const flock = { start: 5n, end: 9n, owner: 0xabcn, pid: 4 };
    await b.locks.enqueue({
      resource: [0x200000401n, 7n, 0n, 12n],
      type: LockType.LDLM_FLOCK,
      mode: LCK_PW,
      policy: { flock },
    });
    await sim.sleep(3000);
    const report = reportServerLocks(namespace);
    expect(report).toMatchObject({ target: 'demo-OST0000', side: 'server', locks: 5, resources: 4 });
    const [first, ...others] = report.shown;
    expect(first).toMatchObject({
      object: '[0x280000401:0x1:0x0]',
      type: 'extent',
      holders: [{ mode: 'PW', state: 'BLOCKING', what: '[0, EOF]', holder: `client-${a.nid}`, nid: a.nid }],
      waiters: [{ mode: 'PR', state: 'WAITING', what: '[0, EOF]', waitsFor: [first?.holders[0]?.id] }],
    });
    expect(first?.holders[0]?.wantedForMs).toBeGreaterThan(2900);
    expect(others).toMatchObject([
      { object: '[0x200000401:0x7:0x0]', type: 'ibits', holders: [{ what: 'LOOKUP|UPDATE|PERM' }] },
      { object: 'lab', type: 'plain', holders: [{ mode: 'CR', what: '' }] },
      {
        type: 'flock',
        holders: [{ mode: 'PW', what: '[5, 9]', holder: `client-${b.nid} owner 0xabc pid 4` }],
      },
    ]);
    expect(reportServerLocks(namespace, { contended: true }).shown).toEqual([first]);
    expect(reportServerLocks(namespace, { limit: 2 }).shown).toEqual([first, others[0]]);
    expect(reportClientLocks(a.locks)).toMatchObject({
      locks: 2,
      shown: [
        { holders: [{ state: 'CBPENDING', holder: '1 user' }] },
        { holders: [{ state: 'GRANTED', holder: 'unused' }] },
      ],
    });
    expect(reportClientLocks(b.locks, { contended: true }).shown).toMatchObject([
      { holders: [], waiters: [{ state: 'BLOCKED', mode: 'PR' }] },
    ]);
    a.locks.release(held.lock!);
    await waiting;
  }),
);

test('graphs have a node for each lock, and nothing of a name means anything in them', () => {
  const entry = { mode: 'PW', state: 'GRANTED', what: '', nid: '', wantedForMs: undefined, waitsFor: [] };
  const evil = 'x"];\n--><script>\\';
  const report = {
    target: 'demo-OST0000',
    side: 'server',
    locks: 2,
    resources: 1,
    shown: [
      {
        name: 'n',
        object: '',
        type: 'plain',
        holders: [{ ...entry, id: '0x1', holder: evil }],
        waiters: [{ ...entry, id: '0x2', state: 'WAITING', holder: 'b', waitsFor: ['0x1'] }],
      },
    ],
  } as const;
  expect(mermaid([report]).split('\n')).toEqual([
    'flowchart LR',
    '  subgraph r0["demo-OST0000 n plain"]',
    '    l0["PW<br>GRANTED<br>x?]??--??script??"]',
    '    l1(["PW<br>WAITING<br>b"])',
    '  end',
    '  l1 --> l0',
    '',
  ]);
  expect(graphviz([report])).toContain('    l0 [label="PW\\nGRANTED\\nx?]??--??script??"];');
});
