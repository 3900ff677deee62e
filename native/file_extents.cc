#include "file_extents.h"

#include <algorithm>
#include <cerrno>
#include <limits>

namespace lustre::lnet {

std::int64_t BytesOf(const FileRange& range) {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  if (range.position < 0 || range.position > kEnd - range.length) return -EINVAL;
  if (range.length == 0 && !range.rest.empty()) return -EINVAL;
  std::int64_t bytes = range.length;
  std::int64_t end = range.position + range.length;
  for (const auto& [position, length] : range.rest) {
    if (length == 0 || position < end || position > kEnd - length) return -EINVAL;
    bytes += length;
    end = position + length;
  }
  return bytes;
}

FileCursor::FileCursor(const FileRange& range)
    : first_(range.first()), rest_(range.rest.begin(), range.rest.end()), bytes_(first_.length) {
  for (const FileExtent& extent : rest_) bytes_ += extent.length;
  remaining_ = bytes_;
}

void FileCursor::seek(std::size_t offset) {
  index_ = 0;
  within_ = 0;
  remaining_ = bytes_;
  advance(offset);
}

FileExtent FileCursor::next(std::size_t most) const {
  if (remaining_ == 0) return {};
  const FileExtent& extent = at(index_);
  const std::size_t length = std::min(most, extent.length - within_);
  return {extent.position + static_cast<std::int64_t>(within_), static_cast<std::uint32_t>(length)};
}

void FileCursor::advance(std::size_t bytes) {
  bytes = std::min(bytes, remaining_);
  remaining_ -= bytes;
  within_ += bytes;
  while (remaining_ > 0 && within_ >= at(index_).length) within_ -= at(index_++).length;
}

}  // namespace lustre::lnet
