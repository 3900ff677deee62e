// The threads that receive what goes into files: they may wait for a disk, which the I/O thread must not; and
// the bulk of several connections at once, which one thread would bring one after the other. Such a
// connection is theirs until it brings something else; they wait for all of theirs in
// an epoll instance of their own, and whoever has read what there was waits for more. One that waits for a
// disk holds up no other connection: there is always another that waits for sockets, up to their number.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "frame_parser.h"

namespace lustre::lnet {

class Connection;

class Receivers {
 public:
  using Piece = FrameParser::Piece;
  using Receive = std::function<void(const std::shared_ptr<Connection>&, Piece&)>;

  // `receive` runs on one of at most `threads` threads, and for one connection on one of them at a time.
  Receivers(int threads, Receive receive) : most_(threads), receive_(std::move(receive)) {}
  ~Receivers() { stop(); }
  Receivers(const Receivers&) = delete;
  Receivers& operator=(const Receivers&) = delete;

  // The thread's next `receive` is for this connection. 0, or -errno; then nothing has happened.
  int take(const std::shared_ptr<Connection>& c);
  // Called in `receive`: come again when its socket has something.
  void await(const std::shared_ptr<Connection>& c);
  // Called in `receive`: the connection is theirs no more.
  void letGo(const std::shared_ptr<Connection>& c);
  // Waits for them. Nothing is received any more.
  void stop();

 private:
  void run();
  int open();
  void spawn();

  const int most_;
  const Receive receive_;
  std::mutex mutex_;
  int epoll_ = -1;
  int event_ = -1;  // counts `fresh_`, and wakes them to stop
  // Theirs, by `Connection::id`.
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> theirs_;
  // Those that have begun something already, whatever their sockets say.
  std::deque<std::shared_ptr<Connection>> fresh_;
  std::vector<std::thread> threads_;
  int idle_ = 0;
  bool stopping_ = false;
};

}  // namespace lustre::lnet
