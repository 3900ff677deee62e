/** Inode numbers that a client shows (guide 07 §8). Local to clients, but people compare them across clients. */
import { type Fid, isIgifSeq } from './fid.ts';

const MASK64 = 0xffff_ffff_ffff_ffffn;

/** `stat.ino`: 64 bits. */
export function inodeNumber(fid: Fid): bigint {
  const seq = fid.f_seq;
  if (isIgifSeq(seq)) return seq;
  return ((seq << 24n) + ((seq >> 24n) & 0xffffff0000n) + BigInt(fid.f_oid)) & MASK64;
}

/** The 32-bit form, for consumers that hold no more. Never 0. */
export function inodeNumber32(fid: Fid): number {
  if (isIgifSeq(fid.f_seq)) return Number(fid.f_seq);
  const s = (fid.f_seq - 0x200000000n) & MASK64;
  const oid = BigInt(fid.f_oid);
  const sum =
    ((s & 0xfffffn) << 12n) +
    ((s >> 8n) & 0xfffff000n) +
    ((s >> 32n) & 0xffffff00n) +
    (oid & 0xff000fffn) +
    ((oid & 0x00fff000n) << 8n);
  const number = Number(sum & 0xffff_ffffn);
  return number === 0 ? fid.f_oid : number;
}

/** Inode generation. */
export function inodeGeneration(fid: Fid): number {
  return isIgifSeq(fid.f_seq) ? fid.f_oid : Number(inodeNumber(fid) >> 32n);
}
