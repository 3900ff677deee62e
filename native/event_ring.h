// Completion ring: fixed-size entries in memory that JavaScript maps too. The consumer is the JavaScript
// thread; the producers (the I/O thread, and the JavaScript thread itself when a send completes inline) are
// serialised by the endpoint's lock, so that the ring sees one. A full ring never loses: entries wait in
// `overflow_`, whose growth the endpoint bounds by not reading sockets while `congested()`.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <new>

namespace lustre::lnet {

enum class EventType : std::uint32_t {
  Put = 0,
  Get = 1,
  Send = 2,
  Ack = 3,
  Reply = 4,
  Unlink = 5,
  Notice = 6,  // text waits in the notice queue
  Closed = 7,  // the endpoint has finished closing; nothing follows
};

inline constexpr std::uint32_t kEventUnlinked = 0x100;

// The layout is known to lib/lnet/native-addon.ts (EventWord).
struct Event {
  std::uint32_t type = 0;  // EventType | kEventUnlinked
  std::int32_t status = 0;
  std::uint32_t handler = 0;
  std::uint32_t generation = 0;
  std::uint64_t initiator = 0;
  std::uint32_t initiatorPid = 0;
  std::uint32_t offset = 0;
  std::uint64_t matchBits = 0;
  std::uint64_t hdrData = 0;
  std::uint32_t rlength = 0;
  std::uint32_t mlength = 0;
  std::uint32_t checksum = 0;  // of what went out of a file, or of what came, where it was asked for
  std::int32_t fileError = 0;  // 0, or -errno: not all that came is in the file, or zeros were taken for it
};
static_assert(sizeof(Event) == 64);

class EventRing {
 public:
  // Word indices of the control block, one cache line each.
  static constexpr std::size_t kWrite = 0;
  static constexpr std::size_t kRead = 16;
  static constexpr std::size_t kSleeping = 32;
  static constexpr std::size_t kAttention = 48;
  static constexpr std::size_t kControlBytes = 256;

  // `memory`: kControlBytes + entries * sizeof(Event), 64-byte aligned, zeroed; `entries` a power of two.
  EventRing(void* memory, std::uint32_t entries)
      : words_(static_cast<std::uint32_t*>(memory)),
        entries_(reinterpret_cast<Event*>(static_cast<std::uint8_t*>(memory) + kControlBytes)),
        capacity_(entries) {}

  static constexpr std::size_t bytes(std::uint32_t entries) {
    return kControlBytes + entries * sizeof(Event);
  }

  void push(const Event& event) {
    if (overflow_.empty() && place(event)) return;
    overflow_.push_back(event);
    askAttention();
  }

  // Moves what waited for room; call after the consumer has drained.
  void settle() {
    while (!overflow_.empty() && place(overflow_.front())) overflow_.pop_front();
  }

  // True while no new message should be taken in. An eighth of the ring is kept for completions of what is
  // under way.
  bool congested() const { return !overflow_.empty() || used() >= capacity_ - capacity_ / 8; }
  bool hasOverflow() const { return !overflow_.empty(); }
  std::uint32_t used() const {
    return word(kWrite).load(std::memory_order_relaxed) - word(kRead).load(std::memory_order_acquire);
  }

  // True when the consumer sleeps; the caller, who must wake it, has then claimed the wake.
  bool claimWake() {
    if (used() == 0 && word(kAttention).load(std::memory_order_seq_cst) == 0) return false;
    return word(kSleeping).load(std::memory_order_seq_cst) != 0 &&
           word(kSleeping).exchange(0, std::memory_order_seq_cst) != 0;
  }

  // Asks the consumer to call back once it has drained: memory to let go of, or producers waiting for room.
  void askAttention() { word(kAttention).store(1, std::memory_order_seq_cst); }
  void clearAttention() { word(kAttention).store(0, std::memory_order_seq_cst); }

  // ---- the consumer's side, for native tests; JavaScript does the same on its view
  bool pop(Event& event) {
    const std::uint32_t read = word(kRead).load(std::memory_order_relaxed);
    if (word(kWrite).load(std::memory_order_acquire) == read) return false;
    event = entries_[read & (capacity_ - 1)];
    word(kRead).store(read + 1, std::memory_order_release);
    return true;
  }
  void sleep() { word(kSleeping).store(1, std::memory_order_seq_cst); }

 private:
  std::atomic_ref<std::uint32_t> word(std::size_t index) const { return std::atomic_ref(words_[index]); }

  bool place(const Event& event) {
    const std::uint32_t write = word(kWrite).load(std::memory_order_relaxed);
    if (write - word(kRead).load(std::memory_order_acquire) >= capacity_) return false;
    entries_[write & (capacity_ - 1)] = event;
    word(kWrite).store(write + 1, std::memory_order_seq_cst);
    return true;
  }

  std::uint32_t* words_;
  Event* entries_;
  std::uint32_t capacity_;
  std::deque<Event> overflow_;
};

}  // namespace lustre::lnet
