// GETs into files and PUTs into files: what is there, the checksum, and what happens when either end breaks
// off.
#include <fcntl.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include "checksum.h"
#include "endpoint_fixture.h"
#include "file_fixture.h"

namespace lustre::lnet {
namespace {

// Lets the node's memory be got, a MiB by each match of the bits.
void offer(Node& node, std::vector<std::uint8_t>& bytes, std::uint64_t matchBits, std::uint32_t handler = 1) {
  const SegmentRef from{node.endpoint->addMemory(bytes.data(), bytes.size()), 0,
                        static_cast<std::uint32_t>(bytes.size())};
  Operation entry = node.operation(kNidAny, handler, &from, 1);
  entry.options = option::kGet;
  entry.matchBits = matchBits;
  entry.options |= option::kManageRemote;
  std::uint64_t object = 0;
  REQUIRE(node.endpoint->attach(entry, object) == 0);
}

int getInto(Node& a, std::uint32_t handler, const FileRange& range, std::uint64_t matchBits,
            std::uint64_t* number = nullptr) {
  Operation op = a.operation(kNidB, handler, nullptr, 0);
  op.matchBits = matchBits;
  op.file = &range;
  std::uint64_t object = 0;
  const int error = a.endpoint->get(op, object);
  if (number != nullptr) *number = object;
  return error;
}

}  // namespace

TEST_CASE("what is got goes into files, each at its place, though the caller has closed them") {
  constexpr std::uint32_t kCount = 12;
  // Longer than the node that reads it; so in the others.
  std::vector<std::vector<std::uint8_t>> sources;
  for (std::uint32_t i = 0; i < kCount; ++i) sources.push_back(pattern(i % 3 == 2 ? 5000 : kMiB, i));
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  for (std::uint32_t i = 0; i < kCount; ++i) offer(b, sources[i], 100 + i);
  File file;
  const int copy = dup(file.fd);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const auto length = static_cast<std::uint32_t>(sources[i].size());
    REQUIRE(getInto(a, 10 + i, {copy, i * kMiB + 77, length, ChecksumType::kCrc32c}, 100 + i) == 0);
  }
  close(copy);
  REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const Event& reply = eventOf(a, 10 + i, EventType::Reply);
    CHECK(reply.status == 0);
    CHECK(reply.fileError == 0);
    CHECK(reply.mlength == sources[i].size());
    CHECK(reply.checksum == crc32c(sources[i].data(), sources[i].size()));
    CHECK(file.read(i * kMiB + 77, sources[i].size()) == sources[i]);
  }
}

TEST_CASE("files and memory on one connection") {
  constexpr std::uint32_t kCount = 24;
  std::vector<std::uint8_t> memory(kCount * kMiB);
  std::vector<std::uint8_t> source = pattern(kMiB);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  offer(b, source, 100);
  File file;
  const MemoryId id = a.endpoint->addMemory(memory.data(), memory.size());
  for (std::uint32_t i = 0; i < kCount; ++i) {
    if (i % 2 == 0) {
      REQUIRE(getInto(a, 10 + i, {file.fd, i * kMiB, kMiB, ChecksumType::kNone}, 100) == 0);
      continue;
    }
    const SegmentRef into{id, i * kMiB, i % 4 == 1 ? 100 : kMiB};
    Operation op = a.operation(kNidB, 10 + i, &into, 1);
    op.matchBits = 100;
    std::uint64_t object = 0;
    REQUIRE(a.endpoint->get(op, object) == 0);
  }
  REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    CHECK(eventOf(a, 10 + i, EventType::Reply).status == 0);
    if (i % 2 == 0) CHECK(file.read(i * kMiB, kMiB) == source);
    if (i % 4 == 3) CHECK(std::memcmp(memory.data() + i * kMiB, source.data(), kMiB) == 0);
  }
}

