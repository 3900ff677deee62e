import { describe, expect, it } from 'vitest';
import { parseMountOptions } from '../../lib/client/mount/mount-options.ts';
import { formatMountSpec, parseMountSpec } from '../../lib/client/mount/mount-spec.ts';
import { chooseOwnNid } from '../../lib/client/mount/own-nid.ts';
import { parseNid } from '../../lib/lnet/nid.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';

describe('mount specifications', () => {
  it.each([
    ['127.0.0.1@tcp:/demo', ['127.0.0.1@tcp'], 'demo', undefined],
    [
      '10.0.0.1@tcp,10.0.1.1@tcp1:10.0.0.2@tcp:/lab',
      ['10.0.0.1@tcp', '10.0.1.1@tcp1', '10.0.0.2@tcp'],
      'lab',
      undefined,
    ],
    ['10.0.0.1:/lab/home//me/', ['10.0.0.1@tcp'], 'lab', 'home/me'],
  ])('%s', (text, nids, fsname, directory) => {
    const spec = parseMountSpec(text);
    expect(spec).toEqual({ nids, fsname, directory });
    expect(parseMountSpec(formatMountSpec(spec))).toEqual(spec);
  });

  it.each([
    ['', /has no ':\/'/],
    ['10.0.0.1@tcp', /has no ':\/'/],
    [':/lab', /has no NID/],
    ['10.0.0.1@tcp,:/lab', /empty NID/],
    ['10.0.0.1@tcp:/', /no file system name/],
    ['10.0.0.1@tcp:/much-too-long', /at most 8/],
    ['10.0.0.1@tcp:/a b', /at most 8/],
    ['10.0.0.1@tcp:/lab/../x', /cannot be mounted/],
    ['nowhere@tcp:/lab', /is not a NID/],
    ['10.0.0.300@tcp:/lab', /is not a NID/],
  ])('refuses %j and says why', (text, why) => {
    expect(() => parseMountSpec(text)).toThrow(why);
  });
});

describe('mount options', () => {
  it('are those of mount.lustre', () => {
    expect([...parseMountOptions('').exclude]).toEqual([]);
    expect([...parseMountOptions('rw,flock,exclude=lab-OST0001:lab-OST000a,user_xattr').exclude]).toEqual([
      'lab-OST0001',
      'lab-OST000a',
    ]);
  });

  it('say whether anything may be changed, and how often a mount is tried again', () => {
    expect(parseMountOptions('flock')).toMatchObject({ readOnly: false, retry: 0 });
    expect(parseMountOptions('ro,retry=5')).toMatchObject({ readOnly: true, retry: 5 });
    expect(parseMountOptions('ro,rw').readOnly).toBe(false);
  });

  it.each([
    ['retry=often', /'retry=often' says no number/],
    ['flock,context=system_u:object_r', /'context=system_u:object_r' is not for this client/],
    ['exclude=', /names no target/],
    ['exclude=lab-OST1', /names no target: 'lab-OST1'/],
    ['frobnicate', /'frobnicate' is unknown/],
  ])('%s is refused by name', (text, why) => {
    expect(() => parseMountOptions(text)).toThrow(why);
  });
});

describe('our own NID', () => {
  it('is another loopback address for a server on loopback', () => {
    const own = chooseOwnNid('127.0.0.1@tcp', nodeRuntime());
    expect(parseNid(own)).toBe(own);
    expect(own).toMatch(/^127\.(?!0\.)\d+\.\d+\.\d+@tcp$/);
  });
});
