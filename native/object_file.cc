#include "object_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <limits>
#include <memory>

namespace lustre {

namespace {

// The most that one system call moves when a checksum is taken: what was moved is then still in the L2 cache.
constexpr size_t kChecksumPiece = size_t{1} << 20;
// What is read for its checksum alone, and stays in that cache.
constexpr size_t kHotPiece = size_t{256} << 10;
// The kernel moves no more than this at once whatever is asked (MAX_RW_COUNT).
constexpr size_t kPlainPiece = size_t{1} << 30;

// A place in a list of segments, from which batches for one system call each are taken.
class Cursor {
 public:
  explicit Cursor(std::span<const iovec> segments) : segments_(segments) { SkipEmpty(); }

  bool Done() const { return segments_.empty(); }

  // The next batch: at most `limit` bytes in at most IOV_MAX pieces. Valid until the next call.
  std::span<const iovec> Batch(size_t limit) {
    size_t count = 0;
    size_t offset = offset_;
    for (const iovec& segment : segments_) {
      if (count == batch_.size() || limit == 0) break;
      const size_t length = std::min(segment.iov_len - offset, limit);
      if (length > 0) batch_[count++] = {static_cast<std::byte*>(segment.iov_base) + offset, length};
      limit -= length;
      offset = 0;
    }
    return {batch_.data(), count};
  }

  void Advance(size_t bytes) {
    while (bytes > 0) {
      const size_t here = std::min(bytes, segments_.front().iov_len - offset_);
      offset_ += here;
      bytes -= here;
      SkipEmpty();
    }
  }

 private:
  void SkipEmpty() {
    while (!segments_.empty() && offset_ == segments_.front().iov_len) {
      segments_ = segments_.subspan(1);
      offset_ = 0;
    }
  }

  std::span<const iovec> segments_;
  size_t offset_ = 0;
  std::array<iovec, IOV_MAX> batch_;
};

// Adds the first `bytes` of a batch to a checksum.
void UpdatePrefix(Checksum& sum, std::span<const iovec> batch, size_t bytes) {
  for (const iovec& piece : batch) {
    const size_t length = std::min(piece.iov_len, bytes);
    sum.Update(piece.iov_base, length);
    bytes -= length;
    if (bytes == 0) break;
  }
}

// Moves segments with preadv or pwritev, whatever the calls' short counts and interruptions.
template <typename Call>
FileResult Transfer(Call call, int fd, int64_t position, std::span<const iovec> segments, ChecksumType type) {
  if (position < 0) return {.error = EINVAL};
  const size_t limit = type == ChecksumType::kNone ? kPlainPiece : kChecksumPiece;
  Cursor cursor(segments);
  Checksum sum(type);
  FileResult result;
  while (!cursor.Done()) {
    const std::span<const iovec> batch = cursor.Batch(limit);
    const ssize_t moved = call(fd, batch.data(), static_cast<int>(batch.size()), position);
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) result.error = errno;
    if (moved <= 0) break;
    UpdatePrefix(sum, batch, static_cast<size_t>(moved));
    cursor.Advance(static_cast<size_t>(moved));
    position += moved;
    result.value += static_cast<uint64_t>(moved);
  }
  result.checksum = type == ChecksumType::kNone ? 0 : sum.Value();
  return result;
}

FileResult WriteZeros(int fd, int64_t position, int64_t length) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return {.error = errno};
  const int64_t end = std::min(position + length, static_cast<int64_t>(status.st_size));
  static constexpr std::array<std::byte, 65536> kZeros{};
  while (position < end) {
    const auto piece = static_cast<size_t>(std::min<int64_t>(end - position, kZeros.size()));
    const ssize_t written = pwrite(fd, kZeros.data(), piece, position);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return {.error = written < 0 ? errno : EIO};
    position += written;
  }
  return {};
}

