/**
 * What a program imports: `mount` for a client, `startCluster` for a whole file system, `serve` for servers, the types and
 * the errors.
 *
 * @example
 * import { startCluster } from 'node-lustre';
 * await using cluster = await startCluster();
 * await using filesystem = await cluster.mount();
 * await filesystem.writeFile('/hello', 'world');
 */
export type { ChangelogOptions, QuotaPoolOption } from './client/administration.ts';
export type { CopyOptions } from './client/copy.ts';
export { Dir } from './client/dir.ts';
export type {
  Advice,
  ChangelogRecord,
  Counters,
  DirectoryPlace,
  DirectoryStriping,
  Extent,
  FileLockHolder,
  HsmFlag,
  HsmRequestAction,
  HsmState,
  HsmStateChange,
  Layout,
  LockEntry,
  LockReport,
  MdtName,
  Project,
  Quota,
  QuotaKind,
  QuotaLimits,
  QuotaShare,
  QuotaUse,
  ReportOptions,
  ResourceReport,
  SpaceUsage,
  StripingOptions,
  TargetSpace,
  VersionFlush,
} from './client/engine.ts';
export {
  type Data,
  type EncodingOptions,
  FileHandle,
  type FlockOptions,
  type LockRangeOptions,
  type RangeOptions,
  type ReadOptions,
} from './client/file-handle.ts';
export { Filesystem } from './client/filesystem.ts';
export type {
  MkdirOptions,
  OpenOptions,
  PathLike,
  ReaddirOptions,
  ReadFileOptions,
  RmOptions,
  StatOptions,
  WriteFileOptions,
  XattrOptions,
} from './client/filesystem-options.ts';
export type { MirrorComparison, MirrorOptions, ResyncOptions } from './client/mirroring.ts';
export type { Finding } from './client/mount/doctor.ts';
export type { SignalOption } from './client/operations.ts';
export type { LustreReadStream } from './client/read-stream.ts';
export { BigIntStats, Dirent, type StatFs, Stats } from './client/stats.ts';
export type { StreamOptions } from './client/streams.ts';
export type { Time } from './client/times.ts';
export type { WalkEntry, WalkOptions } from './client/walk.ts';
export type { LustreWriteStream } from './client/write-stream.ts';
export { type Cluster, type ClusterOptions, startCluster } from './cluster.ts';
export type { ComponentDescription, ObjectDescription } from './layout/description.ts';
export type { ComponentOptions } from './layout/striping.ts';
export type { ContentionOptions } from './ldlm/contention.ts';
export type { PingResult } from './lnet/network.ts';
export {
  diagnoseMount,
  type MountOptions,
  mount,
  type PingOptions,
  pingNid,
  type ServeOptions,
  serve,
} from './process.ts';
export { type ErrorContext, LustreError, ProtocolError } from './runtime/errors.ts';
export type { ServerNode } from './server/node.ts';
export type { MovedBytes, WaysMoved } from './server/oss/moved-bytes.ts';
