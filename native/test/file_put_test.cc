// PUTs out of files: what arrives, the checksum, and what happens when either end breaks off.
#include <fcntl.h>

#include <cstdlib>
#include <numeric>

#include "checksum.h"
#include "endpoint_fixture.h"
#include "file_fixture.h"
#include "file_source.h"

namespace lustre::lnet {

TEST_CASE("files arrive as they are, in order, with their checksums, though the caller has closed them") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  File file(pattern(5 * kMiB));
  std::vector<std::uint8_t> sink(4 * kMiB);
  attachSink(b, sink);
  for (std::uint32_t i = 0; i < 4; ++i) {
    REQUIRE(putFile(a, 10 + i, {file.fd, i * kMiB + 77, kMiB, ChecksumType::kCrc32c}) == 0);
  }
  close(std::exchange(file.fd, -1));
  REQUIRE(a.until([&] { return allEnded(a, 10, 4); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 77, sink.size()) == 0);
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK(eventOf(a, 10 + i, EventType::Send).status == 0);
    CHECK(eventOf(a, 10 + i, EventType::Send).checksum == crc32c(file.bytes.data() + i * kMiB + 77, kMiB));
  }
}

TEST_CASE("a file and memory on one connection keep their order") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  File file(pattern(kMiB));
  std::vector<std::uint8_t> sink(8 * kMiB);
  attachSink(b, sink);
  std::vector<std::uint8_t> memory(64 * 1024, 0x5a);
  const SegmentRef from{a.endpoint->addMemory(memory.data(), memory.size()), 0, 64 * 1024};
  std::uint64_t object = 0;
  for (std::uint32_t i = 0; i < 8; ++i) {
    if (i % 2 == 0) {
      REQUIRE(putFile(a, i + 10, {file.fd, 0, kMiB, ChecksumType::kNone}) == 0);
    } else {
      Operation op = a.operation(kNidB, i + 10, &from, 1);
      op.ack = true;
      REQUIRE(a.endpoint->put(op, object) == 0);
    }
  }
  REQUIRE(a.until([&] { return allEnded(a, 10, 8); }));
  for (std::uint32_t i = 0; i < 4; ++i) {
    const std::uint8_t* at = sink.data() + i * (kMiB + memory.size());
    CHECK(std::memcmp(at, file.bytes.data(), kMiB) == 0);
    CHECK(std::memcmp(at + kMiB, memory.data(), memory.size()) == 0);
  }
}

TEST_CASE("a file that has become shorter is filled up with zeros") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  File file(pattern(1000));
  std::vector<std::uint8_t> sink(kMiB, 0xff);
  attachSink(b, sink);
  REQUIRE(putFile(a, 2, {file.fd, 500, 4096, ChecksumType::kCrc32c}) == 0);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 500, 500) == 0);
  CHECK(std::accumulate(sink.begin() + 500, sink.begin() + 4096, 0u) == 0);
  const iovec whole{sink.data(), 4096};
  CHECK(eventOf(a, 2, EventType::Send).checksum == ChecksumOf(ChecksumType::kCrc32c, {&whole, 1}));
}

TEST_CASE("a file that cannot be read ends the connection, never a message short") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  std::vector<std::uint8_t> sink(kMiB);
  attachSink(b, sink);
  const int directory = open("/tmp", O_RDONLY);
  REQUIRE(directory >= 0);
  REQUIRE(putFile(a, 2, {directory, 0, 4096, ChecksumType::kNone}) == 0);
  close(directory);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(eventOf(a, 2, EventType::Send).status < 0);
  CHECK(b.count(1) == 0);
}

TEST_CASE("what is no file, or more than a message, is refused") {
  Node a(kNidA);
  File file(pattern(100));
  CHECK(putFile(a, 2, {-1, 0, 100, ChecksumType::kNone}) == -EBADF);
  CHECK(putFile(a, 2, {file.fd, -1, 100, ChecksumType::kNone}) == -EINVAL);
  CHECK(putFile(a, 2, {file.fd, 0, kMiB + 1, ChecksumType::kNone}) == -EINVAL);
}

TEST_CASE("to our own NID") {
  Node b(kNidB);
  File file(pattern(300'000));
  std::vector<std::uint8_t> sink(kMiB);
  attachSink(b, sink);
  REQUIRE(putFile(b, 2, {file.fd, 100, 299'900, ChecksumType::kCrc32c}) == 0);
  REQUIRE(b.until([&] { return b.ended(2); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 100, 299'900) == 0);
  CHECK(eventOf(b, 2, EventType::Send).checksum == crc32c(file.bytes.data() + 100, 299'900));
}

TEST_CASE("the peer resets in the middle, and the endpoint closes in the middle: every PUT ends") {
  for (const bool closeSelf : {false, true}) {
    // Longer than the node that writes to it.
    std::vector<std::uint8_t> sink(kMiB);
    auto b = std::make_unique<Node>(kNidB);
    Node a(kNidA, {{kNidB, b->address(kNidB)}});
    File file(pattern(kMiB));
    const SegmentRef into{b->endpoint->addMemory(sink.data(), sink.size()), 0, kMiB};
    Operation entry = b->operation(kNidAny, 1, &into, 1);
    entry.options = option::kPut | option::kManageRemote;
    std::uint64_t object = 0;
    REQUIRE(b->endpoint->attach(entry, object) == 0);
    constexpr std::uint32_t kCount = 64;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      REQUIRE(putFile(a, 10 + i, {file.fd, 0, kMiB, ChecksumType::kCrc32c}) == 0);
    }
    REQUIRE(a.until([&] { return a.ended(10); }));
    if (closeSelf) {
      a.endpoint->beginClose(true);
    } else {
      b.reset();
    }
    REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
  }
}

}  // namespace lustre::lnet
