// Connections whose bulk goes into files, or comes beside that of others: from a turn to the receivers
// (receivers.h) and back.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "endpoint.h"

namespace lustre::lnet {

// In a turn: what the connection brings from here on is read by a receiver.
void Endpoint::handOver(const ConnectionPtr& c) {
  noteBulk(*c);
  if (lastRead_ == c) lastRead_.reset();
  // Edges only, of a hang-up: the receivers hear of the rest.
  epoll_event event{};
  event.events = EPOLLET;
  event.data.u64 = c->id;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd, &event);
  c->handedOver = true;
  {
    const Lock lock(mutex_);
    c->withReceivers = true;
  }
  const int error = receivers_.take(c);
  if (error == 0) return;
  {
    const Lock lock(mutex_);
    c->withReceivers = false;
  }
  c->handedOver = false;
  closeConnection(c, -error, std::string("no thread can receive its bulk: ") + std::strerror(-error));
}

// On a receiver, which has the connection to itself until it waits for more or gives it back.
void Endpoint::receiveHandedOver(const ConnectionPtr& c, Receivers::Piece& piece) {
  using How = Arrival::How;
  c->stuckMidMessage = false;
  c->bulkSeen = false;
  c->parser.usePiece(&piece);
  Arrival arrival;
  if (c->parser.waiting()) {
    c->wantsReceiver = false;
    if (const int error = c->parser.resume(); error != 0) arrival = {How::Broke, -error, true};
  }
  if (arrival.how == How::Drained) {
    arrival = c->parser.waiting() ? Arrival{How::Stood, 0, true} : arrive(*c, false);
  }
  // What is in the piece goes to the file: the next to read this connection has another.
  c->parser.usePiece(nullptr);
  noteBulk(*c);
  const bool goesOn = arrival.how == How::Drained || arrival.how == How::More;
  const bool stays = goesOn && (c->parser.midMessage() || c->bulkSeen);
  if (stays) {
    setLowWater(*c);
    c->stuckMidMessage = c->parser.midMessage();
  } else {
    c->arrival = arrival;
  }
  wakeFromReceiver();
  if (endIfClosed(c)) return;
  if (stays) {
    receivers_.await(c);
  } else {
    giveBack(c);
  }
}

// True when the connection was closed meanwhile: what it was receiving has ended.
bool Endpoint::endIfClosed(const ConnectionPtr& c) {
  Lock lock(mutex_);
  if (c->rxError == 0) return false;
  abortReceive(*c, -c->rxError);
  std::erase(dying_, c);
  c->withReceivers = false;
  lock.unlock();
  receivers_.letGo(c);
  wakeThread();
  return true;
}

void Endpoint::giveBack(const ConnectionPtr& c) {
  receivers_.letGo(c);
  {
    const Lock lock(mutex_);
    c->withReceivers = false;
    if (c->rxError != 0) {
      abortReceive(*c, -c->rxError);
      std::erase(dying_, c);
    } else {
      givenBack_.push_back(c);
    }
  }
  wakeThread();
}

// The consumer is woken from here where the I/O thread would wake it at once; else that decides.
void Endpoint::wakeFromReceiver() {
  if (wakes_.dueAtOnce(bulkComing_ > 0)) {
    if (!ring_.claimWake()) return;
    counters_.wakeups.fetch_add(1, std::memory_order_relaxed);
    wake_();
  } else if (wakes_.gathers()) {
    wakeThread();
  }
}

// In a turn.
void Endpoint::takeBack() {
  std::vector<ConnectionPtr> back;
  {
    const Lock lock(mutex_);
    back.swap(givenBack_);
  }
  for (const ConnectionPtr& c : back) {
    if (c->stage != Connection::Stage::Established) continue;
    c->handedOver = false;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.u64 = c->id;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, c->fd, &event);
    const Arrival arrival = std::exchange(c->arrival, {});
    if (arrival.how == Arrival::How::Drained) {
      read(c);
    } else {
      arrived(c, arrival);
    }
  }
}

// The receivers have come to an end for good; whatever they had is a turn's again.
void Endpoint::endReceivers() {
  receivers_.stop();
  const Lock lock(mutex_);
  for (const auto& [id, c] : connections_) c->withReceivers = false;
  for (const ConnectionPtr& c : std::exchange(dying_, {})) abortReceive(*c, -c->rxError);
  givenBack_.clear();
}

}  // namespace lustre::lnet
