// The threads that send what comes out of files: they may wait for a disk, which the I/O thread must not.
// Each takes a connection, writes until its socket is full or nothing is left, and takes the next.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "file_source.h"

namespace lustre::lnet {

class Connection;

class Senders {
 public:
  using Flush = std::function<void(const std::shared_ptr<Connection>&)>;

  // `flush` runs on one of at most `threads` threads, for one connection on any number of them.
  Senders(int threads, Flush flush) : most_(threads), flush_(std::move(flush)) {}
  ~Senders() { stop(); }
  Senders(const Senders&) = delete;
  Senders& operator=(const Senders&) = delete;

  // Some thread flushes the connection from here on. Any thread; nothing after `stop`.
  void want(const std::shared_ptr<Connection>& c);
  // Waits for them. What was still wanted is not done.
  void stop();

  // Pieces, the one used last first: it is still in the cache.
  std::unique_ptr<SendStage> takeStage();
  void giveStage(std::unique_ptr<SendStage> stage);

 private:
  void run();

  const int most_;
  const Flush flush_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Connection>> wanted_;
  std::vector<std::thread> threads_;
  std::vector<std::unique_ptr<SendStage>> stages_;
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace lustre::lnet
