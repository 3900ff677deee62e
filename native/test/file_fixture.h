// A file of a test, what to fill it with, the checksum of that, and a PUT of it.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "checksum.h"
#include "endpoint_fixture.h"

namespace lustre::lnet {

constexpr std::uint32_t kMiB = 1 << 20;

inline std::vector<std::uint8_t> pattern(std::size_t length, std::uint32_t seed = 0) {
  std::vector<std::uint8_t> bytes(length);
  for (std::size_t i = 0; i < length; ++i)
    bytes[i] = static_cast<std::uint8_t>((i + seed) * 2654435761u >> 13);
  return bytes;
}

inline std::uint32_t crc32c(const std::uint8_t* bytes, std::size_t length) {
  const iovec piece{const_cast<std::uint8_t*>(bytes), length};
  return ChecksumOf(ChecksumType::kCrc32c, {&piece, 1});
}

// Gone when it is closed.
struct File {
  int fd;
  // With which it was made.
  std::vector<std::uint8_t> bytes;

  explicit File(std::vector<std::uint8_t> content = {}) : bytes(std::move(content)) {
    char name[] = "/tmp/lustre-test-XXXXXX";
    fd = mkstemp(name);
    REQUIRE(fd >= 0);
    unlink(name);
    REQUIRE(pwrite(fd, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  }
  ~File() {
    if (fd >= 0) close(fd);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::vector<std::uint8_t> read(std::size_t offset, std::size_t length) const {
    std::vector<std::uint8_t> there(length);
    const ssize_t got = pread(fd, there.data(), length, static_cast<off_t>(offset));
    there.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return there;
  }
  std::int64_t size() const {
    struct stat about {};
    fstat(fd, &about);
    return about.st_size;
  }
};

inline int putFile(Node& a, std::uint32_t handler, const FileRange& range) {
  Operation op = a.operation(kNidB, handler, nullptr, 0);
  op.ack = true;
  op.file = &range;
  std::uint64_t object = 0;
  return a.endpoint->put(op, object);
}

}  // namespace lustre::lnet
