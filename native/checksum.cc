#include "checksum.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include <algorithm>

namespace lustre {

namespace {

// ISA-L takes the length of a CRC32C as an int.
constexpr size_t kCrc32cPiece = size_t{1} << 30;

uint32_t UpdateCrc32c(uint32_t state, const uint8_t* data, size_t length) {
  while (length > 0) {
    const size_t piece = std::min(length, kCrc32cPiece);
    // The library does not write; its parameter only lacks the const.
    state = crc32_iscsi(const_cast<uint8_t*>(data), static_cast<int>(piece), state);
    data += piece;
    length -= piece;
  }
  return state;
}

uint32_t StartOf(ChecksumType type) {
  switch (type) {
    case ChecksumType::kNone:
    case ChecksumType::kCrc32:
      // crc32_gzip_refl inverts on the way in and out: 0 here is the wire's start value, all ones.
      return 0;
    case ChecksumType::kAdler32:
      return 1;
    case ChecksumType::kCrc32c:
      return 0xffffffffU;
  }
  return 0;
}

}  // namespace

bool IsChecksumType(uint32_t value) {
  return value == 0x0 || value == 0x1 || value == 0x2 || value == 0x4;
}

Checksum::Checksum(ChecksumType type) : type_(type), state_(StartOf(type)) {}

void Checksum::Update(const void* data, size_t length) {
  if (length == 0) return;
  const auto* bytes = static_cast<const uint8_t*>(data);
  switch (type_) {
    case ChecksumType::kNone:
      break;
    case ChecksumType::kCrc32:
      state_ = crc32_gzip_refl(state_, bytes, length);
      break;
    case ChecksumType::kAdler32:
      state_ = isal_adler32(state_, bytes, length);
      break;
    case ChecksumType::kCrc32c:
      state_ = UpdateCrc32c(state_, bytes, length);
      break;
  }
}

void Checksum::Update(std::span<const iovec> segments) {
  for (const iovec& segment : segments) Update(segment.iov_base, segment.iov_len);
}

uint32_t Checksum::Value() const {
  // CRC32 goes over the wire without the final inversion, CRC32C with it (guide 12 §6.2).
  const bool inverted = type_ == ChecksumType::kCrc32 || type_ == ChecksumType::kCrc32c;
  return inverted ? ~state_ : state_;
}

uint32_t ChecksumOf(ChecksumType type, std::span<const iovec> segments) {
  Checksum sum(type);
  sum.Update(segments);
  return sum.Value();
}

}  // namespace lustre
