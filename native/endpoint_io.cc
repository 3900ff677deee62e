// The I/O thread: its loop, a turn of it, reading, time.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "endpoint.h"
#include "own_thread.h"

namespace lustre::lnet {
namespace {

constexpr int kTickMs = 1000;
// In the endpoint's epoll instance.
constexpr std::uint64_t kWakeId = ~std::uint64_t{0};
constexpr std::uint64_t kWritableId = ~std::uint64_t{0} - 2;
constexpr int kKeepaliveAfterMs = 30'000;
constexpr int kKeepaliveEveryMs = 10'000;
// What one connection may read before the others have their turn.
constexpr std::size_t kReadTurn = 4u << 20;
constexpr std::size_t kPeersKept = 1024;
// With so much of a payload outstanding, a wake for less of it costs more than it brings.
constexpr std::size_t kLowWater = 512 * 1024;
// So much of a payload that is outstanding is worth another thread.
constexpr std::size_t kShareMin = 256 * 1024;
constexpr int kSendersMax = 4;
constexpr int kReceiversMax = 8;

// Half of the machine: the other half receives, and runs the owner.
int senderThreads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, 1, kSendersMax);
}

// One more than cores, since they wait for disks.
int receiverThreads() {
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) + 1, 2, kReceiversMax);
}

}  // namespace

Endpoint::Endpoint(EndpointConfig config, void* ringMemory, std::uint32_t ringEntries,
                   std::function<void()> wake)
    : config_(std::move(config)),
      wake_(std::move(wake)),
      addresses_(config_.nidMap.begin(), config_.nidMap.end()),
      ring_(ringMemory, ringEntries),
      senders_(senderThreads(), [this](const ConnectionPtr& c) { flush(c, Flusher::Sender); }),
      receivers_(receiverThreads(),
                 [this](const ConnectionPtr& c, Receivers::Piece& piece) { receiveHandedOver(c, piece); }) {}

Endpoint::~Endpoint() {
  if (thread_.joinable()) {
    beginClose(true);
    thread_.join();
  }
  for (const int fd : {epoll_, writable_, event_, listener_}) {
    if (fd >= 0) close(fd);
  }
}

std::int64_t Endpoint::now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int Endpoint::start(std::string& text) {
  if (config_.accept) {
    const int port = config_.listenPort >= 0 ? config_.listenPort : config_.port;
    SocketAddress address = SocketAddress::ofNid(config_.nid, static_cast<std::uint16_t>(port));
    if (!config_.listenHost.empty() &&
        resolve(config_.listenHost, static_cast<std::uint16_t>(port), address) != 0) {
      text = "cannot resolve " + config_.listenHost;
      return -EINVAL;
    }
    listener_ = listenOn(address);
    if (listener_ < 0) {
      text = "cannot listen on " + address.text();
      return std::exchange(listener_, -1);
    }
    SocketAddress bound;
    bound.length = sizeof bound.storage;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&bound.storage), &bound.length);
    listenPort_ = bound.port();
  }
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  writable_ = epoll_create1(EPOLL_CLOEXEC);
  event_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (epoll_ < 0 || writable_ < 0 || event_ < 0) {
    text = "cannot make an epoll instance";
    return -errno;
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event);
  event.data.u64 = kWritableId;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, writable_, &event);
  if (listener_ >= 0) {
    event.data.u64 = kListenerId;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  }
  nextTick_ = now() + kTickMs;
  thread_ = std::thread([this] { run(); });
  return 0;
}

void Endpoint::wakeThread() {
  if (threadWoken_.exchange(true, std::memory_order_acq_rel)) return;
  const std::uint64_t one = 1;
  if (write(event_, &one, sizeof one) < 0) threadWoken_.store(false, std::memory_order_release);
}

std::int64_t Endpoint::nowUs() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Rouses the consumer when it sleeps and there is something for it.
void Endpoint::maybeWake() {
  if (!wakes_.due(ring_.used() > 0, bulkComing_ > 0, nowUs)) return;
  if (!ring_.claimWake()) return;
  counters_.wakeups.fetch_add(1, std::memory_order_relaxed);
  wake_();
}

void Endpoint::schedule(std::int64_t at) {
  nextTick_ = std::min(nextTick_, at);
}

// ---------------------------------------------------------------- loop

