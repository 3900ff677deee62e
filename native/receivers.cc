#include "receivers.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "connection.h"
#include "own_thread.h"

namespace lustre::lnet {
namespace {

constexpr std::uint64_t kEventId = 0;  // connections count from 1

void signalOne(int event) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event, &one, sizeof one);
}

}  // namespace

int Receivers::open() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kEventId;
  if (epoll_ >= 0 && event_ >= 0 && epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event) == 0) return 0;
  const int error = -errno;
  if (epoll_ >= 0) close(std::exchange(epoll_, -1));
  if (event_ >= 0) close(std::exchange(event_, -1));
  return error;
}

int Receivers::take(const std::shared_ptr<Connection>& c) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return -ESHUTDOWN;
  if (epoll_ < 0) {
    if (const int error = open(); error != 0) return error;
  }
  theirs_.emplace(c->id, c);
  fresh_.push_back(c);
  if (threads_.empty()) spawn();
  signalOne(event_);
  return 0;
}

void Receivers::await(const std::shared_ptr<Connection>& c) {
  // What this thread did with the connection comes before what the next one does.
  const std::lock_guard lock(mutex_);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT;
  event.data.u64 = c->id;
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd, &event) == 0) return;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, c->fd, &event);  // its first time
}

void Receivers::letGo(const std::shared_ptr<Connection>& c) {
  const std::lock_guard lock(mutex_);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, c->fd, nullptr);
  theirs_.erase(c->id);
}

void Receivers::spawn() {
  threads_.emplace_back([this] { run(); });
}

void Receivers::run() {
  BeginOwnThread("lustre-receive");
  const auto piece = std::make_unique_for_overwrite<Piece>();
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    lock.unlock();
    epoll_event event;
    const int count = epoll_wait(epoll_, &event, 1, -1);
    lock.lock();
    --idle_;
    if (stopping_) return;
    if (count <= 0) continue;
    std::shared_ptr<Connection> c;
    if (event.data.u64 == kEventId) {
      std::uint64_t one;
      if (::read(event_, &one, sizeof one) < 0 || fresh_.empty()) continue;
      c = std::move(fresh_.front());
      fresh_.pop_front();
    } else if (const auto found = theirs_.find(event.data.u64); found != theirs_.end()) {
      c = found->second;
    } else {
      continue;
    }
    if (idle_ == 0 && threads_.size() < static_cast<std::size_t>(most_)) spawn();
    lock.unlock();
    receive_(c, *piece);
    c.reset();
    lock.lock();
  }
}

void Receivers::stop() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
    // Never read again: it wakes all of them.
    if (event_ >= 0) signalOne(event_);
  }
  for (std::thread& thread : threads) thread.join();
  const std::lock_guard lock(mutex_);
  theirs_.clear();
  fresh_.clear();
  if (epoll_ >= 0) close(std::exchange(epoll_, -1));
  if (event_ >= 0) close(std::exchange(event_, -1));
}

}  // namespace lustre::lnet