int FallocateFlags(AllocateMode mode) {
  switch (mode) {
    case AllocateMode::kAllocate:
      return 0;
    case AllocateMode::kAllocateKeepSize:
      return FALLOC_FL_KEEP_SIZE;
    case AllocateMode::kPunchHole:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  }
  return 0;
}

}  // namespace

size_t BytesOf(std::span<const iovec> segments) {
  size_t bytes = 0;
  for (const iovec& segment : segments) bytes += segment.iov_len;
  return bytes;
}

FileResult ReadSegments(int fd, int64_t position, std::span<const iovec> segments, ChecksumType type) {
  return Transfer(preadv, fd, position, segments, type);
}

std::optional<FileResult> ReadCached(int fd, int64_t position, std::span<const iovec> segments,
                                     ChecksumType type) {
  const auto call = [](int file, const iovec* pieces, int count, off_t at) {
    return preadv2(file, pieces, count, at, RWF_NOWAIT);
  };
  const FileResult result = Transfer(call, fd, position, segments, type);
  return result.error == 0 ? std::optional(result) : std::nullopt;
}

std::optional<FileResult> WriteCached(int fd, int64_t position, std::span<const iovec> segments,
                                      ChecksumType type) {
  const auto call = [](int file, const iovec* pieces, int count, off_t at) {
    return pwritev2(file, pieces, count, at, RWF_NOWAIT);
  };
  const FileResult result = Transfer(call, fd, position, segments, type);
  return result.error == 0 && result.value == BytesOf(segments) ? std::optional(result) : std::nullopt;
}

FileResult WriteSegments(int fd, int64_t position, std::span<const iovec> segments, ChecksumType type) {
  FileResult result = Transfer(pwritev, fd, position, segments, type);
  // A write that moves nothing and names no error would otherwise pass for a whole one.
  if (result.error == 0 && result.value < BytesOf(segments)) result.error = EIO;
  return result;
}

FileResult ChecksumRanges(int fd, std::span<const ByteRange> ranges, ChecksumType type) {
  const auto piece = std::make_unique_for_overwrite<std::array<std::byte, kHotPiece>>();
  Checksum sum(type);
  FileResult result;
  for (const ByteRange& range : ranges) {
    if (range.position < 0) return {.error = EINVAL};
    for (uint64_t done = 0; done < range.length;) {
      const size_t wanted = std::min<uint64_t>(piece->size(), range.length - done);
      const ssize_t got = pread(fd, piece->data(), wanted, range.position + static_cast<int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return {.error = got < 0 ? errno : 0, .value = result.value, .checksum = sum.Value()};
      sum.Update(piece->data(), static_cast<size_t>(got));
      done += static_cast<uint64_t>(got);
      result.value += static_cast<uint64_t>(got);
    }
  }
  result.checksum = sum.Value();
  return result;
}

FileResult Allocate(int fd, AllocateMode mode, int64_t position, int64_t length) {
  if (position < 0 || length <= 0 || position > std::numeric_limits<int64_t>::max() - length) {
    return {.error = EINVAL};
  }
  int status = 0;
  do {
    status = fallocate(fd, FallocateFlags(mode), position, length);
  } while (status != 0 && errno == EINTR);
  if (status == 0) return {};
  if (errno == EOPNOTSUPP && mode == AllocateMode::kPunchHole) return WriteZeros(fd, position, length);
  return {.error = errno};
}

FileResult Seek(int fd, SeekKind kind, int64_t position) {
  // The file's own position moves, which nobody uses: all I/O here names its position.
  const off_t found = lseek(fd, position, kind == SeekKind::kData ? SEEK_DATA : SEEK_HOLE);
  if (found < 0) return {.error = errno};
  return {.value = static_cast<uint64_t>(found)};
}

FileResult SyncData(int fd) {
  while (fdatasync(fd) != 0) {
    if (errno != EINTR) return {.error = errno};
  }
  return {};
}

FileResult SyncFileSystem(int fd) {
  while (syncfs(fd) != 0) {
    if (errno != EINTR) return {.error = errno};
  }
  return {};
}

}  // namespace lustre
