// Memory that asks for large pages.
#include "large_pages.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

namespace {

// The line of flags of the mapping that an address lies in.
std::string flagsOf(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  bool within = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    char dash = 0;
    std::istringstream range(line);
    if (range >> std::hex >> from >> dash >> to && dash == '-') within = from <= at && at < to;
    if (within && line.rfind("VmFlags:", 0) == 0) return line + ' ';
  }
  return "";
}

}  // namespace

TEST_CASE("large pages: asked for from where one begins, and what lies around them stays as it was") {
  constexpr std::size_t size = 8U << 20U;
  constexpr std::size_t whole = size + lustre::kLargePage;
  const std::unique_ptr<char, decltype(&std::free)> memory(static_cast<char*>(std::malloc(whole)), std::free);
  REQUIRE(memory != nullptr);
  std::memset(memory.get(), 'a', whole);
  const std::size_t offset = lustre::AskForLargePages(memory.get(), size);
  CHECK(offset < lustre::kLargePage);
  CHECK(reinterpret_cast<std::uintptr_t>(memory.get() + offset) % lustre::kLargePage == 0);
  for (std::size_t at = 0; at < whole; at += 4096) REQUIRE(memory.get()[at] == 'a');
  const std::ifstream kernel("/sys/kernel/mm/transparent_hugepage/enabled");
  if (!kernel) return;  // it has none
  CHECK(flagsOf(memory.get() + offset).find(" hg ") != std::string::npos);
  CHECK(flagsOf(memory.get() + offset + size - 1).find(" hg ") != std::string::npos);
}
