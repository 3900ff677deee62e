import { expect, it } from 'vitest';
import { makeFid, ROOT_FID } from '../../../lib/fid/fid.ts';
import type { LayoutObject } from '../../../lib/layout/file-layout.ts';
import { decodeLayout } from '../../../lib/layout/layout-ea.ts';
import { encodeStriping } from '../../../lib/layout/striping.ts';
import { queuedCount } from '../../../lib/server/mds/ost-work.ts';
import { RQF_MDS_GET_ROOT, RQF_MDS_STATFS } from '../../../lib/wire/formats.ts';
import { IntentOpcode } from '../../../lib/wire/ldlm-constants.ts';
import { OpenFlag } from '../../../lib/wire/mds-constants.ts';
import { MdtCluster } from './mdt-cluster.ts';

const { MDS_FMODE_READ, MDS_FMODE_WRITE, MDS_OPEN_CREAT, MDS_OPEN_EXCL, MDS_OPEN_HAS_EA } = OpenFlag;
const WRITE = MDS_FMODE_READ | MDS_FMODE_WRITE;
const CREATE = WRITE | MDS_OPEN_CREAT;

/** The one part of a plain layout, whose objects are all there. */
function plainPart(ea: Uint8Array) {
  const layout = decodeLayout(ea);
  const { objects, ...part } = layout.components[0]!;
  return { ...part, fid: layout.fid, objects: objects.filter((o): o is LayoutObject => o !== undefined) };
}

it('answers a mount: root, free space, attributes of the root', async () => {
  const cluster = new MdtCluster();
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const client = await cluster.client();
      expect(client.imp.granted.ocd_ibits_known).toBe(0x3fn);
      const rootReply = await client.imp.call(RQF_MDS_GET_ROOT, { mdt_body: {} });
      expect(rootReply.values.mdt_body?.mbo_fid1).toEqual({ f_seq: 0x200000007n, f_oid: 1, f_ver: 0 });
      const space = await client.imp.call(RQF_MDS_STATFS, {});
      expect(space.values.obd_statfs).toMatchObject({ os_bsize: 4096, os_namelen: 255, os_bavail: 800n });
      const r = await client.getattr(ROOT_FID, '.');
      expect(r).toMatchObject({ status: 0, disposition: 0x0b, result: 0, bits: 0x13n });
      expect(r.body).toMatchObject({ mbo_mode: 0o40755, mbo_nlink: 2, mbo_size: 4096n, mbo_blocks: 8n });
      expect(r.body.mbo_valid & 0x1100000000012fbfn).toBe(0x1100000000012fbfn);
    })(),
  );
});

it('creates with objects, as captured: dispositions, lock bits, valid bits, layout', async () => {
  const cluster = new MdtCluster();
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const client = await cluster.client();
      const d = await client.mkdir(ROOT_FID, 'd1');
      const negative = await client.getattr(d, 'f1', IntentOpcode.IT_LOOKUP);
      expect(negative).toMatchObject({ status: 301, disposition: 7, result: 0 });
      const made = await client.open(d, 'f1', { flags: CREATE });
      expect(made).toMatchObject({ status: 0, disposition: 55, result: 0, bits: 0x1bn });
      expect(made.body.mbo_valid).toBe(0x1100008080022f8fn | 0x100000000000000n);
      expect(made.body).toMatchObject({ mbo_mode: 0o100644, mbo_nlink: 1, mbo_eadatasize: 56 });
      expect(made.body.mbo_open_handle).not.toBe(0n);
      expect(made.transno).toBeGreaterThan(0n);
      const layout = plainPart(made.md!);
      expect(layout).toMatchObject({ stripeCount: 1, stripeSize: 4 << 20, fid: made.body.mbo_fid1 });
      const closed = await client.close(made.body.mbo_open_handle, made.body.mbo_fid1, {
        sa_valid: 0x621f1n,
        sa_size: 13n,
        sa_blocks: 1n,
      });
      expect(closed.transno).toBeGreaterThan(made.transno);
      expect(closed.values.mdt_body?.mbo_valid).toBe(0n);
      await expect(client.close(made.body.mbo_open_handle, made.body.mbo_fid1)).rejects.toMatchObject({
        code: 'ESTALE',
      });
      const again = await client.getattr(d, 'f1');
      expect(again.body.mbo_fid1).toEqual(made.body.mbo_fid1);
      expect(again.bits).toBe(0x1bn);
      // LAZYSIZE and LAZYBLOCKS: what the close told.
      expect(again.body.mbo_valid & 0xc00000000000000n).toBe(0xc00000000000000n);
      expect(again.body.mbo_size).toBe(13n);
      const opened = await client.open(d, 'f1');
      expect(opened).toMatchObject({ status: 0, disposition: 0x2b, result: 0 });
      expect(await client.list(d)).toEqual(['.', '..', 'f1']);
      const missing = await client.open(d, 'nosuch');
      expect(missing).toMatchObject({ status: 301, disposition: 7, result: 0 });
      const there = await client.open(d, 'f1', { flags: CREATE | MDS_OPEN_EXCL });
      expect(there).toMatchObject({ status: 301, result: -17 });
      const denied = await client.open(d, 'f1', { flags: WRITE, uid: 500, cap: 0 });
      expect(denied).toMatchObject({ status: 301, disposition: 0x0b, result: -13 });
      const directory = await client.open(ROOT_FID, 'd1');
      expect(directory).toMatchObject({ status: 301, disposition: 0x2b, result: 0 });
      expect(directory.body.mbo_open_handle).not.toBe(0n);
    })(),
  );
});

