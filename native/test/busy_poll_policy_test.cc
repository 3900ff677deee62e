// When a thread looks before it sleeps.
#include "busy_poll_policy.h"

#include <doctest/doctest.h>

using lustre::BusyPollPolicy;

namespace {

constexpr std::int64_t kLookUs = 100;

// A thread, and what the kernel says of it.
struct Thread {
  BusyPollPolicy policy;
  std::int64_t at = 1'000'000;
  std::int64_t runDelay = 5000;
  int asked = 0;

  // A turn that begins `after` microseconds after the one before.
  bool turn(std::int64_t after) {
    at += after;
    return policy.mayLook(at, kLookUs, [this] {
      ++asked;
      return runDelay;
    });
  }

  // Turns until it may look; -1 when `most` were not enough.
  int turnsUntilLook(std::int64_t after, int most) {
    for (int turns = 1; turns <= most; ++turns) {
      if (turn(after)) return turns;
    }
    return -1;
  }

  void earn() {
    while (!turn(10)) {
    }
  }

  // So long a core is taken away from it for `delayed` of each millisecond, while it finds what it looks for.
  bool looksFor(std::int64_t us, std::int64_t delayed) {
    bool looks = true;
    for (std::int64_t passed = 0; passed < us && looks; passed += 50) {
      runDelay += delayed / 20;
      looks = turn(50);
      if (looks) policy.looked(true);
    }
    return looks;
  }
};

}  // namespace

TEST_CASE("busy poll: looks are earned by short turns one after the other") {
  Thread thread;
  for (int i = 0; i < BusyPollPolicy::kEarning - 1; ++i) CHECK_FALSE(thread.turn(kLookUs));
  CHECK_FALSE(thread.turn(kLookUs + 1));
  for (int i = 0; i < BusyPollPolicy::kEarning - 1; ++i) CHECK_FALSE(thread.turn(kLookUs));
  CHECK(thread.turn(kLookUs));
}

TEST_CASE("busy poll: looks in vain one after the other lose them") {
  Thread thread;
  thread.earn();
  for (int i = 0; i < 100; ++i) {
    for (int vain = 1; vain < BusyPollPolicy::kVainMax; ++vain) thread.policy.looked(false);
    thread.policy.looked(true);
    CHECK(thread.turn(kLookUs));
  }
  for (int vain = 0; vain < BusyPollPolicy::kVainMax; ++vain) thread.policy.looked(false);
  CHECK(thread.turnsUntilLook(kLookUs, 100) == BusyPollPolicy::kEarning);
}

TEST_CASE("busy poll: a core that is taken for moments stays one's own") {
  Thread thread;
  thread.earn();
  CHECK(thread.looksFor(1'000'000, 100));
}

TEST_CASE("busy poll: a core that others want is left to them, longer each time") {
  Thread thread;
  std::int64_t rest = BusyPollPolicy::kRestUs;
  for (int i = 0; i < 10; ++i) {
    thread.earn();
    CHECK_FALSE(thread.looksFor(2 * BusyPollPolicy::kCheckUs, 300));
    const std::int64_t left = thread.at;
    thread.earn();
    CHECK(thread.at - left >= rest);
    CHECK(thread.at - left < rest + 1000);
    rest = std::min(2 * rest, BusyPollPolicy::kRestMaxUs);
    thread.policy.looked(false);
    thread.policy.looked(false);
  }
  SUBCASE("until it is free for a while") {
    thread.earn();
    CHECK(thread.looksFor(20 * BusyPollPolicy::kCheckUs, 0));
    CHECK_FALSE(thread.looksFor(2 * BusyPollPolicy::kCheckUs, 300));
    const std::int64_t left = thread.at;
    thread.earn();
    CHECK(thread.at - left < BusyPollPolicy::kRestUs + 1000);
  }
}

TEST_CASE("busy poll: the kernel is asked once in a while") {
  Thread thread;
  thread.earn();
  CHECK(thread.looksFor(100 * BusyPollPolicy::kCheckUs, 0));
  CHECK(thread.asked <= 102);
}

TEST_CASE("busy poll: where the kernel does not tell nothing is looked for") {
  Thread thread;
  thread.runDelay = -1;
  CHECK(thread.turnsUntilLook(10, 1000) == -1);
}
