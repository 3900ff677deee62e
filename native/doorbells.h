// By what threads wake each other's event loops (doorbell_binding.cc).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace lustre {

// The bells of all threads by number: what is rung is found here or not at all. Numbers are never given out
// twice. The lock is not held while one is rung: the thread that wakes often runs at once and rings back, and
// would have to wait for it.
class Doorbells {
 public:
  // `send` rings a handle, on any thread.
  explicit Doorbells(int (*send)(void*)) : send_(send) {}

  int add(void* handle) {
    const std::lock_guard lock(mutex_);
    ropes_.emplace(++last_, std::make_shared<Rope>(handle));
    return last_;
  }

  // When it returns nobody touches the handle any more.
  void remove(int number) {
    std::shared_ptr<Rope> rope;
    {
      const std::lock_guard lock(mutex_);
      const auto found = ropes_.find(number);
      if (found == ropes_.end()) return;
      rope = std::move(found->second);
      ropes_.erase(found);
    }
    // As long as one system call.
    while (rope->ringing.load(std::memory_order_acquire) > 0) std::this_thread::yield();
  }

  void ring(int number) {
    std::shared_ptr<Rope> rope;
    {
      const std::lock_guard lock(mutex_);
      const auto found = ropes_.find(number);
      if (found == ropes_.end()) return;
      rope = found->second;
      rope->ringing.fetch_add(1, std::memory_order_relaxed);
    }
    send_(rope->handle);
    rope->ringing.fetch_sub(1, std::memory_order_release);
  }

 private:
  // A handle that any thread may ring until it is withdrawn.
  struct Rope {
    explicit Rope(void* at) : handle(at) {}

    void* handle;
    std::atomic<int> ringing = 0;
  };

  int (*send_)(void*);
  std::mutex mutex_;
  std::unordered_map<int, std::shared_ptr<Rope>> ropes_;
  int last_ = 0;
};

}  // namespace lustre