it('spreads files over OSTs, stripes over all, and keeps to a wish', async () => {
  const cluster = new MdtCluster(3);
  await cluster.sim.run(
    (async () => {
      const { mdt } = await cluster.start();
      await cluster.until(() => mdt.core.objects.osps.every((osp) => osp.available > 0));
      const client = await cluster.client();
      const layoutOf = async (name: string, striping?: Parameters<typeof encodeStriping>[0]) => {
        const r = await client.open(ROOT_FID, name, {
          flags: CREATE | (striping === undefined ? 0n : MDS_OPEN_HAS_EA),
          ...(striping === undefined ? {} : { ea: encodeStriping(striping) }),
        });
        expect(r.result).toBe(0);
        return plainPart(r.md!);
      };
      const first = [];
      for (let i = 0; i < 6; i++) first.push((await layoutOf(`f${i}`)).objects[0]!.ostIndex);
      expect([...first].sort()).toEqual([0, 0, 1, 1, 2, 2]);
      const wide = await layoutOf('wide', { stripeCount: -1, stripeSize: 65536, pool: 'fast' });
      expect(wide).toMatchObject({ stripeCount: 3, stripeSize: 65536, pool: 'fast' });
      expect(wide.objects.map((o) => o.ostIndex).sort()).toEqual([0, 1, 2]);
      const placed = await layoutOf('placed', { stripeCount: 2, stripeOffset: 2 });
      expect(placed.objects.map((o) => o.ostIndex)).toEqual([2, 0]);
      const wrong = await client.open(ROOT_FID, 'wrong', {
        flags: CREATE | MDS_OPEN_HAS_EA,
        ea: encodeStriping({ stripeOffset: 9 }),
      });
      expect(wrong.result).toBe(-22);
      expect(await client.list()).not.toContain('wrong');
    })(),
  );
});

it('makes objects in windows and never gives one out twice', async () => {
  const cluster = new MdtCluster(2);
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const client = await cluster.client();
      const seen = new Set<string>();
      for (let batch = 0; batch < 20; batch++)
        await Promise.all(
          Array.from({ length: 20 }, async (_, i) => {
            const r = await client.open(ROOT_FID, `f${batch}.${i}`, { flags: CREATE });
            expect(r.result).toBe(0);
            for (const { fid, ostIndex } of plainPart(r.md!).objects) {
              const key = `${ostIndex} ${fid.f_seq} ${fid.f_oid}`;
              expect(seen.has(key)).toBe(false);
              seen.add(key);
            }
          }),
        );
      expect(seen.size).toBe(400);
      expect(await client.list()).toHaveLength(402);
    })(),
  );
});

