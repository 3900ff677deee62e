#include "../t10.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace {

using lustre::BulkChecksumOf;
using lustre::CrcGuard;
using lustre::IpGuard;

constexpr std::array<uint32_t, 4> kTypes{0x10, 0x20, 0x40, 0x80};

std::string Counting(size_t length) {
  std::string text(length, '\0');
  std::iota(text.begin(), text.end(), '\0');
  return text;
}

std::vector<uint32_t> Of(std::string text, uint32_t page_offset) {
  const std::vector<iovec> segments{{text.data(), text.size()}};
  std::vector<uint32_t> sums;
  for (const uint32_t type : kTypes) sums.push_back(BulkChecksumOf(type, segments, page_offset));
  return sums;
}

uint16_t Guard(decltype(&CrcGuard) guard, const std::string& text) {
  return guard(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

TEST_CASE("guard tags have the known values") {
  CHECK(Guard(CrcGuard, "123456789") == 0xd0db);
  CHECK(Guard(CrcGuard, std::string(1, '\0')) == 0x0000);
  CHECK(Guard(IpGuard, std::string(1, '\0')) == 0xffff);
  // RFC 1071 §3.
  CHECK(Guard(IpGuard, std::string("\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8)) == 0x220d);
}

TEST_CASE("T10 checksums have the values of guide 12 §6.3") {
  using Sums = std::vector<uint32_t>;
  CHECK(Of(std::string(1, '\0'), 0) == Sums{0x02ff01ff, 0x02ff01ff, 0x00020001, 0x00020001});
  CHECK(Of("123456789", 0) == Sums{0x02180121, 0x02180121, 0x027d01ac, 0x027d01ac});
  CHECK(Of(std::string(4096, '\xff'), 0) == Sums{0x00100001, 0x00020001, 0x69000c39, 0x017500e9});
  CHECK(Of(Counting(4096), 0) == Sums{0x43c807f9, 0x01fd0100, 0x1a4802f9, 0x018d00fd});
  CHECK(Of(Counting(1000), 100) == Sums{0x0cad02e9, 0x015a00eb, 0x0978027a, 0x023d014b});
  CHECK(Of(Counting(5000), 3000) == Sums{0x7cfc0af6, 0x04d001ff, 0x7b8e0ac2, 0x080b02df});
  const std::string mebibyte(size_t{1} << 20, '\xad');
  CHECK(Of(mebibyte, 0) == Sums{0x074b204c, 0xa51c2410, 0xd4878088, 0x77c9a701});
}

TEST_CASE("pieces of every size give the T10 checksum of the whole") {
  std::string text = Counting(5000);
  const std::vector<uint32_t> whole = Of(text, 3000);
  for (size_t piece = 1; piece <= text.size(); piece += piece < 40 ? 1 : 97) {
    std::vector<iovec> segments;
    for (size_t at = 0; at < text.size(); at += piece)
      segments.push_back({text.data() + at, std::min(piece, text.size() - at)});
    for (size_t i = 0; i < kTypes.size(); ++i) REQUIRE(BulkChecksumOf(kTypes[i], segments, 3000) == whole[i]);
  }
}

TEST_CASE("types are those of obd_cksum_types, and others keep their values") {
  for (const uint32_t type : kTypes) CHECK((lustre::IsT10Type(type) && lustre::IsBulkChecksumType(type)));
  for (const uint32_t type : {0x0U, 0x1U, 0x2U, 0x4U})
    CHECK((!lustre::IsT10Type(type) && lustre::IsBulkChecksumType(type)));
  for (const uint32_t type : {0x3U, 0x8U, 0x30U, 0x100U, 0xffffffffU})
    CHECK(!lustre::IsBulkChecksumType(type));
  std::string text = "123456789";
  const std::vector<iovec> segments{{text.data(), text.size()}};
  CHECK(BulkChecksumOf(0x4, segments, 17) == 0xe3069283);
}

}  // namespace
