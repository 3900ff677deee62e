// Page-aligned memory that lives as long as the last of its owners.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

namespace lustre {

inline std::size_t pageRound(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Page-aligned, zeroed memory.
class Mapping {
 public:
  explicit Mapping(std::size_t bytes) : size_(pageRound(bytes == 0 ? 1 : bytes)) {
    void* at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at_ = at == MAP_FAILED ? nullptr : at;
  }
  ~Mapping() {
    if (at_ != nullptr) munmap(at_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  void* at() const { return at_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  void* at_ = nullptr;
};

}  // namespace lustre
