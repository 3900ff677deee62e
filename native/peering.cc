// Getting connected (guide 02 §2, §3): acceptor, HELLO, typed connections, refusals, races, reconnects. I/O
// thread.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "endpoint.h"

namespace lustre::lnet {
namespace {

constexpr int kAcceptTimeoutMs = 5000;
constexpr int kBackoffMinMs = 250;
constexpr int kBackoffMaxMs = 8000;
constexpr int kRefusedRetryMs = 1000;
constexpr int kRefusalsMax = 3;
constexpr std::size_t kHalfOpenMax = 256;
constexpr std::size_t kConnectionsMax = 4096;
constexpr std::size_t kConnectionsPerPeerMax = 128;
constexpr std::size_t kPeersMax = 8192;
constexpr std::uint16_t kReservedPortMax = 1023;

}  // namespace

// ---------------------------------------------------------------- passive

void Endpoint::acceptConnections() {
  for (;;) {
    SocketAddress remote;
    remote.length = sizeof remote.storage;
    const int fd = accept4(listener_, reinterpret_cast<sockaddr*>(&remote.storage), &remote.length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // Level-triggered, it would spin; the next tick listens again.
        epoll_event event{};
        event.data.u64 = kListenerId;
        epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
        listenerPaused_ = true;
        const Lock lock(mutex_);
        notice(Notice::Kind::Log, Notice::Level::Warn, kNidAny, errno,
               "cannot accept connections for a second");
      }
      return;
    }
    const char* refusal = nullptr;
    if (!config_.acceptUnprivileged && remote.port() > kReservedPortMax) {
      refusal = "its source port is not privileged";
    } else if (connections_.size() >= kConnectionsMax) {
      refusal = "too many connections";
    }
    if (refusal != nullptr) {
      close(fd);
      const Lock lock(mutex_);
      notice(Notice::Kind::Log, Notice::Level::Warn, kNidAny, 0,
             "connection from " + remote.text() + " refused: " + refusal);
      continue;
    }
    if (halfOpen_ >= kHalfOpenMax) dropOldestHalfOpen();
    setStreamOptions(fd, config_.socketTimeoutMs);
    auto c = std::make_shared<Connection>(*this, fd, Connection::Stage::AwaitRequest, false);
    c->remote = remote;
    c->handshakeNeed = 8;
    c->deadline = now() + kAcceptTimeoutMs;
    schedule(c->deadline);
    ++halfOpen_;
    halfOpenOrder_.push_back(c);
    watch(c);
  }
}

bool Endpoint::isHalfOpen(const ConnectionPtr& c) {
  return c != nullptr &&
         (c->stage == Connection::Stage::AwaitRequest || c->stage == Connection::Stage::AwaitHello);
}

// Those who connect and say nothing shall not keep out those who speak at once.
void Endpoint::dropOldestHalfOpen() {
  while (!halfOpenOrder_.empty()) {
    const ConnectionPtr c = halfOpenOrder_.front().lock();
    halfOpenOrder_.pop_front();
    if (!isHalfOpen(c)) continue;
    closeConnection(c, EBUSY, "it was silent and others wait");
    return;
  }
}

// Reads no further than the handshake goes: what follows belongs to the parser.
void Endpoint::handshakeRead(const ConnectionPtr& c) {
  while (c->stage != Connection::Stage::Established && c->stage != Connection::Stage::Closed) {
    counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
    const ssize_t got =
        recv(c->fd, c->handshake.data() + c->handshakeHave, c->handshakeNeed - c->handshakeHave, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0) {
      const int error = got < 0 ? errno : ECONNRESET;
      closeConnection(c, error, c->active ? hangupReason(*c) : "closed by the peer during the handshake");
      return;
    }
    c->handshakeHave += static_cast<std::size_t>(got);
    if (c->handshakeHave < c->handshakeNeed) continue;
    const int error = handshakeStep(c);
    if (error != 0) {
      closeConnection(c, -error, c->handshakeText);
      return;
    }
  }
  if (c->stage == Connection::Stage::Established) read(c);
}

std::string Endpoint::hangupReason(const Connection& c) const {
  const std::string where = nidText(c.peer->nid) + " at " + c.remote.text();
  if (!c.reservedPort) {
    return where +
           " hung up before its HELLO, and our source port is above 1023: the peer probably requires a "
           "privileged port. "
           "Run as root or with CAP_NET_BIND_SERVICE, or load lnet with accept=all on the peer";
  }
  return where + " hung up before its HELLO: the NID is probably not one of its own";
}