void Endpoint::run() {
  BeginOwnThread("lustre-lnet");
  std::array<epoll_event, kEventsMax> events;
  int timeout = kTickMs;
  for (bool going = true; going;) {
    const bool aside = ownerReads_.load(std::memory_order_acquire);
    int count = 0;
    counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
    if (aside) {
      standAside(timeout);
    } else {
      count = epoll_wait(epoll_, events.data(), kEventsMax, timeout);
    }
    const Lock lock(turnMutex_);
    if (aside) lookAfterOwner();
    turn(events.data(), count);
    if (now() >= nextTick_) tick();
    maybeWake();
    graveyard_.clear();
    going = !closeStep();
    const std::int64_t left = std::max<std::int64_t>(0, nextTick_ - now());
    const std::int64_t most = wakes_.holding() ? 1 : kTickMs;
    timeout = readable_.empty() ? static_cast<int>(std::min<std::int64_t>(left, most)) : 0;
  }
  maybeWake();  // Closed is urgent
}

// What one thread at a time does: `turnMutex_` is held.
void Endpoint::turn(const epoll_event* events, int count) {
  turnThread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = events[i].data.u64;
    if (id == kWakeId) {
      takeWake();
    } else if (id == kListenerId) {
      acceptConnections();
    } else if (id == kWritableId) {
      flushWritable();
    } else if (const auto found = connections_.find(id); found != connections_.end()) {
      const ConnectionPtr c = found->second;
      handle(c, events[i].events);
    }
  }
  takeBack();
  for (const ConnectionPtr& c : std::exchange(readable_, {})) {
    c->readable = false;
    read(c);
  }
  takeRequests();
  flushAllWanted();
  resumeWaiting();
  flushAllWanted();
  turnThread_.store(std::thread::id(), std::memory_order_relaxed);
}

// Sockets that have room again.
void Endpoint::flushWritable() {
  std::array<epoll_event, kEventsMax> events;
  counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
  const int count = epoll_wait(writable_, events.data(), kEventsMax, 0);
  for (int i = 0; i < count; ++i) {
    const auto found = connections_.find(events[i].data.u64);
    if (found != connections_.end()) handle(ConnectionPtr(found->second), events[i].events);
  }
}

// In this order: whoever finds the flag still set relies on the look at the requests that follows.
void Endpoint::takeWake() {
  std::uint64_t count;
  [[maybe_unused]] const ssize_t got = ::read(event_, &count, sizeof count);
  threadWoken_.exchange(false, std::memory_order_acq_rel);
}

void Endpoint::takeRequests() {
  std::vector<Peer*> wanted;
  {
    const Lock lock(mutex_);
    wanted.swap(connectWanted_);
    for (Peer* peer : wanted) peer->wanted = false;
  }
  for (Peer* peer : wanted) pursue(*peer);
}

void Endpoint::flushAllWanted() {
  std::vector<ConnectionPtr> wanted;
  {
    const Lock lock(mutex_);
    wanted.swap(flushWanted_);
    for (const ConnectionPtr& c : wanted) c->flushWanted = false;
  }
  for (const ConnectionPtr& c : wanted) flush(c, Flusher::Turn);
}

void Endpoint::watch(const ConnectionPtr& c) {
  c->id = ++lastConnection_;
  connections_.emplace(c->id, c);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.u64 = c->id;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, c->fd, &event);
  event.events = EPOLLOUT | EPOLLET;
  epoll_ctl(writable_, EPOLL_CTL_ADD, c->fd, &event);
}

void Endpoint::handle(const ConnectionPtr& c, std::uint32_t events) {
  if (c->handedOver) events &= EPOLLOUT;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) c->hangup = true;
  if (c->stage == Connection::Stage::Connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    connected(c);
  }
  if (c->stage == Connection::Stage::Established) {
    if ((events & EPOLLOUT) != 0 && c->txBytes.load(std::memory_order_relaxed) > 0) {
      {
        const std::lock_guard lock(c->txMutex);
        c->txEdge = true;
        if (c->txError == 0) c->txBlocked = false;
      }
      flush(c, Flusher::Turn);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) read(c);
  } else if (c->stage != Connection::Stage::Closed && c->stage != Connection::Stage::Connecting) {
    handshakeRead(c);
  }
}

