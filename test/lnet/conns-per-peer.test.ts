/** The default number of connections follows the link's speed as socklnd's does (ksocklnd_speed2cpp); on loopback the cores. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
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
    return connsPerPeerAt('10.0.0.7', { interfaces, classNet, cores: 16 });
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

  test('one for an address of none of our links, as behind NAT', () => {
    expect(connsPerPeerAt('10.0.0.7', { interfaces: {}, classNet, cores: 16 })).toBe(1);
  });

  test.each([
    [1, 1],
    [2, 1],
    [4, 2],
    [8, 4],
    [64, 4],
  ])('on loopback with %i cores: %i', (cores, connections) => {
    expect(connsPerPeerAt('127.5.6.7', { interfaces: {}, classNet, cores })).toBe(connections);
  });

  test('this machine is asked', () => {
    expect(connsPerPeerAt('127.0.0.1')).toBe(Math.min(4, Math.max(1, availableParallelism() >> 1)));
  });
});
