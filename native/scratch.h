// Arguments of one operation: JavaScript writes them into memory that both map, then makes one call without
// arguments (a bigint argument costs more than the call). lib/lnet/native-addon.ts knows the layout
// (ScratchWord).
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "endpoint.h"

namespace lustre::lnet {

struct Scratch {
  static constexpr std::uint32_t kFlagAutoUnlink = 1;
  static constexpr std::uint32_t kFlagBefore = 2;
  static constexpr std::uint32_t kFlagAck = 4;
  static constexpr std::uint32_t kFlagLater = 8;
  // Out of a file, or into one: the place of the segments holds {descriptor, checksum type, extents}, then
  // of each {position low, high, length}.
  static constexpr std::uint32_t kFlagFile = 16;
  static constexpr std::uint32_t kFlagQuiet = 32;
  // The type of checksum over what is received, as in obd_cksum_types.
  static constexpr unsigned kChecksumShift = 8;

  std::uint64_t peer;
  std::uint64_t matchBits;
  std::uint64_t ignoreBits;
  std::uint64_t hdrData;
  std::uint64_t object;  // result of attach, put and get; argument of unlink
  std::uint32_t peerPid;
  std::uint32_t portal;
  std::uint32_t threshold;
  std::uint32_t options;
  std::uint32_t maxSize;
  std::uint32_t offset;
  std::uint32_t handler;
  std::uint32_t generation;
  std::uint32_t flags;
  std::uint32_t segmentCount;
  std::uint32_t finalOffset;
  SegmentRef segments[kMaxFragments + 1];

  // Calls `start` with the operation that is written here, and its file.
  template <typename Start>
  int begin(Start start) const {
    Operation op = operation();
    if ((flags & kFlagFile) == 0) return start(op);
    const auto& [fd, type, count] = segments[0];
    if (!IsChecksumType(type) || count == 0 || count > kMaxFragments) return -EINVAL;
    const auto [position, length] = extent(0);
    std::vector<FileExtent> rest;
    for (std::size_t i = 1; i < count; ++i) rest.push_back(extent(i));
    const FileRange range = {static_cast<int>(fd), position, length, static_cast<ChecksumType>(type), rest};
    op.file = &range;
    op.segmentCount = 0;
    return start(op);
  }

 private:
  FileExtent extent(std::size_t i) const {
    const auto& [low, high, length] = segments[1 + i];
    return {static_cast<std::int64_t>(std::uint64_t{high} << 32 | low), length};
  }

  Operation operation() const {
    Operation op;
    op.peer = peer;
    op.peerPid = peerPid;
    op.portal = portal;
    op.matchBits = matchBits;
    op.ignoreBits = ignoreBits;
    op.hdrData = hdrData;
    op.threshold = threshold;
    op.options = options;
    op.maxSize = maxSize;
    op.offset = offset;
    op.finalOffset = finalOffset;
    op.handler = handler;
    op.generation = generation;
    op.autoUnlink = (flags & kFlagAutoUnlink) != 0;
    op.before = (flags & kFlagBefore) != 0;
    op.ack = (flags & kFlagAck) != 0;
    op.later = (flags & kFlagLater) != 0;
    if (const std::uint32_t type = flags >> kChecksumShift; IsChecksumType(type)) {
      op.checksum = static_cast<ChecksumType>(type);
    }
    op.quiet = (flags & kFlagQuiet) != 0;
    op.segments = segments;
    op.segmentCount = segmentCount;
    return op;
  }
};
static_assert(sizeof(SegmentRef) == 12 && offsetof(Scratch, segments) == 84);

}  // namespace lustre::lnet