void Endpoint::noteBulk(Connection& c) {
  const bool is = c.parser.midBulk();
  if (is == c.midBulk) return;
  c.midBulk = is;
  is ? ++bulkComing_ : --bulkComing_;
}

// One connection's bulk is best read where all else is; of several each needs a core.
bool Endpoint::worthSharing(const Connection& c) const {
  return receiversShare_ && c.parser.payloadLeft() >= kShareMin && bulkComing_ > (c.midBulk ? 1 : 0);
}

// Before the thread waits for more of the connection: how much is worth a wake. A hang-up is heard at once
// whatever it is.
void Endpoint::setLowWater(Connection& c) {
  const bool low = c.parser.payloadLeft() >= kLowWater;
  if (low == c.lowWater) return;
  c.lowWater = low;
  setReceiveLowWater(c.fd, low ? static_cast<int>(kLowWater) : 1);
}

// False when there was nothing.
bool Endpoint::read(const ConnectionPtr& c) {
  if (c->handedOver) return false;
  const bool any = receive(c);
  if (c->stage != Connection::Stage::Established || c->handedOver) return any;
  if (any) lastRead_ = c;
  noteBulk(*c);
  if (!c->readable) setLowWater(*c);
  return any;
}

bool Endpoint::receive(const ConnectionPtr& c) {
  if (c->stage != Connection::Stage::Established) return false;
  const Arrival arrival = arrive(*c, ownersTurn_);
  arrived(c, arrival);
  return arrival.any;
}

