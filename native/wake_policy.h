// When the consumer of the event ring is woken. A wake costs more than the event (tens of microseconds of
// both threads under a hypervisor), so events that nobody waits for by themselves are gathered for a moment.
//
// `urgent` is called by whoever pushes an event, the rest in a turn of the I/O thread. The owner's thread
// needs no wake for what it pushed itself: it looks at the ring after each of its calls.
#pragma once

#include <atomic>
#include <cstdint>

namespace lustre::lnet {

// What an event is worth to its consumer.
enum class Worth : std::uint8_t {
  Urgent,  // somebody may wait for it
  Bulk,    // a large payload is in place: worth a wake at once only when no other is on its way
  Step,    // a message is in the socket and its answer is still to come
};

class WakePolicy {
 public:
  static constexpr std::int64_t kPatienceUs = 300;

  void pushed(Worth worth) {
    if (worth == Worth::Urgent) urgent_.store(true, std::memory_order_release);
    if (worth == Worth::Bulk) bulk_.store(true, std::memory_order_release);
  }

  // True when the consumer should be woken now. `pending`: the ring is not empty; `bulkComing`: the payload
  // of another large message is arriving; `now` is called only when it matters.
  template <typename Now>
  bool due(bool pending, bool bulkComing, Now now) {
    if (!pending) {
      since_ = 0;
      return false;
    }
    const bool hurry =
        urgent_.load(std::memory_order_acquire) || (!bulkComing && bulk_.load(std::memory_order_acquire));
    if (!hurry) {
      const std::int64_t at = now();
      if (since_ == 0) since_ = at;
      if (at - since_ < kPatienceUs) return false;
    }
    since_ = 0;
    urgent_.store(false, std::memory_order_relaxed);
    bulk_.store(false, std::memory_order_relaxed);
    return true;
  }

  // The same for another thread, which cannot put a wake off: false also when nothing was pushed.
  bool dueAtOnce(bool bulkComing) {
    if (!urgent() && (bulkComing || !bulk_.load(std::memory_order_acquire))) return false;
    urgent_.store(false, std::memory_order_relaxed);
    bulk_.store(false, std::memory_order_relaxed);
    return true;
  }
  // Bulk has been pushed since the last wake.
  bool gathers() const { return bulk_.load(std::memory_order_acquire); }

  // Somebody may wait for one of the events pushed since the last wake.
  bool urgent() const { return urgent_.load(std::memory_order_acquire); }

  // A wake has been put off: look again within a millisecond.
  bool holding() const { return since_ != 0; }

 private:
  std::atomic<bool> urgent_ = false;
  std::atomic<bool> bulk_ = false;
  std::int64_t since_ = 0;  // microseconds; when the first of the gathered events was seen
};

}  // namespace lustre::lnet
