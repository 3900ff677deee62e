// Several extents of a file as one message: which are taken, what is sent, and what is written where.
#include "file_extents.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <limits>

#include "checksum.h"
#include "endpoint_fixture.h"
#include "file_fixture.h"

namespace lustre::lnet {
namespace {

constexpr std::uint32_t kPage = 4096;

// Every other page from the first on, and `odd` bytes behind them.
std::vector<FileExtent> everyOtherPage(std::uint32_t pages, std::uint32_t odd = 0) {
  std::vector<FileExtent> extents;
  for (std::uint32_t i = 0; i < pages; ++i) extents.push_back({std::int64_t{2} * i * kPage, kPage});
  if (odd > 0) extents.push_back({std::int64_t{2} * pages * kPage + 7, odd});
  return extents;
}

FileRange rangeOf(int fd, const std::vector<FileExtent>& extents) {
  const std::span<const FileExtent> all(extents);
  return {fd, all[0].position, all[0].length, ChecksumType::kCrc32c, all.subspan(1)};
}

std::vector<std::uint8_t> gathered(const std::vector<std::uint8_t>& bytes,
                                   const std::vector<FileExtent>& extents) {
  std::vector<std::uint8_t> out;
  for (const auto& [position, length] : extents) {
    const auto from = bytes.begin() + position;
    out.insert(out.end(), from, from + length);
  }
  return out;
}

}  // namespace

TEST_CASE("extents are taken that lie behind each other in what a file can have") {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  const auto bytes = [](const std::vector<FileExtent>& extents) { return BytesOf(rangeOf(0, extents)); };
  CHECK(bytes({{0, 0}}) == 0);
  CHECK(bytes({{5, 10}}) == 10);
  CHECK(bytes({{5, 10}, {15, 1}, {100, 4}}) == 15);
  CHECK(bytes({{0, 0xffff'ffff}, {0x1'0000'0000, 0xffff'ffff}}) == 2 * std::int64_t{0xffff'ffff});
  CHECK(bytes({{kEnd - 10, 10}}) == 10);
  CHECK(bytes({{kEnd - 9, 10}}) == -EINVAL);
  CHECK(bytes({{-1, 10}}) == -EINVAL);
  CHECK(bytes({{0, 10}, {9, 10}}) == -EINVAL);
  CHECK(bytes({{100, 10}, {0, 10}}) == -EINVAL);
  CHECK(bytes({{0, 10}, {-5, 1}}) == -EINVAL);
  CHECK(bytes({{0, 10}, {kEnd, 1}}) == -EINVAL);
  CHECK(bytes({{0, 10}, {20, 0}}) == -EINVAL);
  CHECK(bytes({{0, 0}, {20, 1}}) == -EINVAL);
}

TEST_CASE("a place in extents") {
  const std::vector<FileExtent> extents = {{10, 5}, {20, 1}, {30, 100}};
  FileCursor cursor(rangeOf(0, extents));
  const auto here = [&cursor](std::size_t most) {
    const FileExtent run = cursor.next(most);
    return std::pair{run.position, run.length};
  };
  CHECK(cursor.remaining() == 106);
  CHECK(here(3) == std::pair<std::int64_t, std::uint32_t>{10, 3});
  cursor.advance(3);
  CHECK(here(1000) == std::pair<std::int64_t, std::uint32_t>{13, 2});
  cursor.advance(2);
  CHECK(here(1000) == std::pair<std::int64_t, std::uint32_t>{20, 1});
  cursor.advance(51);
  CHECK(here(1000) == std::pair<std::int64_t, std::uint32_t>{80, 50});
  cursor.seek(5);
  CHECK(here(1000) == std::pair<std::int64_t, std::uint32_t>{20, 1});
  cursor.advance(1000);
  CHECK(cursor.remaining() == 0);
  CHECK(here(1000) == std::pair<std::int64_t, std::uint32_t>{0, 0});
  cursor.seek(106);
  CHECK(cursor.remaining() == 0);
}

TEST_CASE("a message of 256 extents is what they are, one after the other") {
  std::vector<std::uint8_t> sink(kMiB);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  const auto bytes = pattern(2 * kMiB);
  const File file(bytes);
  attachSink(b, sink);
  const auto extents = everyOtherPage(256);
  auto expected = gathered(bytes, extents);
  REQUIRE(putFile(a, 2, rangeOf(file.fd, extents)) == 0);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(sink == expected);
  CHECK(eventOf(a, 2, EventType::Send).checksum == crc32c(expected.data(), expected.size()));
  CHECK(eventOf(a, 2, EventType::Ack).mlength == kMiB);
}

TEST_CASE("extents beyond a file's end are zeros") {
  std::vector<std::uint8_t> sink(kMiB, 0xff);
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  auto bytes = pattern(5 * kPage / 2);
  const File file(bytes);
  attachSink(b, sink);
  const auto extents = everyOtherPage(3, 100);
  REQUIRE(putFile(a, 2, rangeOf(file.fd, extents)) == 0);
  REQUIRE(a.until([&] { return a.ended(2); }));
  bytes.resize(7 * kPage);
  auto expected = gathered(bytes, extents);
  CHECK(std::equal(expected.begin(), expected.end(), sink.begin()));
  CHECK(eventOf(a, 2, EventType::Send).checksum == crc32c(expected.data(), expected.size()));
}

TEST_CASE("what is got goes into extents, and nothing between them is touched") {
  for (const bool toSelf : {false, true}) {
    const auto extents = everyOtherPage(255, 77);
    auto bytes = pattern(255 * kPage + 77);
    Node b(kNidB);
    Node a(kNidA, {{kNidB, b.address(kNidB)}});
    Node& source = toSelf ? a : b;
    const SegmentRef from{source.endpoint->addMemory(bytes.data(), bytes.size()), 0,
                          static_cast<std::uint32_t>(bytes.size())};
    Operation entry = source.operation(kNidAny, 1, &from, 1);
    entry.options = option::kGet;
    std::uint64_t object = 0;
    REQUIRE(source.endpoint->attach(entry, object) == 0);
    const std::vector<std::uint8_t> before(2 * kMiB + kPage, 0xaa);
    const File file(before);
    Operation op = a.operation(toSelf ? kNidA : kNidB, 2, nullptr, 0);
    const FileRange range = rangeOf(file.fd, extents);
    op.file = &range;
    REQUIRE(a.endpoint->get(op, object) == 0);
    REQUIRE(a.until([&] { return a.ended(2); }));
    CHECK(eventOf(a, 2, EventType::Reply).checksum == crc32c(bytes.data(), bytes.size()));
    auto expected = before;
    auto at = bytes.begin();
    for (const auto& [position, length] : extents) {
      std::copy(at, at + length, expected.begin() + position);
      at += length;
    }
    CHECK(file.read(0, static_cast<std::size_t>(file.size())) == expected);
  }
}

TEST_CASE("more extents than a message may have, and more bytes, are refused") {
  Node a(kNidA);
  const File file;
  CHECK(putFile(a, 2, rangeOf(file.fd, everyOtherPage(256, 1))) == -EINVAL);
  CHECK(putFile(a, 2, rangeOf(file.fd, {{0, kMiB}, {2 * kMiB, 1}})) == -EINVAL);
  CHECK(putFile(a, 2, rangeOf(file.fd, {{0, kMiB - 1}, {2 * kMiB, 0xffff'ffff}})) == -EINVAL);
  CHECK(putFile(a, 2, rangeOf(file.fd, {{100, 10}, {105, 10}})) == -EINVAL);
}

}  // namespace lustre::lnet