int Endpoint::handshakeStep(const ConnectionPtr& c) {
  switch (c->stage) {
    case Connection::Stage::AwaitRequest:
      return onAcceptorRequest(c);
    case Connection::Stage::AwaitHello:
    case Connection::Stage::AwaitAnswer:
      return onHello(c);
    default:
      return -EPROTO;
  }
}

int Endpoint::onAcceptorRequest(const ConnectionPtr& c) {
  Nid target = 0;
  const Parsed parsed = parseAcceptorRequest(c->handshake.data(), c->handshakeHave, target);
  switch (parsed.status) {
    case Parsed::Status::NeedMore:
      c->handshakeNeed = parsed.need;
      return 0;
    case Parsed::Status::BadMagic: {
      std::uint32_t magic;
      std::memcpy(&magic, c->handshake.data(), sizeof magic);
      if (magic == kHelloMagic) answerAcceptor(*c);
      c->handshakeText = "wrong magic in the acceptor request";
      return -EPROTO;
    }
    case Parsed::Status::BadVersion:
      answerAcceptor(*c);
      c->handshakeText = "unknown version of the acceptor request";
      return -EPROTO;
    case Parsed::Status::Unsupported:
      c->handshakeText = "acceptor request for an address that is not IPv4";
      return -EPROTO;
    case Parsed::Status::Ok:
      break;
  }
  if (target != config_.nid) {
    c->handshakeText = "it looks for " + nidText(target) + ", which is not our NID";
    return -EPERM;
  }
  c->stage = Connection::Stage::AwaitHello;
  c->handshakeHave = 0;
  c->handshakeNeed = 8;
  return 0;
}