it('calls back what other clients have cached before it changes anything', async () => {
  const cluster = new MdtCluster(1);
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const [a, b] = [await cluster.client(), await cluster.client()];
      const d = await a.mkdir(ROOT_FID, 'd');
      await a.open(d, 'f', { flags: CREATE });
      const seen = await b.getattr(d, 'f');
      const cached = await b.getattr(ROOT_FID, 'd');
      expect(seen.lock?.isHeld && cached.lock?.isHeld).toBe(true);
      await a.rename(d, 'f', d, 'g');
      expect(seen.lock?.isHeld).toBe(false);
      expect(cached.lock?.isHeld).toBe(false);
      expect(await b.getattr(d, 'f')).toMatchObject({ status: 301, disposition: 7 });
      expect((await b.getattr(d, 'g')).body.mbo_fid1).toEqual(seen.body.mbo_fid1);
    })(),
  );
});

it('an unlinked open file lives until its last close; then its objects go', async () => {
  const cluster = new MdtCluster(1);
  await cluster.sim.run(
    (async () => {
      const { mdt, osts } = await cluster.start();
      const client = await cluster.client();
      const f = await client.open(ROOT_FID, 'f', { flags: CREATE });
      const fid = f.body.mbo_fid1;
      const objectExists = (): boolean =>
        osts[0]!.context.store.exists({ seq: object.f_seq, oid: object.f_oid });
      const object = plainPart(f.md!).objects[0]!.fid;
      expect(objectExists()).toBe(true);
      const { values } = await client.unlink(ROOT_FID, 'f');
      expect(values.mdt_body).toMatchObject({ mbo_nlink: 0, mbo_fid1: fid });
      expect(mdt.core.view.isOrphan(fid)).toBe(true);
      const again = await client.open(fid, '', { fid, flags: MDS_FMODE_READ | OpenFlag.MDS_OPEN_BY_FID });
      expect(again.result).toBe(0);
      await client.close(f.body.mbo_open_handle, fid);
      expect(mdt.core.view.find(fid)).toBeDefined();
      await client.close(again.body.mbo_open_handle, fid);
      expect(mdt.core.view.find(fid)).toBeUndefined();
      await cluster.until(() => queuedCount(mdt.core.store, 0) === 0);
      await osts[0]!.commit();
      expect(objectExists()).toBe(false);
    })(),
  );
});

it('keeps everything over a kill, and drops what was unlinked and open', async () => {
  const cluster = new MdtCluster(2);
  await cluster.sim.run(
    (async () => {
      const first = await cluster.start();
      const client = await cluster.client();
      const d = await client.mkdir(ROOT_FID, 'd');
      const f = await client.open(d, 'f', { flags: CREATE });
      const gone = await client.open(d, 'gone', { flags: CREATE });
      await client.unlink(d, 'gone');
      const usedFid = await client.newFid();
      first.process.kill();
      first.store.crash();
      const { mdt } = await cluster.start();
      const later = await cluster.client();
      expect((await later.list(d)).slice(2)).toEqual(['f']);
      expect((await later.getattr(d, 'f')).md).toEqual(f.md);
      expect(mdt.core.view.find(gone.body.mbo_fid1)).toBeUndefined();
      expect((await later.newFid()).f_seq).not.toBe(usedFid.f_seq);
      const g = await later.open(d, 'g', { flags: CREATE });
      expect(g.transno).toBeGreaterThan(f.transno);
      const old = plainPart(f.md!).objects[0]!;
      const made = plainPart(g.md!).objects[0]!;
      if (old.ostIndex === made.ostIndex) expect(made.fid.f_oid).toBeGreaterThan(old.fid.f_oid);
    })(),
  );
});

it('refuses what is malformed, by name, and goes on serving', async () => {
  const cluster = new MdtCluster(1);
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const client = await cluster.client();
      await expect(client.mkdir(ROOT_FID, 'a/b')).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(client.mkdir(ROOT_FID, 'x'.repeat(256))).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
      await expect(client.mkdir(makeFid(0x200000002n, 1), 'x')).rejects.toMatchObject({ code: 'EPERM' });
      await expect(client.mkdir(ROOT_FID, 'd', { cr_opcode: 77 })).rejects.toMatchObject({ code: 'EFAULT' });
      await expect(client.mkdir(ROOT_FID, 'd', { cr_mode: 0o30000 })).rejects.toMatchObject({
        code: 'EOPNOTSUPP',
      });
      await expect(client.unlink(ROOT_FID, 'nosuch')).rejects.toMatchObject({ code: 'ENOENT' });
      await client.mkdir(ROOT_FID, 'ok');
      expect(await client.list()).toEqual(['.', '..', 'ok']);
    })(),
  );
});
