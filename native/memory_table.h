// Memory that the network may read or write, by small number. An entry lives until it was released and the
// last operation on it has ended; then its number waits in `trash` until the owner of the bytes lets go of
// them (only the JavaScript thread may drop its reference).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace lustre::lnet {

using MemoryId = std::uint32_t;

class MemoryTable {
 public:
  MemoryId add(std::uint8_t* bytes, std::size_t length) {
    MemoryId id;
    if (free_.empty()) {
      id = static_cast<MemoryId>(entries_.size());
      entries_.emplace_back();
    } else {
      id = free_.back();
      free_.pop_back();
    }
    entries_[id] = {bytes, length, 0, true, false};
    return id;
  }

  // The address of a piece, or nullptr when it is not inside live memory.
  std::uint8_t* piece(MemoryId id, std::size_t offset, std::size_t length) const {
    if (id >= entries_.size()) return nullptr;
    const Entry& entry = entries_[id];
    if (!entry.live || entry.released || offset > entry.length || length > entry.length - offset)
      return nullptr;
    return entry.bytes + offset;
  }

  void use(MemoryId id) { ++entries_[id].uses; }

  // True when this was the last use of released memory.
  bool unuse(MemoryId id) {
    Entry& entry = entries_[id];
    --entry.uses;
    return discardIfDone(id, entry);
  }

  bool release(MemoryId id) {
    if (id >= entries_.size() || !entries_[id].live || entries_[id].released) return false;
    entries_[id].released = true;
    return discardIfDone(id, entries_[id]);
  }

  // Numbers whose bytes may be let go of; they can be given out again afterwards.
  std::vector<MemoryId> takeTrash() {
    std::vector<MemoryId> taken;
    taken.swap(trash_);
    free_.insert(free_.end(), taken.begin(), taken.end());
    return taken;
  }

 private:
  struct Entry {
    std::uint8_t* bytes = nullptr;
    std::size_t length = 0;
    std::uint32_t uses = 0;
    bool live = false;
    bool released = false;
  };

  bool discardIfDone(MemoryId id, Entry& entry) {
    if (!entry.released || entry.uses > 0) return false;
    entry.live = false;
    trash_.push_back(id);
    return true;
  }

  std::deque<Entry> entries_;
  std::vector<MemoryId> free_;
  std::vector<MemoryId> trash_;
};

}  // namespace lustre::lnet
