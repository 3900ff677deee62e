#include "../checksum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace {

using lustre::Checksum;
using lustre::ChecksumOf;
using lustre::ChecksumType;

uint32_t Of(ChecksumType type, std::string text) {
  const std::vector<iovec> segments{{text.data(), text.size()}};
  return ChecksumOf(type, segments);
}

std::string Counting(size_t length) {
  std::string text(length, '\0');
  std::iota(text.begin(), text.end(), '\0');
  return text;
}

TEST_CASE("checksums have the values of guide 12 §6.3") {
  CHECK(Of(ChecksumType::kCrc32, "123456789") == 0x340bc6d9);
  CHECK(Of(ChecksumType::kAdler32, "123456789") == 0x091e01de);
  CHECK(Of(ChecksumType::kCrc32c, "123456789") == 0xe3069283);
  CHECK(Of(ChecksumType::kCrc32, Counting(4096)) == 0x5d6edf7d);
  CHECK(Of(ChecksumType::kAdler32, Counting(4096)) == 0x60aef86a);
  CHECK(Of(ChecksumType::kCrc32c, Counting(4096)) == 0x9c71fe32);
  const std::string mebibyte(size_t{1} << 20, '\xad');
  CHECK(Of(ChecksumType::kCrc32, mebibyte) == 0xce44f887);
  CHECK(Of(ChecksumType::kAdler32, mebibyte) == 0x5cfca231);
  CHECK(Of(ChecksumType::kCrc32c, mebibyte) == 0x841b0132);
}

TEST_CASE("the checksum of nothing is the start value") {
  CHECK(Of(ChecksumType::kNone, "abc") == 0);
  CHECK(Of(ChecksumType::kCrc32, "") == 0xffffffff);
  CHECK(Of(ChecksumType::kAdler32, "") == 1);
  CHECK(Of(ChecksumType::kCrc32c, "") == 0);
}

TEST_CASE("pieces of every size and alignment give the checksum of the whole") {
  const std::string text = Counting(1000);
  for (const ChecksumType type : {ChecksumType::kCrc32, ChecksumType::kAdler32, ChecksumType::kCrc32c}) {
    const uint32_t whole = Of(type, text);
    for (size_t piece = 1; piece <= text.size(); ++piece) {
      Checksum sum(type);
      for (size_t at = 0; at < text.size(); at += piece) {
        sum.Update(text.data() + at, std::min(piece, text.size() - at));
      }
      REQUIRE(sum.Value() == whole);
    }
  }
}

TEST_CASE("only the types of the wire are known") {
  CHECK(lustre::IsChecksumType(0));
  CHECK(lustre::IsChecksumType(4));
  CHECK_FALSE(lustre::IsChecksumType(3));
  CHECK_FALSE(lustre::IsChecksumType(0x10));
  CHECK_FALSE(lustre::IsChecksumType(UINT32_MAX));
}

}  // namespace
