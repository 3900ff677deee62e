#include "senders.h"

#include <algorithm>
#include <utility>

#include "own_thread.h"

namespace lustre::lnet {

void Senders::want(const std::shared_ptr<Connection>& c) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || std::find(wanted_.begin(), wanted_.end(), c) != wanted_.end()) return;
  wanted_.push_back(c);
  if (idle_ == 0 && threads_.size() < static_cast<std::size_t>(most_)) {
    threads_.emplace_back([this] { run(); });
  } else {
    wake_.notify_one();
  }
}

void Senders::run() {
  BeginOwnThread("lustre-send");
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
    --idle_;
    if (stopping_) return;
    const std::shared_ptr<Connection> c = std::move(wanted_.front());
    wanted_.pop_front();
    lock.unlock();
    flush_(c);
    lock.lock();
  }
}

void Senders::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wanted_.clear();
    threads.swap(threads_);
    wake_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

std::unique_ptr<SendStage> Senders::takeStage() {
  {
    const std::lock_guard lock(mutex_);
    if (!stages_.empty()) {
      std::unique_ptr<SendStage> stage = std::move(stages_.back());
      stages_.pop_back();
      return stage;
    }
  }
  return std::make_unique_for_overwrite<SendStage>();
}

void Senders::giveStage(std::unique_ptr<SendStage> stage) {
  const std::lock_guard lock(mutex_);
  stages_.push_back(std::move(stage));
}

}  // namespace lustre::lnet
