// The owner's thread reads the sockets itself: its event loop watches `readiness()` and calls `ownerTurn`. A
// small message then costs one wake instead of two, and the copy is where it is wanted. The I/O thread stands
// aside, and takes over again when bulk moves, when the owner is late, and when nothing has come for a while.
#include <poll.h>

#include <algorithm>
#include <array>

#include "endpoint.h"

namespace lustre::lnet {
namespace {

// So late may the owner be before the I/O thread reads for it.
constexpr int kPatienceMs = 25;
// After so many looks without a message the I/O thread sleeps again as if there were no owner.
constexpr int kIdleLooks = 20;
// So long after bulk, or after having been late, the owner does not read.
constexpr std::int64_t kRestMs = 50;
// Turns that begin with a guess at who can be read, one after the other.
constexpr int kGuessesMax = 8;

}  // namespace

bool Endpoint::ownerMayRead() const {
  return !closing_ && now() >= ownerNotBefore_.load(std::memory_order_relaxed);
}

bool Endpoint::ownerTurn() {
  const Lock lock(turnMutex_);
  if (!ownerMayRead()) {
    ownerStops();
    return false;
  }
  if (!ownerReads_.exchange(true, std::memory_order_acq_rel)) wakeThread();
  ownerTurns_.fetch_add(1, std::memory_order_relaxed);
  std::array<epoll_event, kEventsMax> events;
  ownersTurn_ = true;
  turnThread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  if (guessReader()) {
    turn(events.data(), 0);
  } else {
    counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
    turn(events.data(), epoll_wait(epoll_, events.data(), kEventsMax, 0));
  }
  ownersTurn_ = false;
  graveyard_.clear();
  if (readable_.empty() && ownerMayRead()) return true;
  ownerStops();
  return false;
}

// What has come is nearly always for the connection that the last came for: asking epoll which one it is
// would cost as much as reading. Now and then it is asked all the same, so that the others are not forgotten;
// and what stands still with something to read has to be asked for, or the event loop would be told of it
// again and again.
bool Endpoint::guessReader() {
  if (lastRead_ == nullptr || guesses_ == kGuessesMax || !readable_.empty()) {
    guesses_ = 0;
    return false;
  }
  ++guesses_;
  const ConnectionPtr c = lastRead_;
  return c->stage == Connection::Stage::Established && !c->parser.waiting() && read(c) && !c->readable &&
         !c->handedOver && !c->parser.waiting();
}

void Endpoint::ownerStops() {
  if (ownerReads_.exchange(false, std::memory_order_acq_rel)) wakeThread();
}

// Large payloads are the I/O thread's: they would keep the owner from everything else.
void Endpoint::bulkMoves() {
  ownerNotBefore_.store(now() + kRestMs, std::memory_order_relaxed);
  ownerStops();
}

// What the I/O thread does instead of waiting for the sockets.
void Endpoint::standAside(int timeoutMs) {
  pollfd asked{event_, POLLIN, 0};
  if (poll(&asked, 1, std::min(timeoutMs, kPatienceMs)) > 0) takeWake();
}

void Endpoint::lookAfterOwner() {
  if (!ownerReads_.load(std::memory_order_relaxed)) return;
  const std::int64_t at = now();
  if (const std::uint32_t turns = ownerTurns_.load(std::memory_order_relaxed); turns != ownerTurnsSeen_) {
    ownerTurnsSeen_ = turns;
    ownerChecked_ = at;
    ownerIdle_ = 0;
    return;
  }
  if (at - ownerChecked_ < kPatienceMs) return;
  ownerChecked_ = at;
  pollfd sockets{epoll_, POLLIN, 0};
  if (poll(&sockets, 1, 0) > 0) {
    ownerNotBefore_.store(at + kRestMs, std::memory_order_relaxed);
  } else if (++ownerIdle_ < kIdleLooks) {
    return;
  }
  ownerIdle_ = 0;
  ownerReads_.store(false, std::memory_order_release);
}

}  // namespace lustre::lnet