// Takes in what has come, at most one turn's share of it.
Arrival Endpoint::arrive(Connection& c, bool untilBulk) {
  std::array<iovec, FrameParser::kMaxVectors> vectors;
  bool any = false;
  for (std::size_t turn = 0; turn < kReadTurn;) {
    std::size_t wanted = 0;
    const int count = c.parser.fill(vectors, wanted);
    // It stands still; resumeWaiting() comes back.
    if (count == 0) return {Arrival::How::Drained, 0, any};
    counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
    const ssize_t got = readv(c.fd, vectors.data(), count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {Arrival::How::Drained, 0, any};
    any = true;
    if (got <= 0) return {Arrival::How::Ended, got < 0 ? errno : 0, any};
    c.lastReceived = c.peer->lastHeard = now();
    if (const int error = c.parser.received(static_cast<std::size_t>(got)); error != 0) {
      return {Arrival::How::Broke, -error, any};
    }
    if (c.parser.waiting()) return {Arrival::How::Stood, 0, any};
    // The rest is for the I/O thread.
    if (untilBulk && c.parser.midBulk()) return {Arrival::How::More, 0, any};
    if (!c.handedOver && worthSharing(c)) return {Arrival::How::Shared, 0, any};
    if (static_cast<std::size_t>(got) < wanted && (c.handedOver || !c.hangup)) {
      return {Arrival::How::Drained, 0, any};
    }
    turn += static_cast<std::size_t>(got);
  }
  return {Arrival::How::More, 0, any};
}

// What follows from it, in a turn.
void Endpoint::arrived(const ConnectionPtr& c, const Arrival& arrival) {
  switch (arrival.how) {
    case Arrival::How::Drained:
      break;
    case Arrival::How::More:
      if (!std::exchange(c->readable, true)) readable_.push_back(c);
      break;
    case Arrival::How::Stood:
      standsStill(c);
      break;
    case Arrival::How::Shared:
      handOver(c);
      break;
    case Arrival::How::Ended: {
      int sendError = 0;
      {
        const std::lock_guard lock(c->txMutex);
        sendError = c->txError;
      }
      const int error = arrival.error != 0 ? arrival.error : sendError;
      // Between messages, with nothing left to tell it: a peer that has finished.
      const bool orderly = error == 0 && !c->parser.midMessage() && c->txBytes.load() == 0;
      closeConnection(c, error != 0 ? error : ECONNRESET,
                      error != 0 ? std::strerror(error) : "closed by the peer",
                      orderly ? Notice::Level::Info : Notice::Level::Warn);
      break;
    }
    case Arrival::How::Broke:
      counters_.dropped.fetch_add(1, std::memory_order_relaxed);
      closeConnection(c, arrival.error, std::string("the peer broke the protocol: ") + c->parser.fault());
      break;
  }
}

void Endpoint::standsStill(const ConnectionPtr& c) {
  if (std::exchange(c->wantsReceiver, false)) {
    handOver(c);
  } else {
    waiting_.push_back(c);
  }
}

void Endpoint::resumeWaiting() {
  if (waiting_.empty()) return;
  {
    const Lock lock(mutex_);
    resumeWanted_ = false;
  }
  for (const ConnectionPtr& c : std::exchange(waiting_, {})) {
    if (c->stage != Connection::Stage::Established) continue;
    if (const int error = c->parser.resume(); error != 0) {
      arrived(c, {Arrival::How::Broke, -error, true});
    } else if (c->parser.waiting()) {
      standsStill(c);
    } else {
      c->lastReceived = now();
      read(c);
    }
  }
}

// ---------------------------------------------------------------- time

void Endpoint::tick() {
  const std::int64_t at = now();
  nextTick_ = at + kTickMs;
  std::vector<ConnectionPtr> late;
  for (const auto& [raw, c] : connections_) {
    if (c->stage != Connection::Stage::Established && c->deadline <= at) late.push_back(c);
    if (c->stage != Connection::Stage::Established) schedule(c->deadline);
  }
  for (const ConnectionPtr& c : late) {
    closeConnection(c, ETIMEDOUT,
                    c->stage == Connection::Stage::Connecting ? "no answer to the connection attempt"
                                                              : "no HELLO in time");
  }
  std::vector<Peer*> peers;
  {
    const Lock lock(mutex_);
    peers.reserve(peers_.size());
    for (const auto& [nid, peer] : peers_) peers.push_back(peer.get());
  }
  for (Peer* peer : peers) tickPeer(*peer);
  {
    const Lock lock(mutex_);
    while (waitHead_ != nullptr && waitHead_->deadline <= at) {
      Md* md = waitHead_;
      stopWaiting(md);
      if (!md->sendDone || md->refs > 0) continue;  // still on its way: the connection's own timeout has it
      md->unlinking = true;
      deliver(md, eventOf(*md, md->kind == Md::Kind::Put ? EventType::Ack : EventType::Reply, -ETIMEDOUT));
    }
  }
  if (listenerPaused_) {
    listenerPaused_ = false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kListenerId;
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
  }
  while (!halfOpenOrder_.empty() && !isHalfOpen(halfOpenOrder_.front().lock())) halfOpenOrder_.pop_front();
  forgetIdlePeers();
}

void Endpoint::tickPeer(Peer& peer) {
  const std::int64_t at = now();
  for (const ConnectionPtr& c : peer.connections) {
    const bool midMessage =
        c->handedOver ? c->stuckMidMessage.load() : c->parser.midMessage() && !c->parser.waiting();
    bool stalled = midMessage && at - c->lastReceived > config_.socketTimeoutMs;
    {
      const std::lock_guard lock(c->txMutex);
      stalled = stalled || (!c->txQueue.empty() && at - c->txProgress > config_.socketTimeoutMs);
    }
    if (stalled) {
      closePeer(peer, ETIMEDOUT, "the connection has stalled");
      break;
    }
  }
  bool hasPending = false;
  {
    const Lock lock(mutex_);
    while (peer.pending.head != nullptr && peer.pending.head->deadline <= at) {
      endMessage(peer.pending.pop(), -ETIMEDOUT);
    }
    if (!peer.connections.empty() && at - peer.lastHeard > kKeepaliveAfterMs &&
        at - peer.lastKeepalive > kKeepaliveEveryMs) {
      peer.lastKeepalive = at;
      acknowledgeZeroCopy(*peer.connections.front(), kKeepaliveCookie);
    }
    hasPending = !peer.pending.empty();
  }
  if (peer.attempt != nullptr || closing_) return;
  ConnectionType type;
  const bool needs = hasPending || peer.persist || (peer.active && !peer.connections.empty());
  if (!needs || !missingType(peer, type)) return;
  if (peer.nextAttempt > at) {
    schedule(peer.nextAttempt);
  } else {
    pursue(peer);
  }
}

void Endpoint::forgetIdlePeers() {
  const Lock lock(mutex_);
  if (peers_.size() <= kPeersKept) return;
  std::erase_if(peers_, [](const auto& entry) {
    const Peer& p = *entry.second;
    return p.connections.empty() && p.attempt == nullptr && p.pending.empty() && !p.wanted && !p.persist &&
           p.responses == 0;
  });
}

}  // namespace lustre::lnet