// What we speak, for one who speaks something else.
void Endpoint::answerAcceptor(const Connection& c) {
  std::array<std::uint8_t, kAcceptorRequestV1Size> answer;
  encodeAcceptorRequest(answer.data(), 0);
  send(c.fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

int Endpoint::sendHello(const Connection& c, Nid to, ConnectionType type, std::uint32_t version) {
  std::array<std::uint8_t, kHelloSize> bytes;
  Hello hello;
  hello.version = version;
  hello.source = config_.nid;
  hello.destination = to;
  hello.incarnation = config_.incarnation;
  hello.type = type;
  encodeHello(bytes.data(), hello);
  // The socket's buffer is empty: it takes 56 bytes or the connection is broken.
  const ssize_t sent = send(c.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent == static_cast<ssize_t>(bytes.size()) ? 0 : -ECONNRESET;
}

int Endpoint::onHello(const ConnectionPtr& c) {
  Hello hello;
  const Parsed parsed = parseHello(c->handshake.data(), c->handshakeHave, hello);
  switch (parsed.status) {
    case Parsed::Status::NeedMore:
      c->handshakeNeed = parsed.need;
      return 0;
    case Parsed::Status::BadMagic:
      c->handshakeText = "wrong magic in HELLO";
      return -EPROTO;
    case Parsed::Status::BadVersion:
      if (!c->active) sendHello(*c, kNidAny, ConnectionType::None, 3);
      c->handshakeText = "unknown version " + std::to_string(hello.version) + " of HELLO";
      return -EPROTO;
    case Parsed::Status::Unsupported:
      c->handshakeText = "HELLO with addresses that we do not speak";
      return -EPROTO;
    case Parsed::Status::Ok:
      break;
  }
  if (c->stage == Connection::Stage::AwaitAnswer) return onHelloAnswer(c, hello);
  if (hello.version == 4) {
    sendHello(*c, hello.source, ConnectionType::None, 3);
    c->handshakeText = "HELLO version 4 from " + nidText(hello.source) + ", told to use version 3";
    return -EPROTO;
  }
  return onHelloRequest(c, hello);
}

int Endpoint::onHelloRequest(const ConnectionPtr& c, const Hello& hello) {
  const std::optional<ConnectionType> type = invertType(hello.type);
  if (hello.source == kNidAny || hello.source == config_.nid || nidNet(hello.source) != nidNet(config_.nid)) {
    c->handshakeText = "HELLO from " + nidText(hello.source) + ", which cannot be a peer of ours";
    return -EPROTO;
  }
  if (!type.has_value()) {
    c->handshakeText = "HELLO of " + nidText(hello.source) + " asks for an unknown type of connection";
    return -EPROTO;
  }
  Peer* peer = nullptr;
  const char* refusal = nullptr;
  bool restarted = false;
  {
    const Lock lock(mutex_);
    if (peers_.size() >= kPeersMax && !peers_.contains(hello.source)) {
      c->handshakeText = "too many peers";
      return -ENOMEM;
    }
    peer = peerOf(hello.source);
    restarted = !peer->connections.empty() &&
                (peer->incarnation != hello.incarnation || peer->version != hello.version);
    // Both connect at once: the one begun by the higher NID stands. Only when ours has reached the peer, or a
    // peer that we can never reach would be shut out for as long as we try.
    const bool racing = peer->attempt != nullptr && peer->attempt->stage == Connection::Stage::AwaitAnswer &&
                        peer->nid < config_.nid && peer->attempt->type == *type;
    if (closing_) refusal = "we are closing";
    if (racing) refusal = "our own connection to it is on its way";
    if (!restarted && peer->connections.size() >= kConnectionsPerPeerMax) refusal = "it has too many";
  }
  c->peer = peer;
  if (refusal != nullptr) {
    sendHello(*c, hello.source, ConnectionType::None, hello.version);
    c->handshakeText = std::string("refused: ") + refusal;
    return -EALREADY;
  }
  if (restarted) closePeer(*peer, ECONNRESET, "the peer has restarted");
  c->type = *type;
  c->version = hello.version;
  if (const int error = sendHello(*c, hello.source, c->type, hello.version); error != 0) {
    c->handshakeText = "cannot answer its HELLO";
    return error;
  }
  --halfOpen_;
  establish(c, hello);
  return 0;
}

// ---------------------------------------------------------------- active

bool Endpoint::missingType(const Peer& peer, ConnectionType& type) const {
  if (peer.count(ConnectionType::Any) > 0) return false;
  const int in = peer.count(ConnectionType::BulkIn);
  const int out = peer.count(ConnectionType::BulkOut);
  // One of each will do for a peer that wants no more (guide 02 §3.5).
  if (peer.refusals > kRefusalsMax && in > 0 && out > 0 && peer.count(ConnectionType::Control) > 0)
    return false;
  if (peer.count(ConnectionType::Control) == 0) {
    type = ConnectionType::Control;
  } else if (in < config_.connsPerPeer && in <= out) {
    type = ConnectionType::BulkIn;
  } else if (out < config_.connsPerPeer) {
    type = ConnectionType::BulkOut;
  } else {
    return false;
  }
  return true;
}

// Moves the peer one step nearer to what it should have; called whenever something about that has changed.
void Endpoint::pursue(Peer& peer) {
  if (peer.attempt != nullptr || closing_) return;
  // One who connected to us decides how many there are (guide 02 §7).
  const bool passive = !peer.connections.empty() && !peer.active;
  ConnectionType type;
  if (passive || !missingType(peer, type)) {
    peer.persist = false;
    const Lock lock(mutex_);
    peer.settingUp = false;
    flushPending(peer);
    return;
  }
  if (const std::int64_t at = now(); peer.nextAttempt > at) {
    schedule(peer.nextAttempt);
    const Lock lock(mutex_);
    peer.settingUp = false;
    flushPending(peer);
    return;
  }
  startAttempt(peer, type);
}

void Endpoint::startAttempt(Peer& peer, ConnectionType type) {
  peer.active = true;
  const ConnectStart started = connectTo(peer.address, config_.nid);
  if (started.fd < 0) {
    attemptFailed(peer, -started.fd, "cannot connect to " + peer.address.text());
    return;
  }
  setStreamOptions(started.fd, config_.socketTimeoutMs);
  auto c = std::make_shared<Connection>(*this, started.fd, Connection::Stage::Connecting, true);
  c->reservedPort = started.reserved;
  c->remote = peer.address;
  c->peer = &peer;
  c->type = type;
  c->deadline = now() + config_.socketTimeoutMs;
  {
    const Lock lock(mutex_);
    peer.attempt = c;
    peer.settingUp = true;
  }
  schedule(c->deadline);
  watch(c);
}

// TCP is up, or has failed.
void Endpoint::connected(const ConnectionPtr& c) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    closeConnection(c, error, "cannot connect to " + c->remote.text());
    return;
  }
  std::array<std::uint8_t, kAcceptorRequestV1Size + kHelloSize> bytes;
  encodeAcceptorRequest(bytes.data(), c->peer->nid);
  Hello hello;
  hello.source = config_.nid;
  hello.destination = c->peer->nid;
  hello.incarnation = config_.incarnation;
  hello.type = c->type;
  encodeHello(bytes.data() + kAcceptorRequestV1Size, hello);
  const ssize_t sent = send(c->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(bytes.size())) {
    closeConnection(c, ECONNRESET, hangupReason(*c));
    return;
  }
  const Lock lock(mutex_);
  c->stage = Connection::Stage::AwaitAnswer;
  c->handshakeHave = 0;
  c->handshakeNeed = 8;
}

int Endpoint::onHelloAnswer(const ConnectionPtr& c, const Hello& hello) {
  Peer& peer = *c->peer;
  if (hello.version != 3) {
    c->handshakeText = "answered our HELLO with version " + std::to_string(hello.version);
    return -EPROTO;
  }
  if (hello.type == ConnectionType::None) {
    closeOne(c, EALREADY);
    const Lock lock(mutex_);
    peer.attempt.reset();
    attemptRefused(peer);
    return 0;
  }
  if (hello.source != peer.nid || hello.sourcePid != kPidLustre) {
    c->handshakeText = "claimed to be " + nidText(hello.source) + ", pid " + std::to_string(hello.sourcePid);
    return -EPROTO;
  }
  if (invertType(hello.type) != c->type) {
    c->handshakeText = std::string("made ") + typeName(hello.type) + " of our " + typeName(c->type);
    return -EPROTO;
  }
  if (!peer.connections.empty() && (peer.incarnation != hello.incarnation || peer.version != hello.version)) {
    closePeer(peer, ECONNRESET, "the peer has restarted");
  }
  {
    const Lock lock(mutex_);
    peer.attempt.reset();
  }
  peer.backoffMs = 0;
  peer.nextAttempt = 0;
  if (c->type == ConnectionType::Control) peer.refusals = 0;
  establish(c, hello);
  pursue(peer);
  return 0;
}

void Endpoint::establish(const ConnectionPtr& c, const Hello& hello) {
  Peer& peer = *c->peer;
  c->stage = Connection::Stage::Established;
  c->lastReceived = now();
  counters_.connectionsOpen.fetch_add(1, std::memory_order_relaxed);
  const Lock lock(mutex_);
  peer.incarnation = hello.incarnation;
  peer.version = hello.version;
  peer.lastHeard = c->lastReceived.load();
  peer.connections.push_back(c);
  notice(Notice::Kind::Log, Notice::Level::Debug, peer.nid, 0,
         std::string(typeName(c->type)) + (c->active ? " connection to " : " connection from ") +
             c->remote.text());
  flushPending(peer);
}

// ---------------------------------------------------------------- failure

void Endpoint::attemptFailed(Peer& peer, int error, const std::string& reason) {
  const Lock lock(mutex_);
  peer.attempt.reset();
  peer.settingUp = false;
  peer.refusals = 0;
  peer.backoffMs = std::clamp(peer.backoffMs * 2, kBackoffMinMs, kBackoffMaxMs);
  peer.nextAttempt = now() + peer.backoffMs;
  if (closing_) return;
  notice(Notice::Kind::ConnectFailed, Notice::Level::Info, peer.nid, error, reason);
  if (peer.connections.empty()) {
    failPending(peer, -error);
    failWaiting(peer.nid, -error);
  } else {
    flushPending(peer);
  }
  if (peer.persist || peer.active) schedule(peer.nextAttempt);
}

// ctype NONE: the peer is connecting to us, or still holds connections of our former life (guide 02 §3.5).
void Endpoint::attemptRefused(Peer& peer) {
  peer.nextAttempt = now() + kRefusedRetryMs;
  schedule(peer.nextAttempt);
  ++peer.refusals;
  peer.settingUp = false;
  flushPending(peer);
  if (peer.refusals <= kRefusalsMax || !peer.connections.empty()) return;
  notice(Notice::Kind::ConnectFailed, Notice::Level::Warn, peer.nid, EALREADY, "it refuses our connections");
  failPending(peer, -EALREADY);
}

}  // namespace lustre::lnet
