// Large pages for memory that is about to be filled: one fault for 2 MiB instead of 512.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace lustre {

constexpr std::size_t kLargePage = 2U << 20U;

// Where in `bytes` the first large page begins. Asks for such pages from there on for `length` bytes: there
// are at least kLargePage - 1 more. What a kernel that has none says to it does not matter.
inline std::size_t AskForLargePages(void* bytes, std::size_t length) {
  const auto first = reinterpret_cast<std::uintptr_t>(bytes);
  const std::size_t offset = (kLargePage - first % kLargePage) % kLargePage;
  madvise(static_cast<char*>(bytes) + offset, length, MADV_HUGEPAGE);
  return offset;
}

}  // namespace lustre
