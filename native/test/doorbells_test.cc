// Bells that are rung while they are withdrawn.
#include "doorbells.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

using lustre::Doorbells;

namespace {

struct Handle {
  std::atomic<int> rings = 0;
  int open = 1;  // plain: a ring after the bell was withdrawn is a race that the thread sanitizer sees
};

int send(void* at) {
  auto* handle = static_cast<Handle*>(at);
  handle->rings.fetch_add(handle->open, std::memory_order_relaxed);
  return 0;
}

}  // namespace

TEST_CASE("doorbells: whoever knows the number rings it, until it is withdrawn") {
  Doorbells bells(send);
  Handle one;
  Handle two;
  const int first = bells.add(&one);
  const int second = bells.add(&two);
  CHECK(first != second);
  bells.ring(first);
  bells.ring(second);
  bells.remove(first);
  bells.remove(first);
  bells.ring(first);
  CHECK(one.rings == 1);
  CHECK(two.rings == 1);
  CHECK(bells.add(&one) > second);
}

TEST_CASE("doorbells: when a bell is withdrawn nobody touches its handle any more") {
  Doorbells bells(send);
  std::array<std::atomic<int>, 4> numbers{};
  std::atomic<bool> going = true;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (going.load(std::memory_order_relaxed)) {
        for (const auto& number : numbers) bells.ring(number.load(std::memory_order_relaxed));
      }
    });
  }
  int late = 0;
  for (int round = 0; round < 300; ++round) {
    auto& number = numbers[static_cast<std::size_t>(round) % numbers.size()];
    auto handle = std::make_unique<Handle>();
    number.store(bells.add(handle.get()), std::memory_order_relaxed);
    while (round % 8 == 0 && handle->rings.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
    bells.remove(number.load(std::memory_order_relaxed));
    handle->open = 0;
    const int rings = handle->rings;
    std::this_thread::yield();
    late += handle->rings - rings;
  }
  going = false;
  for (std::thread& thread : threads) thread.join();
  CHECK(late == 0);
}
