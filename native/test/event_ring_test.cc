#include "event_ring.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

using namespace lustre::lnet;

namespace {

struct Memory {
  explicit Memory(std::uint32_t entries) : at(std::aligned_alloc(64, EventRing::bytes(entries))) {
    std::memset(at, 0, EventRing::bytes(entries));
  }
  ~Memory() { std::free(at); }
  void* at;
};

}  // namespace

TEST_CASE("a full ring loses nothing") {
  const Memory memory(64);
  EventRing ring(memory.at, 64);
  for (std::uint32_t i = 0; i < 200; ++i) {
    Event event;
    event.handler = i;
    ring.push(event);
  }
  CHECK(ring.congested());
  CHECK(ring.hasOverflow());
  Event event;
  std::uint32_t expected = 0;
  while (expected < 200) {
    while (ring.pop(event)) CHECK(event.handler == expected++);
    ring.settle();
  }
  CHECK_FALSE(ring.congested());
}

TEST_CASE("a consumer that sleeps is woken to let go of memory, though no event comes") {
  const Memory memory(64);
  EventRing ring(memory.at, 64);
  ring.sleep();
  CHECK_FALSE(ring.claimWake());
  ring.askAttention();
  CHECK(ring.claimWake());
  CHECK_FALSE(ring.claimWake());
}

TEST_CASE("producer and consumer on two threads: every event once and in order, no lost wake") {
  constexpr std::uint32_t kCount = 200'000;
  const Memory memory(256);
  EventRing ring(memory.at, 256);
  std::mutex lock;  // the endpoint's: producers and settle() are under it
  std::atomic<int> woken = 0;
  ring.sleep();
  std::thread producer([&] {
    for (std::uint32_t i = 0; i < kCount; ++i) {
      Event event;
      event.handler = i;
      for (;;) {
        const std::lock_guard guard(lock);
        if (ring.congested()) continue;
        ring.push(event);
        break;
      }
      if (ring.claimWake()) woken.fetch_add(1);
    }
  });
  std::uint32_t expected = 0;
  bool ordered = true;
  while (expected < kCount) {
    while (woken.load() == 0) std::this_thread::yield();
    woken.fetch_sub(1);
    for (;;) {
      Event event;
      while (ring.pop(event)) ordered = ordered && event.handler == expected++;
      {
        const std::lock_guard guard(lock);
        ring.settle();
      }
      ring.sleep();
      if (ring.used() == 0) break;
      ring.claimWake();
    }
  }
  producer.join();
  CHECK(ordered);
  CHECK(expected == kCount);
}
