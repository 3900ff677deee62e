#include "../object_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

using lustre::AllocateMode;
using lustre::ChecksumType;
using lustre::FileResult;
using lustre::SeekKind;

// An unnamed file that goes away with its descriptor.
class TemporaryFile {
 public:
  TemporaryFile() {
    std::string path = "/tmp/lustre-object-XXXXXX";
    fd_ = mkstemp(path.data());
    REQUIRE(fd_ >= 0);
    unlink(path.c_str());
  }
  ~TemporaryFile() { close(fd_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int Fd() const { return fd_; }

 private:
  int fd_ = -1;
};

std::vector<iovec> Cut(std::string& text, size_t piece) {
  std::vector<iovec> segments;
  for (size_t at = 0; at < text.size(); at += piece) {
    segments.push_back({text.data() + at, std::min(piece, text.size() - at)});
  }
  return segments;
}

std::string Pattern(size_t length) {
  std::string text(length, '\0');
  for (size_t i = 0; i < length; ++i) text[i] = static_cast<char>(i * 31 + i / 4096);
  return text;
}

TEST_CASE("what was written in one set of segments is read in another") {
  const TemporaryFile file;
  std::string data = Pattern(100'000);
  const std::vector<iovec> whole = Cut(data, data.size());
  const uint32_t sum = lustre::ChecksumOf(ChecksumType::kCrc32c, whole);
  for (const size_t piece : {size_t{7}, size_t{4096}, size_t{99'999}, size_t{100'000}}) {
    const FileResult written =
        lustre::WriteSegments(file.Fd(), 12345, Cut(data, piece), ChecksumType::kCrc32c);
    CHECK(written.error == 0);
    CHECK(written.value == data.size());
    CHECK(written.checksum == sum);
    std::string into(data.size(), '\0');
    const FileResult read =
        lustre::ReadSegments(file.Fd(), 12345, Cut(into, piece / 3 + 1), ChecksumType::kCrc32c);
    CHECK(read.error == 0);
    CHECK(read.value == data.size());
    CHECK(read.checksum == sum);
    CHECK(into == data);
  }
}

TEST_CASE("what needs no disk is moved at once, as otherwise; what fails is left to be found out again") {
  const TemporaryFile file;
  std::string data = Pattern(10'000);
  const std::vector<iovec> pieces = Cut(data, 777);
  const FileResult written = lustre::WriteSegments(file.Fd(), 5, pieces, ChecksumType::kCrc32c);
  REQUIRE(written.error == 0);
  std::string back(20'000, 'x');
  const std::vector<iovec> into = Cut(back, 5000);
  // A file system may know no such thing, and pages may be gone: then there is no result.
  if (const auto now = lustre::ReadCached(file.Fd(), 5, into, ChecksumType::kCrc32c); now) {
    CHECK(now->value == data.size());
    CHECK(now->checksum == written.checksum);
    CHECK(back.substr(0, data.size()) == data);
  }
  std::string other = Pattern(3000);
  if (const auto now = lustre::WriteCached(file.Fd(), 100, Cut(other, 1000), ChecksumType::kCrc32c); now) {
    CHECK(now->value == other.size());
    CHECK(now->checksum == lustre::ChecksumOf(ChecksumType::kCrc32c, Cut(other, 1000)));
    REQUIRE(lustre::ReadSegments(file.Fd(), 100, Cut(back, 5000), ChecksumType::kNone).error == 0);
    CHECK(back.substr(0, other.size()) == other);
  }
  CHECK_FALSE(lustre::ReadCached(-1, 0, into, ChecksumType::kNone));
  CHECK_FALSE(lustre::ReadCached(file.Fd(), -1, into, ChecksumType::kNone));
  CHECK_FALSE(lustre::WriteCached(-1, 0, pieces, ChecksumType::kNone));
}

TEST_CASE("lists longer than IOV_MAX and empty segments are no matter") {
  const TemporaryFile file;
  std::string data = Pattern(size_t{3} * IOV_MAX);
  std::vector<iovec> segments = Cut(data, 1);
  segments.insert(segments.begin(), {nullptr, 0});
  segments.insert(segments.begin() + IOV_MAX, 5, {data.data(), 0});
  segments.push_back({nullptr, 0});
  CHECK(lustre::WriteSegments(file.Fd(), 0, segments, ChecksumType::kNone).value == data.size());
  std::string into(data.size(), '\0');
  CHECK(lustre::ReadSegments(file.Fd(), 0, Cut(into, into.size()), ChecksumType::kNone).value == data.size());
  CHECK(into == data);
}

TEST_CASE("a read stops at the end of the file, its checksum too") {
  const TemporaryFile file;
  std::string data = Pattern(3'000'000);
  lustre::WriteSegments(file.Fd(), 0, Cut(data, data.size()), ChecksumType::kNone);
  std::string into(4'000'000, 'x');
  const FileResult read = lustre::ReadSegments(file.Fd(), 1000, Cut(into, 65536), ChecksumType::kAdler32);
  std::string expected = data.substr(1000);
  CHECK(read.error == 0);
  CHECK(read.value == expected.size());
  CHECK(read.checksum == lustre::ChecksumOf(ChecksumType::kAdler32, Cut(expected, expected.size())));
  CHECK(into.compare(0, expected.size(), expected) == 0);
  CHECK(into[expected.size()] == 'x');
}

TEST_CASE("errors carry the errno, and a refused write is never a short success") {
  std::string data = Pattern(10);
  CHECK(lustre::ReadSegments(-1, 0, Cut(data, 10), ChecksumType::kNone).error == EBADF);
  const TemporaryFile file;
  CHECK(lustre::ReadSegments(file.Fd(), -1, Cut(data, 10), ChecksumType::kNone).error == EINVAL);
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  CHECK(lustre::WriteSegments(full, 0, Cut(data, 3), ChecksumType::kCrc32).error == ENOSPC);
  close(full);
  CHECK(lustre::Seek(file.Fd(), SeekKind::kData, 0).error == ENXIO);
  CHECK(lustre::SyncData(-1).error == EBADF);
  CHECK(lustre::Allocate(file.Fd(), AllocateMode::kAllocate, 0, 0).error == EINVAL);
  CHECK(lustre::Allocate(file.Fd(), AllocateMode::kAllocate, INT64_MAX, 1).error == EINVAL);
}

TEST_CASE("a punched hole reads as zeros and keeps the size") {
  const TemporaryFile file;
  constexpr int64_t kBlock = 1 << 20;
  std::string data = Pattern(3 * kBlock);
  lustre::WriteSegments(file.Fd(), 0, Cut(data, data.size()), ChecksumType::kNone);
  // Not on block borders, and past the end.
  CHECK(lustre::Allocate(file.Fd(), AllocateMode::kPunchHole, kBlock + 5, 10 * kBlock).error == 0);
  std::string into(data.size(), 'x');
  CHECK(lustre::ReadSegments(file.Fd(), 0, Cut(into, into.size()), ChecksumType::kNone).value == data.size());
  data.replace(kBlock + 5, std::string::npos, 2 * kBlock - 5, '\0');
  CHECK(into == data);
  CHECK(lustre::SyncData(file.Fd()).error == 0);
}

TEST_CASE("ranges are summed one after the other, as far as the file goes") {
  const TemporaryFile file;
  std::string data = Pattern(1'000'000);
  REQUIRE(lustre::WriteSegments(file.Fd(), 0, Cut(data, data.size()), ChecksumType::kNone).error == 0);
  const auto sum = [](std::string text) {
    return lustre::ChecksumOf(ChecksumType::kCrc32c, Cut(text, std::max<size_t>(text.size(), 1)));
  };
  const std::vector<lustre::ByteRange> ranges = {{700'000, 300'000}, {5, 0}, {5, 600'000}};
  FileResult result = lustre::ChecksumRanges(file.Fd(), ranges, ChecksumType::kCrc32c);
  CHECK(result.error == 0);
  CHECK(result.value == 900'000);
  CHECK(result.checksum == sum(data.substr(700'000) + data.substr(5, 600'000)));
  const std::vector<lustre::ByteRange> beyond = {{999'000, 5000}, {0, 10}};
  result = lustre::ChecksumRanges(file.Fd(), beyond, ChecksumType::kCrc32c);
  CHECK(result.error == 0);
  CHECK(result.value == 1000);
  CHECK(result.checksum == sum(data.substr(999'000)));
  const std::vector<lustre::ByteRange> before = {{-1, 10}};
  CHECK(lustre::ChecksumRanges(file.Fd(), before, ChecksumType::kCrc32c).error == EINVAL);
  CHECK(lustre::ChecksumRanges(-1, ranges, ChecksumType::kCrc32c).error == EBADF);
}

TEST_CASE("threads of the pool work on one file at once") {
  const TemporaryFile file;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([fd = file.Fd(), i] {
      std::string data = Pattern(200'000 + static_cast<size_t>(i));
      const int64_t position = int64_t{i} << 20;
      for (int round = 0; round < 20; ++round) {
        lustre::WriteSegments(fd, position, Cut(data, 5000), ChecksumType::kCrc32c);
        std::string into(data.size(), '\0');
        const FileResult read = lustre::ReadSegments(fd, position, Cut(into, 7000), ChecksumType::kCrc32c);
        if (read.error != 0 || into != data) std::abort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
