/** The default number of connections follows the link's speed as socklnd's does (ksocklnd_speed2cpp). */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connsPerPeerAt } from '../../lib/lnet/conns-per-peer.ts';

describe('connections of each bulk type to a peer', () => {
  let classNet: string;
  beforeEach(() => {
    classNet = mkdtempSync(join(tmpdir(), 'class-net-'));
  });
  afterEach(() => rmSync(classNet, { recursive: true }));

  /** What an endpoint at 10.0.0.7 gets, of a machine that has it on this interface. */
  function at(device: string, speed: string | undefined, name = device): number {
    mkdirSync(join(classNet, device));
    if (speed !== undefined) writeFileSync(join(classNet, device, 'speed'), `${speed}\n`);
    const interfaces = {
      lo: [{ address: '127.0.0.1' }],
      eth9: [{ address: '10.0.0.9' }],
      [name]: [{ address: 'fe80::7' }, { address: '10.0.0.7' }],
    };
    return connsPerPeerAt('10.0.0.7', { interfaces, classNet });
  }

  test.each([
    [10, 1],
    [1000, 1],
    [3999, 1],
    [4000, 2],
    [10_000, 2],
    [25_000, 3],
    [40_000, 3],
    [100_000, 4],
    [200_000, 4],
    [400_000, 5],
    [800_000, 5],
  ])('%i Mbit/s: %i', (speed, connections) => {
    expect(at('eth0', String(speed))).toBe(connections);
  });

  test.each([
    ['not known to its driver', '-1'],
    ['0', '0'],
    ['no number', 'fast'],
    ['not told, as of loopback', undefined],
  ])('one where the speed is %s', (_what, speed) => {
    expect(at('eth0', speed)).toBe(1);
  });

  test('an address with a label is on the device that the label is of', () => {
    expect(at('eth0', '100000', 'eth0:1')).toBe(4);
  });

  test('one for an address of none of our links, as behind NAT and in 127.0.0.0/8', () => {
    expect(connsPerPeerAt('127.5.6.7', { interfaces: { lo: [{ address: '127.0.0.1' }] }, classNet })).toBe(1);
  });

  test('this machine is asked', () => {
    expect(connsPerPeerAt('127.0.0.1')).toBe(1);
  });
});