TEST_CASE("what is put goes into a file, cut off where the entry ends") {
  std::vector<std::uint8_t> source = pattern(kMiB);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  File file;
  const FileRange range{file.fd, 4096, kMiB, ChecksumType::kCrc32c};
  Operation entry = b.operation(kNidAny, 1, nullptr, 0);
  entry.options = option::kPut | option::kTruncate;
  entry.file = &range;
  std::uint64_t object = 0;
  REQUIRE(b.endpoint->attach(entry, object) == 0);
  const MemoryId id = a.endpoint->addMemory(source.data(), source.size());
  for (std::uint32_t i = 0; i < 2; ++i) {
    const SegmentRef from{id, 0, 700'000};
    Operation op = a.operation(kNidB, 10 + i, &from, 1);
    op.ack = true;
    REQUIRE(a.endpoint->put(op, object) == 0);
  }
  REQUIRE(a.until([&] { return allEnded(a, 10, 2); }));
  REQUIRE(b.until([&] { return b.count(1) == 2; }));
  CHECK(b.events[1][0].mlength == 700'000);
  CHECK(b.events[1][1].mlength == kMiB - 700'000);
  CHECK(b.events[1][0].checksum == crc32c(source.data(), 700'000));
  CHECK(b.events[1][1].checksum == crc32c(source.data(), kMiB - 700'000));
  std::vector<std::uint8_t> whole(source.begin(), source.begin() + 700'000);
  whole.insert(whole.end(), source.begin(), source.begin() + (kMiB - 700'000));
  CHECK(file.read(4096, 2 * kMiB) == whole);
}

TEST_CASE("a file that cannot be written says so, and the connection goes on") {
  std::vector<std::uint8_t> source = pattern(kMiB);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  offer(b, source, 100);
  const int full = open("/dev/full", O_RDWR);
  REQUIRE(full >= 0);
  File file;
  for (std::uint32_t i = 0; i < 6; ++i) {
    const int fd = i % 2 == 0 ? full : file.fd;
    REQUIRE(getInto(a, 10 + i, {fd, 0, kMiB, ChecksumType::kCrc32c}, 100) == 0);
  }
  close(full);
  REQUIRE(a.until([&] { return allEnded(a, 10, 6); }));
  for (std::uint32_t i = 0; i < 6; ++i) {
    CHECK(eventOf(a, 10 + i, EventType::Reply).status == 0);
    CHECK(eventOf(a, 10 + i, EventType::Reply).mlength == kMiB);
    CHECK(eventOf(a, 10 + i, EventType::Reply).checksum == crc32c(source.data(), kMiB));
    CHECK(eventOf(a, 10 + i, EventType::Reply).fileError == (i % 2 == 0 ? -ENOSPC : 0));
  }
  CHECK(file.read(0, kMiB) == source);
}

TEST_CASE("what is no file, or more than a message, is refused") {
  Node a(kNidA);
  File file;
  CHECK(getInto(a, 2, {-1, 0, 100, ChecksumType::kNone}, 1) == -EBADF);
  CHECK(getInto(a, 2, {file.fd, -1, 100, ChecksumType::kNone}, 1) == -EINVAL);
  CHECK(getInto(a, 2, {file.fd, 0, kMiB + 1, ChecksumType::kNone}, 1) == -EINVAL);
}

TEST_CASE("from our own NID") {
  std::vector<std::uint8_t> source = pattern(300'000);
  Node b(kNidB);
  offer(b, source, 100);
  File file;
  REQUIRE(getInto(b, 2, {file.fd, 100, 300'000, ChecksumType::kCrc32c}, 100) == 0);
  REQUIRE(b.until([&] { return b.ended(2); }));
  CHECK(eventOf(b, 2, EventType::Reply).checksum == crc32c(source.data(), source.size()));
  CHECK(file.read(100, 300'000) == source);
}

TEST_CASE("a GET that was taken back while it came writes nothing after its last event") {
  std::vector<std::uint8_t> source = pattern(kMiB);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  offer(b, source, 100);
  File file;
  constexpr std::uint32_t kCount = 32;
  std::vector<std::uint64_t> objects(kCount);
  for (std::uint32_t i = 0; i < kCount; ++i) {
    REQUIRE(getInto(a, 10 + i, {file.fd, i * kMiB, kMiB, ChecksumType::kNone}, 100, &objects[i]) == 0);
  }
  REQUIRE(a.until([&] { return a.ended(10); }));
  for (const std::uint64_t object : objects) a.endpoint->unlink(object);
  REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const Event& last = a.events[10 + i].back();
    const bool whole = typeOf(last) == EventType::Reply && last.status == 0 && last.fileError == 0;
    if (whole) CHECK(file.read(i * kMiB, kMiB) == source);
  }
  REQUIRE(ftruncate(file.fd, 0) == 0);
  // The connection is as good as before, and has nothing left for the file.
  File other;
  REQUIRE(getInto(a, 90, {other.fd, 0, kMiB, ChecksumType::kNone}, 100) == 0);
  REQUIRE(a.until([&] { return a.ended(90); }));
  CHECK(other.read(0, kMiB) == source);
  CHECK(file.size() == 0);
}

TEST_CASE("the peer resets in the middle, and the endpoint closes in the middle: every GET ends") {
  for (const bool closeSelf : {false, true}) {
    std::vector<std::uint8_t> source = pattern(kMiB);
    auto b = std::make_unique<Node>(kNidB);
    Node a(kNidA, {{kNidB, b->address(kNidB)}});
    offer(*b, source, 100);
    File file;
    constexpr std::uint32_t kCount = 64;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      REQUIRE(getInto(a, 10 + i, {file.fd, i * kMiB, kMiB, ChecksumType::kCrc32c}, 100) == 0);
    }
    REQUIRE(a.until([&] { return a.ended(10); }));
    if (closeSelf) {
      a.endpoint->beginClose(true);
    } else {
      b.reset();
    }
    REQUIRE(a.until([&] { return allEnded(a, 10, kCount); }));
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const Event& last = a.events[10 + i].back();
      if (typeOf(last) == EventType::Reply && last.status == 0) {
        CHECK(file.read(i * kMiB, kMiB) == source);
      }
    }
  }
}

namespace {

// The first `sent` bytes of a MiB that was asked for, header included; gives the rest.
std::vector<std::uint8_t> replyHalfway(const RawSocket& raw, std::size_t sent) {
  const auto get = raw.receive(kFullHeaderSize);
  MessageHeader asked;
  REQUIRE(parseMessageHeader(get.data() + kFrameHeaderSize, asked) == 0);
  MessageHeader reply;
  reply.type = MessageType::Reply;
  reply.destination = kNidA;
  reply.source = kNidB;
  reply.payloadLength = kMiB;
  reply.handle = asked.handle;
  std::vector<std::uint8_t> bytes = frame(reply, kMiB);
  raw.send({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(sent)});
  return {bytes.begin() + static_cast<std::ptrdiff_t>(sent), bytes.end()};
}

void waitForSize(const File& file, std::int64_t atLeast) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (file.size() < atLeast && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  REQUIRE(file.size() >= atLeast);
}

}  // namespace

TEST_CASE("once it is taken back nothing of a GET is written, though its REPLY goes on later") {
  Node a(kNidA);
  RawSocket raw(a);
  raw.handshake(kNidB, ConnectionType::Any);
  File file;
  std::uint64_t object = 0;
  REQUIRE(getInto(a, 2, {file.fd, 0, kMiB, ChecksumType::kNone}, 100, &object) == 0);
  const auto rest = replyHalfway(raw, 600'000);
  waitForSize(file, 1);
  a.endpoint->unlink(object);
  // Somebody else's from here on.
  const auto others = pattern(kMiB, 7);
  REQUIRE(pwrite(file.fd, others.data(), others.size(), 0) == static_cast<ssize_t>(others.size()));
  CHECK_FALSE(a.ended(2));
  raw.send(rest);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(eventOf(a, 2, EventType::Reply).fileError == -ECANCELED);
  CHECK(file.read(0, 2 * kMiB) == others);
  // The connection is as good as before.
  File next;
  REQUIRE(getInto(a, 3, {next.fd, 0, kMiB, ChecksumType::kNone}, 100) == 0);
  raw.send(replyHalfway(raw, 1000));
  REQUIRE(a.until([&] { return a.ended(3); }));
  CHECK(eventOf(a, 3, EventType::Reply).fileError == 0);
  CHECK(next.size() == kMiB);
}

TEST_CASE("a REPLY that stops in the middle ends when the connection's time is up") {
  Node a(kNidA, {}, true, 2000);
  RawSocket raw(a);
  raw.handshake(kNidB, ConnectionType::Any);
  File file;
  REQUIRE(getInto(a, 2, {file.fd, 0, kMiB, ChecksumType::kNone}, 100) == 0);
  replyHalfway(raw, 600'000);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(a.events[2].back().status < 0);
  CHECK(raw.hungUp());
  // What had come by then may be there; what had not is not.
  CHECK(file.size() <= 600'000);
}

}  // namespace lustre::lnet
