/** Our requests for layouts and for data in components, against those of a 2.17 kernel client (capture 04), byte for byte. */
import { describe, expect, it } from 'vitest';
import { type LayoutNeed, layoutBuffers } from '../../lib/client/mdc/intent-layout.ts';
import { punchRequest } from '../../lib/client/osc/punch.ts';
import type { StripeObject } from '../../lib/client/osc/stripe-object.ts';
import { writeRequest } from '../../lib/client/osc/write.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import { ObdConnectData } from '../../lib/wire/connection-structs.ts';
import * as formats from '../../lib/wire/formats.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';

const CAPTURE = '04-layouts';
const [WRITE, PUNCH, ENQUEUE] = [4, 10, 101];
const root = { uid: 0, gid: 0, privileged: true };
const toEnd = Number.POSITIVE_INFINITY;
const granted = ObdConnectData.decode(
  ObdConnectData.encode({ ocd_connect_flags: 0xa0425af2e3440038n, ocd_brw_size: 0x100000 }),
);

const dom = parseFid('[0x200000405:0x1:0x0]');
const flr = parseFid('[0x200000405:0x5:0x0]');
/** What the MDT keeps of the file `dom`. */
const onMdt: StripeObject = {
  fid: dom,
  parent: dom,
  stripe: 0,
  stripeSize: 65536,
  stripeCount: 0,
  component: { id: 1, start: 0, end: 65536 },
};
/** The second stripe of its other component. */
const second: StripeObject = {
  fid: parseFid('[0x2c0000401:0x16:0x0]'),
  parent: dom,
  stripe: 1,
  stripeSize: 0x100000,
  stripeCount: 2,
  component: { id: 2, start: 65536, end: toEnd },
};
/** The first mirror of `flr`. */
const mirror: StripeObject = {
  fid: parseFid('[0x280000401:0x19:0x0]'),
  parent: flr,
  stripe: 0,
  stripeSize: 0x400000,
  stripeCount: 1,
  component: { id: 0x10001, start: 0, end: toEnd },
  layoutVersion: 3,
};

/** The write in `frame`, with what a client chooses for itself taken from there: lock, time, grant, checksum type. */
function write(frame: number, object: StripeObject, nth = 0): [string[], string[]] {
  const theirs = buffersOf(capturedMessage(CAPTURE, frame, WRITE, nth));
  const body = Buffer.from(theirs[0]!, 'hex');
  const bytes = Buffer.from(theirs.at(-1)!, 'hex');
  const niobuf = Buffer.from(theirs[2]!, 'hex');
  const request = writeRequest({
    object,
    part: {
      offset: Number(niobuf.readBigUInt64LE(0)),
      length: bytes.length,
      segments: [{ memory: { bytes, release: () => {} }, offset: 0, length: bytes.length }],
    },
    lockHandle: body.readBigUInt64LE(128),
    owner: root,
    time: body.readBigUInt64LE(40),
    granted,
    announced: {
      o_blocks: body.readBigUInt64LE(64),
      o_grant: body.readBigUInt64LE(72),
      o_mode: body.readUInt32LE(84),
    },
    grantUsed: Number(body.readBigUInt64LE(176)),
    checksum: { type: 'crc32c', value: body.readUInt32LE(100) },
    shortIo: true,
    resend: false,
  });
  body.writeUInt32LE((body.readUInt32LE(96) & ~0xf000) | 0x4000, 96);
  return [encoded(formats.RQF_OST_BRW_WRITE, request), [body.toString('hex'), ...theirs.slice(1)]];
}

describe('requests for layouts equal those of a kernel client', () => {
  it.each<[string, number, LayoutNeed]>([
    ['a write to a component without objects (pkt 169)', 169, { kind: 'write', start: 18, end: 1048594 }],
    ['a write over two of them (pkt 1301)', 1301, { kind: 'write', start: 0, end: 1048576 }],
    ['a truncation of a mirrored file (pkt 2440)', 2440, { kind: 'truncate', size: 0 }],
    ['the layout of it (pkt 2438)', 2438, { kind: 'access' }],
  ])('%s', (_, frame, need) => {
    const theirs = buffersOf(capturedMessage(CAPTURE, frame, ENQUEUE));
    const ours = encoded(formats.RQF_LDLM_INTENT_LAYOUT, { dlm_req: {}, ...layoutBuffers(need) });
    expect(ours.slice(1)).toEqual(theirs.slice(1));
  });
});

describe('requests for data equal those of a kernel client', () => {
  it('a write of what the MDT keeps (pkt 142)', () => {
    const [ours, theirs] = write(142, onMdt);
    expect(ours).toEqual(theirs);
  });

  it('a write to a stripe of a component (pkt 252)', () => {
    const [ours, theirs] = write(252, second, 1);
    expect(ours).toEqual(theirs);
  });

  it('a write to a mirror, by the layout that made the other stale (pkt 2452)', () => {
    const [ours, theirs] = write(2452, mirror);
    expect(ours).toEqual(theirs);
  });

  it('a truncation of what the MDT keeps (pkt 131)', () => {
    const theirs = buffersOf(capturedMessage(CAPTURE, 131, PUNCH));
    const body = Buffer.from(theirs[0]!, 'hex');
    const handle = body.readBigUInt64LE(128);
    const ours = punchRequest(onMdt, 0, body.readBigUInt64LE(40), root, handle);
    expect(encoded(formats.RQF_OST_PUNCH, ours)).toEqual(theirs);
  });

  it('a truncation of a mirror (pkt 2445)', () => {
    const theirs = buffersOf(capturedMessage(CAPTURE, 2445, PUNCH));
    const body = Buffer.from(theirs[0]!, 'hex');
    const ours = punchRequest(mirror, 0, body.readBigUInt64LE(40), root);
    expect(encoded(formats.RQF_OST_PUNCH, ours)).toEqual(theirs);
  });
});
