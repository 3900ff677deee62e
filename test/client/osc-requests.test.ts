/** Our requests to an OST against those of a 2.17 kernel client, byte for byte. */

import { describe, expect, it } from 'vitest';
import { checksumTypesAsked, chooseChecksum } from '../../lib/client/osc/checksum.ts';
import { GrantLedger } from '../../lib/client/osc/grant.ts';
import { punchRequest } from '../../lib/client/osc/punch.ts';
import { readRequest } from '../../lib/client/osc/read.ts';
import { setattrRequest } from '../../lib/client/osc/setattr.ts';
import { syncRequest } from '../../lib/client/osc/sync.ts';
import { writeRequest } from '../../lib/client/osc/write.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import type { Memory } from '../../lib/lnet/network.ts';
import { ConnectFlag } from '../../lib/wire/connection-constants.ts';
import { ObdConnectData } from '../../lib/wire/connection-structs.ts';
import * as formats from '../../lib/wire/formats.ts';
import { ChecksumType } from '../../lib/wire/ost-constants.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';

const WRITE = 4;
const READ = 3;
const granted = ObdConnectData.decode(
  ObdConnectData.encode({
    ocd_connect_flags: 0xa0425af2e3440038n,
    ocd_brw_size: 0x400000,
    ocd_grant: 0x80c000,
    ocd_grant_blkbits: 12,
    ocd_grant_tax_kb: 24,
    ocd_grant_max_blks: 0x4000,
  }),
);
const f1 = {
  fid: parseFid('[0x2c0000401:0xd:0x0]'),
  parent: parseFid('[0x200000403:0x2:0x0]'),
  stripe: 0,
  stripeSize: 0x400000,
  stripeCount: 1,
};
const s2 = {
  fid: parseFid('[0x280000401:0xf:0x0]'),
  parent: parseFid('[0x200000404:0x1:0x0]'),
  stripe: 0,
  stripeSize: 0x100000,
  stripeCount: 2,
};
const s2second = { ...s2, fid: parseFid('[0x2c0000401:0xf:0x0]'), stripe: 1 };
const root = { uid: 0, gid: 0, privileged: true };
const WISH = 0x1351e000;

function memory(bytes: Uint8Array): Memory {
  return { bytes, release: () => {} };
}

describe('requests to an OST equal those of a kernel client', () => {
  it('write inside the message (02 pkt 132), but for the checksum type', () => {
    const message = capturedMessage('02-namespace', 132, WRITE);
    const theirs = buffersOf(message);
    const body = Buffer.from(theirs[0]!, 'hex');
    const bytes = Buffer.from('hello lustre\n');
    const request = writeRequest({
      object: f1,
      part: { offset: 0, length: 13, segments: [{ memory: memory(bytes), offset: 0, length: 13 }] },
      lockHandle: 0x12a02812f77cadc6n,
      owner: root,
      time: 0x6b02b54cn,
      granted,
      announced: { o_blocks: 0x7000n, o_grant: 0x805000n, o_mode: WISH },
      grantUsed: 0x7000,
      checksum: { type: 'crc32c', value: body.readUInt32LE(100) },
      shortIo: true,
      resend: false,
    });
    const ours = encoded(formats.RQF_OST_BRW_WRITE, request);
    body.writeUInt32LE((body.readUInt32LE(96) & ~0xf000) | 0x4000, 96);
    expect(ours).toEqual([body.toString('hex'), ...theirs.slice(1)]);
  });

  it('read inside the message (02 pkt 154), but for the checksum type and the times it repeats', () => {
    const theirs = buffersOf(capturedMessage('02-namespace', 154, READ));
    const body = Buffer.from(theirs[0]!, 'hex');
    const bytes = new Uint8Array(4096);
    const request = readRequest({
      object: f1,
      part: { offset: 0, length: 4096, segments: [{ memory: memory(bytes), offset: 0, length: 4096 }] },
      lockHandle: 0x12a02812f77cae3dn,
      owner: root,
      time: 0x6b02b556n,
      granted,
      announced: { o_blocks: 0n, o_grant: 0x1011000n, o_mode: WISH },
      checksum: 'crc32c',
      shortIo: true,
      resend: false,
    });
    body.writeUInt32LE((body.readUInt32LE(96) & ~0xf000) | 0x4000, 96);
    body.fill(0, 40, 48);
    body.fill(0, 56, 64);
    expect(encoded(formats.RQF_OST_BRW_READ, request)).toEqual([body.toString('hex'), ...theirs.slice(1)]);
  });

  it('names 4 MiB RPCs in ioo_max_brw (03 pkt 160)', () => {
    const theirs = buffersOf(capturedMessage('03-stripe-io', 160, WRITE));
    const bytes = new Uint8Array(1 << 20);
    const request = writeRequest({
      object: s2second,
      part: { offset: 0, length: 1 << 20, segments: [{ memory: memory(bytes), offset: 0, length: 1 << 20 }] },
      lockHandle: 0n,
      owner: root,
      time: 0x6b02b5dan,
      granted,
      announced: { o_blocks: 0x106000n, o_grant: 0x706000n, o_mode: WISH },
      grantUsed: 0x106000,
      checksum: { type: 'crc32c', value: 0 },
      shortIo: false,
      resend: false,
    });
    expect(encoded(formats.RQF_OST_BRW_WRITE, request)[1]).toBe(theirs[1]);
  });

  it('punch of both objects of a file (03 pkt 154)', () => {
    for (const [object, nth] of [
      [s2, 0],
      [s2second, 1],
    ] as const) {
      expect(encoded(formats.RQF_OST_PUNCH, punchRequest(object, 0, 0x6b02b5dan, root))).toEqual(
        buffersOf(capturedMessage('03-stripe-io', 154, 10, nth)),
      );
    }
    expect(encoded(formats.RQF_OST_PUNCH, punchRequest(s2, 1572871, 0x6b02b5e5n, root))).toEqual(
      buffersOf(capturedMessage('03-stripe-io', 4575, 10)),
    );
  });

  it('setattr of times, and of ctime alone (05 pkt 292, 263)', () => {
    const object = {
      fid: parseFid('[0x280000401:0x1d:0x0]'),
      parent: parseFid('[0x200000406:0x1:0x0]'),
      stripe: 0,
      stripeSize: 0x400000,
      stripeCount: 1,
    };
    const times = { atime: 0x5e0d5da5n, mtime: 0x5e0d5da5n, ctime: 0x6b02b674n };
    expect(encoded(formats.RQF_OST_SETATTR, setattrRequest(object, times))).toEqual(
      buffersOf(capturedMessage('05-attrs', 292, 2)),
    );
    expect(encoded(formats.RQF_OST_SETATTR, setattrRequest(object, { ctime: 0x6b02b674n }))).toEqual(
      buffersOf(capturedMessage('05-attrs', 263, 2)),
    );
  });

  it('sync of a whole object (02 pkt 133)', () => {
    expect(encoded(formats.RQF_OST_SYNC, syncRequest(f1))).toEqual(
      buffersOf(capturedMessage('02-namespace', 133, 16)),
    );
  });
});

