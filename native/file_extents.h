// Bytes of an open file that are moved as one run: extents that lie behind each other in it, with holes
// between them (the niobufs of a read or a write).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "checksum.h"

namespace lustre::lnet {

struct FileExtent {
  std::int64_t position = 0;
  std::uint32_t length = 0;
};

struct FileRange {
  int fd = -1;
  std::int64_t position = 0;
  std::uint32_t length = 0;
  ChecksumType checksum = ChecksumType::kNone;
  // What follows this first extent; read before the call that takes the range returns.
  std::span<const FileExtent> rest = {};

  FileExtent first() const { return {position, length}; }
};

// Bytes of all extents; -EINVAL where one is empty (but a first one that is alone), ends beyond what a file
// can have, or does not lie behind the one before it.
std::int64_t BytesOf(const FileRange& range);

// A place in a range that BytesOf has accepted.
class FileCursor {
 public:
  explicit FileCursor(const FileRange& range);

  // So many bytes from the range's beginning.
  void seek(std::size_t offset);
  // What lies together from here on, at most so much of it; nothing at the end.
  FileExtent next(std::size_t most) const;
  void advance(std::size_t bytes);
  // To the end.
  std::size_t remaining() const { return remaining_; }

 private:
  const FileExtent& at(std::size_t index) const { return index == 0 ? first_ : rest_[index - 1]; }

  const FileExtent first_;
  const std::vector<FileExtent> rest_;
  std::size_t bytes_ = 0;
  std::size_t index_ = 0;
  std::size_t within_ = 0;
  std::size_t remaining_ = 0;
};

}  // namespace lustre::lnet
