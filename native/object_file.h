// File I/O of the object store: scatter/gather straight between files and bulk memory, with the checksum
// taken while the data is in the cache. Functions block and are called on a thread of the pool, but for those
// that say so. Free of Node-API.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "checksum.h"

namespace lustre {

struct FileResult {
  // 0, or a positive errno; then `value` says how far the operation came.
  int error = 0;
  // Bytes moved, or for a seek the position found.
  uint64_t value = 0;
  // Over the bytes moved, when asked for.
  uint32_t checksum = 0;
};

size_t BytesOf(std::span<const iovec> segments);

// Reads until the segments are full or the file ends: fewer bytes are no error.
FileResult ReadSegments(int fd, int64_t position, std::span<const iovec> segments, ChecksumType type);

// The same without waiting for a disk, in any thread: none where that cannot be, or where it fails, which
// ReadSegments is to find out again.
std::optional<FileResult> ReadCached(int fd, int64_t position, std::span<const iovec> segments,
                                     ChecksumType type);

// Writes all segments; fewer bytes only together with an error.
FileResult WriteSegments(int fd, int64_t position, std::span<const iovec> segments, ChecksumType type);

// As ReadCached. Part of it may be written where there is no result.
std::optional<FileResult> WriteCached(int fd, int64_t position, std::span<const iovec> segments,
                                      ChecksumType type);

struct ByteRange {
  int64_t position = 0;
  uint64_t length = 0;
};

// The checksum of ranges of a file one after the other, read a piece at a time into the same few pages; ends
// where the file does.
FileResult ChecksumRanges(int fd, std::span<const ByteRange> ranges, ChecksumType type);

enum class AllocateMode : uint32_t {
  kAllocate = 0,          // Reserve blocks, growing the file.
  kAllocateKeepSize = 1,  // Reserve blocks, the size stays.
  kPunchHole = 2,         // Free blocks, which read as zeros from then on; the size stays.
};

// Where the file system cannot punch holes, zeros are written instead.
FileResult Allocate(int fd, AllocateMode mode, int64_t position, int64_t length);

enum class SeekKind : uint32_t { kData = 0, kHole = 1 };

// The first data or hole at or after `position`; ENXIO when the file has none.
FileResult Seek(int fd, SeekKind kind, int64_t position);

// Returns when the data, and the metadata needed to read it back, are on stable storage.
FileResult SyncData(int fd);

// All that was written to the file system that `fd` is on: one journal commit instead of one per file.
FileResult SyncFileSystem(int fd);

}  // namespace lustre
