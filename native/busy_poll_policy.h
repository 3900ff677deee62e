// How long a thread looks for what it waits for before it sleeps. To be woken costs both sides more than a
// small message does, so looking pays while waits are short and nobody else wants the core.
//
// Both are told by the thread's own past. Waits are short while one turn of its loop follows the other within
// the time that it may look. And the kernel counts how long the thread could have run and had no core (run
// delay): a moment now and then, for a thread of the kernel's, is nothing, a good part of the time means that
// others pay.
#pragma once

#include <algorithm>
#include <cstdint>

namespace lustre {

class BusyPollPolicy {
 public:
  // So many short turns, one after the other, earn the first look.
  static constexpr int kEarning = 16;
  // After so many looks in vain, one after the other, looks have to be earned again.
  static constexpr int kVainMax = 2;
  // So often the run delay is asked for.
  static constexpr std::int64_t kCheckUs = 2000;
  // Waited for a core for more than one part in so many of the time: it is left to others.
  static constexpr std::int64_t kDelayedPart = 8;
  // So long at first, and twice as long each time until a check finds the core free.
  static constexpr std::int64_t kRestUs = 10'000;
  static constexpr std::int64_t kRestMaxUs = 1'000'000;

  // Before a wait: whether the thread may look for up to `lookUs`. `now` is in microseconds, as is what
  // `runDelay()` returns, of all the thread's life; -1 where the kernel does not tell, and then nothing is
  // looked for.
  template <typename RunDelay>
  bool mayLook(std::int64_t now, std::int64_t lookUs, RunDelay runDelay) {
    const bool shortTurn = now - turnedAt_ <= lookUs;
    turnedAt_ = now;
    if (looking_) return now - checkedAt_ < kCheckUs || coreIsFree(now, runDelay());
    earned_ = shortTurn ? earned_ + 1 : 0;
    if (earned_ < kEarning || now < notBefore_) return false;
    runDelay_ = runDelay();
    checkedAt_ = now;
    vain_ = 0;
    looking_ = runDelay_ >= 0;
    return looking_;
  }

  void looked(bool found) {
    vain_ = found ? 0 : vain_ + 1;
    if (vain_ >= kVainMax) stop();
  }

 private:
  bool coreIsFree(std::int64_t now, std::int64_t runDelay) {
    const bool free = (runDelay - runDelay_) * kDelayedPart <= now - checkedAt_;
    runDelay_ = runDelay;
    checkedAt_ = now;
    if (free) {
      rest_ = std::max(rest_ / 2, kRestUs);
    } else {
      notBefore_ = now + rest_;
      rest_ = std::min(rest_ * 2, kRestMaxUs);
      stop();
    }
    return free;
  }

  void stop() {
    looking_ = false;
    earned_ = 0;
  }

  std::int64_t turnedAt_ = 0;
  std::int64_t notBefore_ = 0;
  std::int64_t rest_ = kRestUs;
  std::int64_t checkedAt_ = 0;
  std::int64_t runDelay_ = 0;
  int earned_ = 0;
  int vain_ = 0;
  bool looking_ = false;
};

}  // namespace lustre
