// Bulk checksums in the wire's conventions (guide 12 §6). Free of Node-API, so that tests and fuzzers build
// alone.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace lustre {

// The values of obd_cksum_types, which is also how TypeScript names a type to us.
enum class ChecksumType : uint32_t { kNone = 0, kCrc32 = 0x1, kAdler32 = 0x2, kCrc32c = 0x4 };

// Whether `value` is kNone or a type that we compute.
bool IsChecksumType(uint32_t value);

// A running checksum. What it has seen may come in pieces of any size.
class Checksum {
 public:
  explicit Checksum(ChecksumType type);

  void Update(const void* data, size_t length);
  void Update(std::span<const iovec> segments);

  // As o_cksum carries it; 0 for kNone. More updates may follow.
  uint32_t Value() const;

 private:
  ChecksumType type_;
  uint32_t state_;
};

uint32_t ChecksumOf(ChecksumType type, std::span<const iovec> segments);

}  // namespace lustre
