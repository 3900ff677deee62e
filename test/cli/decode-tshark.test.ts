/** Wireshark's dissectors, which none of us wrote, and ours read every capture alike. */
import { describe, expect, it } from 'vitest';
import { type Disagreement, hasTshark, malformedKinds, readBoth } from '../../lib/cli/decode/tshark.ts';
import { capture, captures } from './captures.ts';

const tshark = await hasTshark();
if (!tshark) console.log('skipped: tshark is not installed (Debian: apt-get install tshark)');

/** Portals that tshark 4.0 does not know: MDS_IO and OUT carry RPCs only since 2.15 and 2.17. */
const unknownPortals = [13, 24];

/** Where it is tshark that errs: it takes the lock behind a resync record, which it does not know, for FIDs. */
function isKnown({ what, message }: Disagreement): boolean {
  return what === 'fid' && message === 'request MDS_REINT reint resync';
}

describe.skipIf(captures.length === 0 || !tshark)('tshark', () => {
  it.each(captures)('agrees on %s', async (name, path) => {
    const { disagreements, messages, rpcs, fids, unread } = await readBoth(path);
    expect(disagreements.filter((d) => !isKnown(d)).slice(0, 10)).toEqual([]);
    expect(messages).toBeGreaterThan(80);
    expect(rpcs).toBeGreaterThan(70);
    expect(fids).toBeGreaterThan(20);
    const left = [...unread.keys()].filter((portal) => !unknownPortals.includes(portal));
    // It reads no payload that o2iblnd writes by RDMA, and takes GSS's messages for bare ones.
    if (!name.startsWith('09') && !name.startsWith('10')) expect(left).toEqual([]);
  });

  it('counts what it flags by kind', async () => {
    const kinds = await malformedKinds(capture('01'));
    expect(kinds.get('PUT portal 26 LLOG_ORIGIN_HANDLE_CREATE request: malformed')).toBe(3);
    expect([...kinds.keys()].some((kind) => kind.includes('OBD_PING'))).toBe(false);
  });

  it('says what is wrong with a file that it cannot read', async () => {
    await expect(readBoth('/nonexistent.pcap')).rejects.toThrow(/nonexistent/);
    await expect(malformedKinds('/nonexistent.pcap')).rejects.toThrow(/tshark cannot read/);
  });
});
