#include "t10.h"

#include <isa-l/crc.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "checksum.h"

namespace lustre {

namespace {

constexpr size_t kSectorMax = 4096;
// Tags that are summed at a time.
constexpr size_t kTags = 1024;

using Guard = uint16_t (*)(const uint8_t*, size_t);

struct T10Kind {
  uint32_t type;
  Guard guard;
  size_t sector;
};

constexpr std::array<T10Kind, 4> kKinds{{
    {0x10, IpGuard, 512},
    {0x20, IpGuard, kSectorMax},
    {0x40, CrcGuard, 512},
    {0x80, CrcGuard, kSectorMax},
}};

const T10Kind* FindKind(uint32_t type) {
  const auto* kind =
      std::find_if(kKinds.begin(), kKinds.end(), [type](const T10Kind& k) { return k.type == type; });
  return kind == kKinds.end() ? nullptr : kind;
}

// Takes bytes in pieces of any size, and a tag of each sector as it is whole.
class GuardTags {
 public:
  GuardTags(const T10Kind& kind, uint32_t page_offset)
      : kind_(kind), missing_(kind.sector - page_offset % kind.sector) {}

  void Update(const uint8_t* data, size_t length) {
    while (length > 0) {
      const size_t piece = std::min(length, missing_);
      if (kept_ == 0 && piece == missing_) {
        Append(kind_.guard(data, piece));
      } else {
        std::memcpy(sector_.data() + kept_, data, piece);
        kept_ += piece;
        if (piece == missing_) AppendKept();
      }
      missing_ = piece == missing_ ? kind_.sector : missing_ - piece;
      data += piece;
      length -= piece;
    }
  }

  uint32_t Finish() {
    if (kept_ > 0) AppendKept();
    adler_.Update(tags_.data(), used_);
    used_ = 0;
    return adler_.Value();
  }

 private:
  void AppendKept() {
    Append(kind_.guard(sector_.data(), kept_));
    kept_ = 0;
  }

  void Append(uint16_t tag) {
    tags_[used_++] = static_cast<uint8_t>(tag >> 8);
    tags_[used_++] = static_cast<uint8_t>(tag);
    if (used_ < tags_.size()) return;
    adler_.Update(tags_.data(), used_);
    used_ = 0;
  }

  const T10Kind& kind_;
  // Bytes until the sector ends.
  size_t missing_;
  // Of a sector that lies in several pieces.
  size_t kept_ = 0;
  std::array<uint8_t, kSectorMax> sector_;
  size_t used_ = 0;
  std::array<uint8_t, 2 * kTags> tags_;
  Checksum adler_{ChecksumType::kAdler32};
};

}  // namespace

bool IsT10Type(uint32_t value) {
  return FindKind(value) != nullptr;
}

bool IsBulkChecksumType(uint32_t value) {
  return IsChecksumType(value) || IsT10Type(value);
}

uint16_t CrcGuard(const uint8_t* data, size_t length) {
  return crc16_t10dif(0, data, length);
}

uint16_t IpGuard(const uint8_t* data, size_t length) {
  // The ones' complement sum comes out the same in either byte order but for the order of its own bytes (RFC
  // 1071 §2): words are added as the machine has them. 2^32 of them fit. Sums side by side, so that none
  // waits for another.
  std::array<uint64_t, 8> sums{};
  std::array<uint32_t, sums.size()> words;
  for (; length >= sizeof words; data += sizeof words, length -= sizeof words) {
    std::memcpy(words.data(), data, sizeof words);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += words[i];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  for (; length >= sizeof(uint32_t); data += sizeof(uint32_t), length -= sizeof(uint32_t)) {
    uint32_t word;
    std::memcpy(&word, data, sizeof word);
    sum += word;
  }
  uint32_t rest = 0;
  std::memcpy(&rest, data, length);
  sum += rest;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  const auto folded = static_cast<uint16_t>(~sum);
  std::array<uint8_t, 2> bytes{};
  std::memcpy(bytes.data(), &folded, sizeof folded);
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}

uint32_t BulkChecksumOf(uint32_t type, std::span<const iovec> segments, uint32_t page_offset) {
  const T10Kind* kind = FindKind(type);
  if (kind == nullptr) return ChecksumOf(static_cast<ChecksumType>(type), segments);
  GuardTags tags(*kind, page_offset);
  for (const iovec& segment : segments)
    tags.Update(static_cast<const uint8_t*>(segment.iov_base), segment.iov_len);
  return tags.Finish();
}

}  // namespace lustre
