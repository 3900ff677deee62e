// Closing connections, peers and the endpoint itself (guide 02 §9).
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "endpoint.h"

namespace lustre::lnet {
namespace {

constexpr int kCloseLingerMs = 500;

}  // namespace

// What the peer sent on other connections before it hung up is good: take in what has come.
void Endpoint::lastLook(Peer& peer, const Connection& closed) {
  peer.ending = true;
  const std::vector<ConnectionPtr> siblings = peer.connections;
  for (const ConnectionPtr& sibling : siblings) {
    if (sibling.get() != &closed) read(sibling);
  }
  peer.ending = false;
}

// One connection down is all down: the peer closes the siblings too.
void Endpoint::closeConnection(const ConnectionPtr& c, int error, const std::string& reason,
                               Notice::Level level) {
  if (c->stage == Connection::Stage::Closed) return;
  if (c->stage == Connection::Stage::Established) {
    Peer& established = *c->peer;
    if (established.ending) return;  // within the last look
    if (error != EPROTO) lastLook(established, *c);
    closePeer(established, error, reason, level);
    return;
  }
  Peer* peer = c->peer;
  const bool ours = c->active && peer != nullptr;
  closeOne(c, error);
  if (ours) {
    attemptFailed(*peer, error, reason);
    return;
  }
  const Lock lock(mutex_);
  notice(Notice::Kind::Log, Notice::Level::Info, peer != nullptr ? peer->nid : kNidAny, error,
         "incoming connection from " + c->remote.text() + " closed: " + reason);
}

void Endpoint::closeOne(const ConnectionPtr& c, int error) {
  const bool established = c->stage == Connection::Stage::Established;
  if (!established && !c->active) --halfOpen_;
  c->stage = Connection::Stage::Closed;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, c->fd, nullptr);
  epoll_ctl(writable_, EPOLL_CTL_DEL, c->fd, nullptr);
  if (lastRead_ == c) lastRead_.reset();
  shutdown(c->fd, SHUT_RDWR);
  connections_.erase(c->id);
  graveyard_.push_back(c);
  if (!established) return;
  counters_.connectionsOpen.fetch_sub(1, std::memory_order_relaxed);
  const Lock lock(mutex_);
  std::erase(c->peer->connections, c);
  if (c->withReceivers) {
    // The one that has it hears of the socket's end, and ends what it received.
    c->rxError = error != 0 ? error : ECONNRESET;
    dying_.push_back(c);
  } else {
    abortReceive(*c, -error);
  }
  TxQueue failed;
  {
    const std::lock_guard txLock(c->txMutex);
    c->txDead = true;
    if (c->txError == 0) c->txError = error;
    // A thread that is in sendmsg still reads the queue's messages; it fails them when it comes back.
    if (!c->txFlushing) failed = std::exchange(c->txQueue, {});
  }
  while (TxMessage* m = failed.pop()) endMessage(m, -error);
}

void Endpoint::closePeer(Peer& peer, int error, const std::string& reason, Notice::Level level) {
  {
    const Lock lock(mutex_);
    if (closing_) {
      notice(Notice::Kind::Log, Notice::Level::Debug, peer.nid, error, reason);
    } else {
      notice(Notice::Kind::PeerDown, level, peer.nid, error, reason);
    }
    peer.refusals = 0;
  }
  while (!peer.connections.empty()) closeOne(ConnectionPtr(peer.connections.front()), error);
  const Lock lock(mutex_);
  failWaiting(peer.nid, -error);
  if (closing_) return;
  // Nobody can connect to us to reach us again, so we do (guide 02 §7, 6).
  const bool mustReturn = peer.active && listener_ < 0;
  if (mustReturn || !peer.pending.empty()) {
    peer.nextAttempt = std::max(peer.nextAttempt, now() + (peer.backoffMs = std::max(peer.backoffMs, 250)));
    schedule(peer.nextAttempt);
    peer.persist = mustReturn;
  }
}

// ---------------------------------------------------------------- the end

void Endpoint::beginClose(bool quick) {
  {
    const Lock lock(mutex_);
    closing_ = true;
    closeQuick_ = closeQuick_ || quick;
    ownerReads_.store(false, std::memory_order_release);
  }
  wakeThread();
}

void Endpoint::join() {
  if (thread_.joinable()) thread_.join();
}

// True when the thread may go.
bool Endpoint::closeStep() {
  {
    const Lock lock(mutex_);
    if (!closing_) return false;
    const std::int64_t at = now();
    if (closeDeadline_ == 0) {
      closeDeadline_ = at + (closeQuick_ ? 0 : kCloseLingerMs);
      if (listener_ >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
    }
    bool busy = false;
    for (const auto& [raw, c] : connections_) {
      if (c->stage == Connection::Stage::Established && c->txBytes.load() > 0) busy = true;
    }
    if (busy && !closeQuick_ && at < closeDeadline_) {
      schedule(at + 20);
      return false;
    }
  }
  shutDown();
  return true;
}

void Endpoint::shutDown() {
  senders_.stop();
  endReceivers();
  while (!connections_.empty()) {
    const ConnectionPtr c = connections_.begin()->second;
    if (c->peer != nullptr && c->peer->attempt == c) {
      const Lock lock(mutex_);
      c->peer->attempt.reset();
    }
    closeOne(c, ESHUTDOWN);
  }
  graveyard_.clear();
  waiting_.clear();
  readable_.clear();
  const Lock lock(mutex_);
  flushWanted_.clear();
  connectWanted_.clear();
  for (const auto& [nid, peer] : peers_) failPending(*peer, -ESHUTDOWN);
  std::vector<Md*> left;
  table_.forEachLive([&left](Md& md) { left.push_back(&md); });
  for (Md* md : left) {
    table_.detach(md);
    md->unlinking = true;
    if (finished(*md)) deliver(md, eventOf(*md, EventType::Unlink, -ESHUTDOWN));
  }
  for (auto& queue : parked_) queue.clear();
  Event event;
  event.type = static_cast<std::uint32_t>(EventType::Closed);
  announce(event);
}

}  // namespace lustre::lnet
