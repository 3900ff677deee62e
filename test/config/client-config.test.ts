/** What a client makes of configuration records (guide 14 §4), well-formed and not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigInterpreter } from '../../lib/config/client-config.ts';
import { configResource } from '../../lib/config/config-lock.ts';
import { decodeConfigRecord, encodeConfigRecord } from '../../lib/config/config-record.ts';
import type { LlogRecord } from '../../lib/llog/record.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import {
  addMdc,
  addOsc,
  addOst,
  blockRecords,
  type ConfigBlock,
  lmvSetup,
  lovSetup,
  mountOptions,
} from '../../lib/server/mgs/config-blocks.ts';
import { ConfigCommand as C, MarkerFlag } from '../../lib/wire/connection-constants.ts';
import { CfgMarker } from '../../lib/wire/connection-structs.ts';
import { LlogRecType } from '../../lib/wire/llog-constants.ts';

const log = nodeRuntime().log;
const asRecords = (payloads: readonly Uint8Array[]): LlogRecord[] =>
  payloads.map((payload, i) => ({ index: i + 1, type: LlogRecType.OBD_CFG_REC, id: 0, payload }));
const block = (b: ConfigBlock, flags = 0): Uint8Array[] => {
  const [start, ...rest] = blockRecords(b, 1, 0n, 0x02110000);
  if (flags === 0) return [start!, ...rest];
  const marker = CfgMarker.encode({ cm_flags: MarkerFlag.CM_START | flags, cm_tgtname: b.target });
  return [encodeConfigRecord(C.LCFG_MARKER, ['', marker]), ...rest];
};
const inBlock = (...commands: Uint8Array[]) => block({ target: 'x', comment: 'y', commands });
const base = [
  ...block(lovSetup('demo-clilov', 'demo-clilov')),
  ...block(lmvSetup('demo-clilmv')),
  ...block(mountOptions('demo')),
  ...block(
    addMdc('demo', { kind: 'mdt', index: 0, nodes: [['10.0.0.1@tcp'], ['10.0.0.2@tcp', '10.0.1.2@tcp1']] }),
  ),
];
const ost = (index: number, nid = '10.0.0.3@tcp') => addOsc('demo', { kind: 'ost', index, nodes: [[nid]] });

function interpret(payloads: readonly Uint8Array[]) {
  const interpreter = new ConfigInterpreter('demo-client', log);
  interpreter.run(asRecords(payloads));
  return interpreter.config('demo');
}

describe('the client configuration', () => {
  it('knows failover nodes and several NIDs of a node', () => {
    const { mdts } = interpret(base);
    expect(mdts[0]!.nids).toEqual([['10.0.0.1@tcp'], ['10.0.0.2@tcp', '10.0.1.2@tcp1']]);
  });

  it('passes over what is superseded, outside of markers or optional and unknown', () => {
    const config = interpret([
      ...base,
      ...block(ost(0, '10.9.9.9@tcp'), MarkerFlag.CM_SKIP),
      ...ost(7).commands,
      ...inBlock(encodeConfigRecord(0xce099, ['whatever', 'x'])),
      ...block(ost(0)),
    ]);
    expect(config.osts).toHaveLength(1);
    expect(config.osts[0]).toMatchObject({ index: 0, nids: [['10.0.0.3@tcp']], active: true });
  });

  it('knows excluded and inactive OSTs, parameters, pools and the timeout', () => {
    const inactive = ost(2).commands.slice(0, -1);
    const config = interpret([
      ...base,
      ...block(ost(1), MarkerFlag.CM_EXCLUDE),
      ...inBlock(
        ...inactive,
        encodeConfigRecord(C.LCFG_LOV_ADD_INA, ['demo-clilov', 'demo-OST0002_UUID', '2', '1']),
      ),
      ...inBlock(
        encodeConfigRecord(C.LCFG_PARAM, ['demo-clilov', 'lov.stripesize=1048576']),
        encodeConfigRecord(C.LCFG_SET_TIMEOUT, ['sys'], { number: 77 }),
        encodeConfigRecord(C.LCFG_POOL_NEW, ['demo-clilov', 'demo', 'fast']),
        encodeConfigRecord(C.LCFG_POOL_ADD, ['demo-clilov', 'demo', 'fast', 'demo-OST0001_UUID']),
      ),
    ]);
    expect(config.osts.map((o) => [o.index, o.active])).toEqual([
      [1, false],
      [2, false],
    ]);
    expect(config.params).toEqual([{ device: 'demo-clilov', parameter: 'lov.stripesize=1048576' }]);
    expect(config.timeout).toBe(77);
    expect(config.pools.get('fast')).toEqual(['demo-OST0001_UUID']);
  });

  it('reads NIDs given as text, and ignores those of networks it does not know', () => {
    const parts = ost(0).commands.slice(1);
    const config = interpret([
      ...base,
      ...inBlock(
        encodeConfigRecord(C.LCFG_ADD_UUID, ['', '10.0.0.3@tcp', '10.0.0.3@tcp3']),
        encodeConfigRecord(C.LCFG_ADD_UUID, ['', '10.0.0.3@tcp', 'fe80::1@tcp']),
        ...parts,
      ),
    ]);
    expect(config.osts[0]!.nids).toEqual([['10.0.0.3@tcp3']]);
  });

  it.each([
    ['a required command that is unknown', inBlock(encodeConfigRecord(0xcf099, ['x']))],
    [
      'a target before its device',
      inBlock(encodeConfigRecord(C.LCFG_LOV_ADD_OBD, ['l', 'demo-OST0009_UUID', '9', '1'])),
    ],
    [
      'an index that is none',
      block({
        ...ost(3),
        commands: [
          ...ost(3).commands.slice(0, -1),
          encodeConfigRecord(C.LCFG_LOV_ADD_OBD, ['l', 'demo-OST0003_UUID', '3x', '1']),
        ],
      }),
    ],
    [
      'a lov without its magic',
      inBlock(
        encodeConfigRecord(C.LCFG_ATTACH, ['a', 'lov', 'u']),
        encodeConfigRecord(C.LCFG_SETUP, ['a', new Uint8Array(88)]),
      ),
    ],
    [
      'a connection of a device that was never attached',
      inBlock(encodeConfigRecord(C.LCFG_ADD_CONN, ['nobody', 'n'])),
    ],
  ])('refuses %s', (_, payloads) => {
    expect(() => interpret([...base, ...payloads])).toThrow(
      expect.objectContaining({ code: 'ERR_LUSTRE_CONFIG' }),
    );
  });

  it('refuses a log without a profile or a lov', () => {
    expect(() => interpret([])).toThrow(/profile/);
    expect(() => interpret(block(mountOptions('demo')))).toThrow(/lov/);
    expect(() => interpret(block(addOst('demo', 0)))).toThrow(/profile/);
  });

  it('takes any bytes as records without more than a named error', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
        fc.boolean(),
        (payloads, inside) => {
          const interpreter = new ConfigInterpreter('x', log);
          try {
            interpreter.run(asRecords(inside ? [...inBlock().slice(0, 1), ...payloads] : payloads));
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_LUSTRE_CONFIG' });
          }
        },
      ),
    );
  });

  it('takes commands with any buffers without more than a named error', () => {
    const commands = Object.values(C).filter((command) => command !== C.LCFG_MARKER);
    const buffers = fc.array(fc.oneof(fc.string({ maxLength: 20 }), fc.uint8Array({ maxLength: 100 })), {
      maxLength: 7,
    });
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...commands), buffers), { maxLength: 6 }), (list) => {
        const interpreter = new ConfigInterpreter('x', log);
        try {
          interpreter.run(asRecords(inBlock(...list.map(([command, b]) => encodeConfigRecord(command, b)))));
          interpreter.osts();
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_LUSTRE_CONFIG' });
        }
      }),
    );
  });
});

describe('configuration records', () => {
  it('come back as they were written', () => {
    const payload = encodeConfigRecord(0xcf005, ['', 'node', undefined, new Uint8Array([1, 2, 3])], {
      nid: 5n,
      number: 9,
    });
    const [record] = asRecords([payload]);
    const decoded = decodeConfigRecord(record!);
    expect(decoded).toMatchObject({ command: 0xcf005, nid: 5n, number: 9 });
    expect(decoded.buffers.map((b) => b.length)).toEqual([0, 5, 0, 3]);
  });

  it('have lock resources as captures/01 shows', () => {
    expect(configResource('lab')).toEqual([0x62616cn, 0n, 0n, 0n]);
    expect(configResource('lab', 1)).toEqual([0x62616cn, 0n, 0n, 0n]);
    expect(configResource('params', 3)).toEqual([0x736d61726170n, 3n, 0n, 0n]);
  });
});