describe('grant', () => {
  it('costs whole blocks and a tax for each extent (guide 12 §7)', () => {
    const grant = new GrantLedger(WISH);
    grant.connected(granted);
    expect([grant.cost(0, 13), grant.cost(0, 1 << 20)]).toEqual([0x7000, 0x106000]);
    expect(grant.take(0, 13)).toBe(0x7000);
    expect(grant.announce()).toEqual({ o_blocks: 0x7000n, o_grant: 0x805000n, o_mode: WISH });
    grant.settle(0x7000, 0x80c000);
    expect(grant.announce().o_grant).toBe(0x1011000n);
  });

  it('gives back what a failed write took and never goes below zero', () => {
    const grant = new GrantLedger(WISH);
    grant.connected(granted);
    const taken = grant.take(0, 4 << 20);
    grant.giveBack(taken);
    expect(grant.available).toBe(0x80c000);
    expect(grant.take(0, 64 << 20)).toBe(0);
  });
});

it('the connect asks for Adler beside the checksum that is wanted: servers refuse who can be granted none', () => {
  const { OBD_CKSUM_ADLER, OBD_CKSUM_CRC32 } = ChecksumType;
  expect(checksumTypesAsked('crc32')).toBe(OBD_CKSUM_ADLER | OBD_CKSUM_CRC32);
  const granted = ObdConnectData.decode(
    ObdConnectData.encode({
      ocd_connect_flags: ConnectFlag.OBD_CONNECT_CKSUM,
      ocd_cksum_types: OBD_CKSUM_ADLER,
    }),
  );
  expect(chooseChecksum(granted, 'crc32')).toBe('adler32');
});

it('T10 checksums are offered as kernels offer them, and used where they are wanted', () => {
  // ocd_cksum_types of 01-mount-df-umount.
  expect(checksumTypesAsked(undefined)).toBe(0xf7);
  expect(checksumTypesAsked('t10crc4K')).toBe(0x82);
  const granted = ObdConnectData.decode(
    ObdConnectData.encode({ ocd_connect_flags: ConnectFlag.OBD_CONNECT_CKSUM, ocd_cksum_types: 0xf7 }),
  );
  expect(chooseChecksum(granted, undefined)).toBe('crc32c');
  expect(chooseChecksum(granted, 't10crc4K')).toBe('t10crc4K');
});
