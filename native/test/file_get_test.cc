// GETs that take what is in files: what arrives, the checksum, and what happens when either end breaks off.
#include <fcntl.h>

#include <array>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "checksum.h"
#include "endpoint_fixture.h"
#include "file_fixture.h"
#include "file_source.h"

namespace lustre::lnet {
namespace {

// Lets a range of a file be got once, as events of `handler`, by the match bits of the same number.
int offer(Node& node, std::uint32_t handler, const FileRange& range, std::uint64_t* number = nullptr,
          std::uint32_t options = option::kGet, std::uint32_t threshold = 1) {
  Operation entry = node.operation(kNidAny, handler, nullptr, 0);
  entry.options = options;
  entry.matchBits = handler;
  entry.threshold = threshold;
  entry.autoUnlink = true;
  entry.file = &range;
  std::uint64_t object = 0;
  const int error = node.endpoint->attach(entry, object);
  if (number != nullptr) *number = object;
  return error;
}

// Gets what `from` offers by the match bits into memory.
void get(Node& node, Nid from, std::uint64_t matchBits, const SegmentRef& into, std::uint32_t offset = 0) {
  Operation op = node.operation(from, static_cast<std::uint32_t>(matchBits), &into, 1);
  op.matchBits = matchBits;
  op.offset = offset;
  op.checksum = ChecksumType::kCrc32c;
  std::uint64_t object = 0;
  REQUIRE(node.endpoint->get(op, object) == 0);
}

}  // namespace

TEST_CASE("files are taken as they are, with their checksums, though who offered them has closed them") {
  constexpr std::uint32_t kCount = 4;
  std::vector<std::uint8_t> sink(kCount * kMiB);
  File file(pattern(kCount * kMiB + 77));
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  const MemoryId memory = a.endpoint->addMemory(sink.data(), sink.size());
  for (std::uint32_t i = 0; i < kCount; ++i) {
    REQUIRE(offer(b, 10 + i, {file.fd, i * kMiB + 77, kMiB, ChecksumType::kCrc32c}) == 0);
  }
  close(std::exchange(file.fd, -1));
  for (std::uint32_t i = 0; i < kCount; ++i) get(a, kNidB, 10 + i, {memory, i * kMiB, kMiB});
  REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
  REQUIRE(b.until([&] { return allEnded(b, 10, kCount); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 77, sink.size()) == 0);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const Event& taken = eventOf(b, 10 + i, EventType::Get);
    CHECK(taken.status == 0);
    CHECK(taken.mlength == kMiB);
    CHECK(taken.checksum == crc32c(file.bytes.data() + i * kMiB + 77, kMiB));
    CHECK(taken.fileError == 0);
    CHECK(eventOf(a, 10 + i, EventType::Reply).checksum == taken.checksum);
  }
}

TEST_CASE("a part of what is offered is taken where the other end says") {
  std::vector<std::uint8_t> sink(kMiB);
  File file(pattern(kMiB));
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  const FileRange range = {file.fd, 1000, 700'000, ChecksumType::kCrc32c};
  REQUIRE(offer(b, 10, range, nullptr, option::kGet | option::kManageRemote) == 0);
  get(a, kNidB, 10, {a.endpoint->addMemory(sink.data(), sink.size()), 0, 300'000}, 5000);
  REQUIRE(a.until([&] { return a.ended(10); }));
  REQUIRE(b.until([&] { return b.ended(10); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 6000, 300'000) == 0);
  CHECK(eventOf(b, 10, EventType::Get).checksum == crc32c(file.bytes.data() + 6000, 300'000));
}

TEST_CASE("extents are taken as one run, from where the other end says") {
  std::vector<std::uint8_t> sink(kMiB);
  File file(pattern(kMiB));
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  const std::array<FileExtent, 2> rest = {{{300'000, 70'000}, {900'000, 5000}}};
  const FileRange range = {file.fd, 1000, 100'000, ChecksumType::kCrc32c, rest};
  REQUIRE(offer(b, 10, range, nullptr, option::kGet | option::kManageRemote) == 0);
  get(a, kNidB, 10, {a.endpoint->addMemory(sink.data(), sink.size()), 0, 120'000}, 52'000);
  REQUIRE(a.until([&] { return a.ended(10); }));
  REQUIRE(b.until([&] { return b.ended(10); }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 53'000, 48'000) == 0);
  CHECK(std::memcmp(sink.data() + 48'000, file.bytes.data() + 300'000, 70'000) == 0);
  CHECK(std::memcmp(sink.data() + 118'000, file.bytes.data() + 900'000, 2000) == 0);
  CHECK(eventOf(b, 10, EventType::Get).checksum == eventOf(a, 10, EventType::Reply).checksum);
  CHECK(eventOf(b, 10, EventType::Get).fileError == 0);
}

TEST_CASE("what a file does not give is zeros and told, and the connection stays good") {
  std::vector<std::uint8_t> sink(3 * kMiB, 0xff);
  File file(pattern(1000));
  const int directory = open("/tmp", O_RDONLY);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  const MemoryId memory = a.endpoint->addMemory(sink.data(), sink.size());
  REQUIRE(offer(b, 10, {file.fd, 500, 4096, ChecksumType::kCrc32c}) == 0);
  REQUIRE(offer(b, 11, {directory, 0, kMiB, ChecksumType::kCrc32c}) == 0);
  REQUIRE(offer(b, 12, {file.fd, 0, 1000, ChecksumType::kCrc32c}) == 0);
  close(directory);
  get(a, kNidB, 10, {memory, 0, 4096});
  get(a, kNidB, 11, {memory, kMiB, kMiB});
  get(a, kNidB, 12, {memory, 2 * kMiB, 1000});
  REQUIRE(a.until([&] { return allEnded(a, 10, 3); }));
  REQUIRE(b.until([&] { return allEnded(b, 10, 3); }));
  for (std::uint32_t i = 10; i < 13; ++i) CHECK(eventOf(a, i, EventType::Reply).status == 0);
  CHECK(eventOf(b, 10, EventType::Get).fileError == -ENODATA);
  CHECK(eventOf(b, 11, EventType::Get).fileError == -EISDIR);
  CHECK(eventOf(b, 12, EventType::Get).fileError == 0);
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 500, 500) == 0);
  CHECK(std::accumulate(sink.begin() + 500, sink.begin() + 4096, 0u) == 0);
  CHECK(std::accumulate(sink.begin() + kMiB, sink.begin() + 2 * kMiB, 0u) == 0);
  CHECK(std::memcmp(sink.data() + 2 * kMiB, file.bytes.data(), 1000) == 0);
}

TEST_CASE("a file is offered for one GET and nothing else") {
  Node a(kNidA);
  File file(pattern(100));
  const FileRange range = {file.fd, 0, 100, ChecksumType::kNone};
  CHECK(offer(a, 2, range, nullptr, option::kGet | option::kPut) == -EINVAL);
  CHECK(offer(a, 2, range, nullptr, option::kGet, 2) == -EINVAL);
  CHECK(offer(a, 2, {-1, 0, 100, ChecksumType::kNone}) == -EBADF);
  CHECK(offer(a, 2, {file.fd, 0, kMiB + 1, ChecksumType::kNone}) == -EINVAL);
}

TEST_CASE("a file is taken by our own NID, into memory and into a file") {
  std::vector<std::uint8_t> sink(kMiB);
  Node b(kNidB);
  File file(pattern(300'000));
  File into(pattern(10));
  REQUIRE(offer(b, 10, {file.fd, 100, 299'900, ChecksumType::kCrc32c}) == 0);
  get(b, kNidB, 10, {b.endpoint->addMemory(sink.data(), sink.size()), 0, 299'900});
  REQUIRE(b.until([&] { return b.ended(10) && b.count(10) >= 3; }));
  CHECK(std::memcmp(sink.data(), file.bytes.data() + 100, 299'900) == 0);
  CHECK(eventOf(b, 10, EventType::Get).checksum == crc32c(file.bytes.data() + 100, 299'900));
  REQUIRE(offer(b, 11, {file.fd, 0, 300'000, ChecksumType::kCrc32c}) == 0);
  const FileRange to = {into.fd, 0, 300'000, ChecksumType::kNone};
  Operation op = b.operation(kNidB, 12, nullptr, 0);
  op.matchBits = 11;
  op.file = &to;
  std::uint64_t object = 0;
  REQUIRE(b.endpoint->get(op, object) == 0);
  REQUIRE(b.until([&] { return b.ended(11) && b.ended(12); }));
  std::vector<std::uint8_t> back(300'000);
  REQUIRE(pread(into.fd, back.data(), back.size(), 0) == 300'000);
  CHECK(back == file.bytes);
}

TEST_CASE(
    "the taker resets in the middle, the endpoint closes, or nothing is wanted any more: every offer ends") {
  enum class How { Reset, Close, Unlink };
  for (const How how : {How::Reset, How::Close, How::Unlink}) {
    constexpr std::uint32_t kCount = 24;
    // Longer than the node that writes to it, a part for each: the first may come by the connection that is
    // there before that for bulk, and the next by that one at the same time.
    std::vector<std::uint8_t> sink(kCount * kMiB);
    File file(pattern(kMiB));
    Node b(kNidB);
    auto a =
        std::make_unique<Node>(kNidA, std::vector<std::pair<Nid, SocketAddress>>{{kNidB, b.address(kNidB)}});
    const MemoryId memory = a->endpoint->addMemory(sink.data(), sink.size());
    std::array<std::uint64_t, kCount> numbers{};
    for (std::uint32_t i = 0; i < kCount; ++i) {
      REQUIRE(offer(b, 10 + i, {file.fd, 0, kMiB, ChecksumType::kCrc32c}, &numbers[i]) == 0);
    }
    for (std::uint32_t i = 0; i < kCount; ++i) get(*a, kNidB, 10 + i, {memory, i * kMiB, kMiB});
    REQUIRE(b.until([&] { return b.ended(10); }));
    if (how == How::Reset) a.reset();
    if (how == How::Close) b.endpoint->beginClose(true);
    // Those that were not matched when the peer went are there until somebody ends them.
    if (how != How::Close) {
      for (const std::uint64_t number : numbers) b.endpoint->unlink(number);
    }
    REQUIRE(b.until([&] { return allEnded(b, 10, kCount); }));
  }
}

}  // namespace lustre::lnet
