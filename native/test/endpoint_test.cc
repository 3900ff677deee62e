// Two endpoints, or an endpoint and a raw socket, over loopback.
#include "endpoint.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

using namespace lustre::lnet;

namespace {

constexpr std::uint32_t kRing = 256;
constexpr Nid kNidA = 0x000200007F000001;
constexpr Nid kNidB = 0x000200007F000002;

// An endpoint with a consumer as JavaScript is one: sleeps, is woken, drains.
class Node {
 public:
  explicit Node(Nid nid, std::vector<std::pair<Nid, SocketAddress>> map = {}, bool accept = true,
                int socketTimeoutMs = 50'000, int responseTimeoutMs = 150'000)
      : ring_(std::aligned_alloc(64, EventRing::bytes(kRing))) {
    std::memset(ring_, 0, EventRing::bytes(kRing));
    consumer_ = std::make_unique<EventRing>(ring_, kRing);
    consumer_->sleep();
    EndpointConfig config;
    config.nid = nid;
    config.accept = accept;
    config.listenPort = 0;
    config.nidMap = std::move(map);
    config.socketTimeoutMs = socketTimeoutMs;
    config.responseTimeoutMs = responseTimeoutMs;
    config.interfaceCookie = nid * 77;
    config.incarnation = nextIncarnation++;
    endpoint = std::make_unique<Endpoint>(std::move(config), ring_, kRing, [this] {
      const std::lock_guard lock(mutex_);
      woken_ = true;
      condition_.notify_one();
    });
    std::string text;
    REQUIRE(endpoint->start(text) == 0);
  }
  ~Node() {
    endpoint.reset();
    std::free(ring_);
  }

  SocketAddress address(Nid nid) const { return SocketAddress::ofNid(nid, endpoint->listenPort()); }

  // Drains until `done`; events of descriptors go to `events`.
  template <typename Done>
  bool until(Done done, int timeoutMs = 20'000) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeoutMs);
    for (;;) {
      drain();
      if (done()) return true;
      consumer_->sleep();
      if (consumer_->used() > 0) continue;
      std::unique_lock lock(mutex_);
      if (!condition_.wait_until(lock, deadline, [this] { return woken_; })) return false;
      woken_ = false;
    }
  }

  Operation operation(Nid peer, std::uint32_t handler, const SegmentRef* segments, std::size_t count) const {
    Operation op;
    op.peer = peer;
    op.portal = 12;
    op.matchBits = 42;
    op.handler = handler;
    op.segments = segments;
    op.segmentCount = count;
    return op;
  }

  std::size_t count(std::uint32_t handler) { return events[handler].size(); }
  bool ended(std::uint32_t handler) {
    return !events[handler].empty() && (events[handler].back().type & kEventUnlinked) != 0;
  }

  std::unique_ptr<Endpoint> endpoint;
  std::map<std::uint32_t, std::vector<Event>> events;
  std::vector<Notice> notices;
  bool closed = false;

 private:
  void drain() {
    Event event;
    while (consumer_->pop(event)) {
      const auto type = static_cast<EventType>(event.type & 0xff);
      if (type == EventType::Notice) {
        for (Notice& notice : endpoint->takeNotices()) notices.push_back(std::move(notice));
      } else if (type == EventType::Closed) {
        closed = true;
      } else {
        events[event.handler].push_back(event);
      }
    }
    endpoint->attend();
  }

  static inline std::uint64_t nextIncarnation = 1000;
  void* ring_;
  std::unique_ptr<EventRing> consumer_;
  std::mutex mutex_;
  std::condition_variable condition_;
  bool woken_ = false;
};

EventType typeOf(const Event& event) {
  return static_cast<EventType>(event.type & 0xff);
}

class RawSocket {
 public:
  explicit RawSocket(const Node& node) {
    const SocketAddress to = node.address(kNidA);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    const timeval limit{10, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    REQUIRE(connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.length) == 0);
  }
  ~RawSocket() { close(fd); }

  void send(const std::vector<std::uint8_t>& bytes) const {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t n = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  std::vector<std::uint8_t> receive(std::size_t bytes) const {
    std::vector<std::uint8_t> out(bytes);
    std::size_t have = 0;
    while (have < bytes) {
      const ssize_t n = recv(fd, out.data() + have, bytes - have, 0);
      if (n <= 0) break;
      have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
  }
  bool hungUp() const {
    std::uint8_t byte;
    ssize_t n;
    do n = recv(fd, &byte, 1, 0);
    while (n > 0);
    return n == 0 || errno == ECONNRESET;
  }
  // As a kernel would: acceptor request, HELLO, and the answer read.
  Hello handshake(Nid self, ConnectionType type, std::uint64_t incarnation = 5,
                  std::uint32_t version = 3) const {
    std::vector<std::uint8_t> bytes(kAcceptorRequestV1Size + kHelloSize);
    encodeAcceptorRequest(bytes.data(), kNidA);
    Hello hello;
    hello.version = version;
    hello.source = self;
    hello.destination = kNidA;
    hello.incarnation = incarnation;
    hello.type = type;
    encodeHello(bytes.data() + kAcceptorRequestV1Size, hello);
    send(bytes);
    const auto answer = receive(kHelloSize);
    Hello out;
    REQUIRE(parseHello(answer.data(), answer.size(), out).status == Parsed::Status::Ok);
    return out;
  }
  int fd;
};

std::vector<std::uint8_t> frame(const MessageHeader& header, std::size_t payload = 0,
                                std::uint64_t cookie = 0) {
  std::vector<std::uint8_t> bytes(kFullHeaderSize + payload, 0x5a);
  encodeFrameHeader(bytes.data(), kFrameLnet);
  std::memcpy(bytes.data() + 8, &cookie, sizeof cookie);
  encodeMessageHeader(bytes.data() + kFrameHeaderSize, header);
  return bytes;
}

MessageHeader putHeader(Nid from, std::uint32_t length) {
  MessageHeader put;
  put.type = MessageType::Put;
  put.destination = kNidA;
  put.source = from;
  put.payloadLength = length;
  put.portal = 12;
  put.matchBits = 42;
  return put;
}

}  // namespace

TEST_CASE("many PUTs and GETs both ways at once, a small ring, every event once") {
  Node a(kNidA);
  Node b(kNidB, {{kNidA, a.address(kNidA)}});
  constexpr int kCount = 400;
  constexpr std::uint32_t kSize = 70'000;
  std::latch bothDone(2);
  const auto work = [&](Node& self, Nid peer) {
    std::vector<std::uint8_t> source(kSize, 1);
    std::vector<std::uint8_t> sink(kSize);
    const MemoryId from = self.endpoint->addMemory(source.data(), source.size());
    const MemoryId to = self.endpoint->addMemory(sink.data(), sink.size());
    std::uint64_t object = 0;
    const SegmentRef whole{to, 0, kSize};
    Operation entry = self.operation(kNidAny, 1, &whole, 1);
    entry.options = option::kPut | option::kManageRemote;
    REQUIRE(self.endpoint->attach(entry, object) == 0);
    // What peers read and what they write are different bytes: threads of both endpoints touch them at any time.
    const SegmentRef readable{from, 0, kSize};
    Operation exported = self.operation(kNidAny, 1, &readable, 1);
    exported.options = option::kGet | option::kManageRemote;
    REQUIRE(self.endpoint->attach(exported, object) == 0);
    if (peer == kNidA) {
      // Only B knows where A is: its first message makes the connections.
      const SegmentRef none{from, 0, 1};
      Operation hello = self.operation(peer, 2, &none, 1);
      hello.ack = true;
      std::uint64_t put = 0;
      do {
        self.events[2].clear();
        REQUIRE(self.endpoint->put(hello, put) == 0);
        REQUIRE(self.until([&] { return self.ended(2); }));
      } while (self.events[2].back().status != 0);
    } else {
      REQUIRE(self.until([&] { return self.count(1) > 0; }));
    }
    for (std::uint32_t i = 0; i < kCount; ++i) {
      const SegmentRef part{i % 2 == 0 ? from : to, 0, i % 3 == 0 ? kSize : 100};
      Operation op = self.operation(peer, 100 + i, &part, 1);
      op.ack = i % 4 == 0;
      std::uint64_t sent = 0;
      REQUIRE((i % 2 == 0 ? self.endpoint->put(op, sent) : self.endpoint->get(op, sent)) == 0);
    }
    REQUIRE(self.until([&] {
      for (std::uint32_t i = 0; i < kCount; ++i) {
        if (!self.ended(100 + i)) return false;
      }
      return self.count(1) >= kCount;
    }));
    for (std::uint32_t i = 0; i < kCount; ++i) {
      CHECK(self.events[100 + i].back().status == 0);
      CHECK(self.count(100 + i) == (i % 2 == 1 || i % 4 == 0 ? 2 : 1));
    }
    // Neither closes before both are done: a close ends what the other waits for.
    bothDone.arrive_and_wait();
    self.endpoint->beginClose(false);
    REQUIRE(self.until([&] { return self.closed; }));
  };
  std::thread other([&] { work(b, kNidA); });
  work(a, kNidB);
  other.join();
}

TEST_CASE("a kernel's conversation from a raw socket: HELLO, ping, PUT with cookie, keepalive") {
  Node a(kNidA);
  std::vector<std::uint8_t> sink(1 << 20);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, 1 << 20};
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut | option::kManageRemote;
  std::uint64_t object = 0;
  REQUIRE(a.endpoint->attach(entry, object) == 0);

  const RawSocket raw(a);
  const Hello answer = raw.handshake(kNidB, ConnectionType::Control);
  CHECK(answer.type == ConnectionType::Control);
  CHECK(answer.source == kNidA);
  CHECK(answer.sourcePid == kPidLustre);

  MessageHeader ping;
  ping.type = MessageType::Get;
  ping.destination = kNidA;
  ping.source = kNidB;
  ping.matchBits = kPingMatchBits;
  ping.length = 272;
  ping.handle = {11, 22};
  raw.send(frame(ping));
  const auto reply = raw.receive(kFullHeaderSize + kPingInfoSize);
  REQUIRE(reply.size() == kFullHeaderSize + kPingInfoSize);
  MessageHeader header;
  REQUIRE(parseMessageHeader(reply.data() + kFrameHeaderSize, header) == 0);
  CHECK(header.type == MessageType::Reply);
  CHECK(header.handle.object == 22);

  // A push is acknowledged with the bytes it had.
  MessageHeader push = putHeader(kNidB, 48);
  push.portal = 0;
  push.matchBits = kPingMatchBits;
  push.handle = {33, 44};
  raw.send(frame(push, 48));
  const auto ack = raw.receive(kFullHeaderSize);
  REQUIRE(parseMessageHeader(ack.data() + kFrameHeaderSize, header) == 0);
  CHECK(header.type == MessageType::Ack);
  CHECK(header.length == 48);

  // The cookie comes back once, after the payload.
  auto bytes = frame(putHeader(kNidB, 1 << 20), 1 << 20, 17);
  raw.send({bytes.begin(), bytes.end() - 1});
  raw.send({bytes.end() - 1, bytes.end()});
  const auto noop = raw.receive(kFrameHeaderSize);
  const FrameHeader parsed = parseFrameHeader(noop.data());
  CHECK(parsed.type == kFrameNoop);
  CHECK(parsed.cookies[0] == 0);
  CHECK(parsed.cookies[1] == 17);
  REQUIRE(a.until([&] { return a.count(1) == 1; }));
  CHECK(a.events[1][0].mlength == 1u << 20);
  CHECK(sink.back() == 0x5a);

  // Keepalives are not answered: the next thing that comes is the reply to a ping.
  std::vector<std::uint8_t> keepalive(kFrameHeaderSize);
  encodeFrameHeader(keepalive.data(), kFrameNoop, kKeepaliveCookie);
  raw.send(keepalive);
  raw.send(frame(ping));
  CHECK(parseFrameHeader(raw.receive(kFrameHeaderSize).data()).type == kFrameLnet);
}

TEST_CASE("hostile handshakes are hung up on, and the endpoint goes on serving") {
  Node a(kNidA);
  const auto hangsUp = [&](std::vector<std::uint8_t> bytes) {
    const RawSocket raw(a);
    raw.send(bytes);
    CHECK(raw.hungUp());
  };
  std::vector<std::uint8_t> good(kAcceptorRequestV1Size + kHelloSize);
  encodeAcceptorRequest(good.data(), kNidA);
  Hello hello;
  hello.source = kNidB;
  hello.type = ConnectionType::Control;
  encodeHello(good.data() + kAcceptorRequestV1Size, hello);
  for (const std::size_t at :
       {0, 4, 8, 16, 20, 64, 68}) {  // magic, version, NID; magic, version, type, count
    auto bad = good;
    bad[at] ^= 0x77;
    bad[at + 1] ^= 0x77;
    hangsUp(bad);
  }
  auto self = good;
  std::memcpy(self.data() + 24, self.data() + 8, 8);  // claims our own NID
  hangsUp(self);
  const RawSocket raw(a);
  CHECK(raw.handshake(kNidB, ConnectionType::BulkOut).type == ConnectionType::BulkIn);
}

TEST_CASE("an unknown acceptor version and a HELLO of version 4 are told what we speak") {
  Node a(kNidA);
  {
    const RawSocket raw(a);
    std::vector<std::uint8_t> request(8);
    std::memcpy(request.data(), &kAcceptorMagic, 4);
    request[4] = 9;
    raw.send(request);
    CHECK(raw.receive(16).size() == 16);
    CHECK(raw.hungUp());
  }
  const RawSocket raw(a);
  std::vector<std::uint8_t> bytes(kAcceptorRequestV1Size + kHelloV4Size);
  encodeAcceptorRequest(bytes.data(), kNidA);
  std::uint8_t* v4 = bytes.data() + kAcceptorRequestV1Size;
  std::memcpy(v4, &kHelloMagic, 4);
  v4[4] = 4;
  v4[9] = 2;  // src_nid: tcp, 127.0.0.2
  v4[12] = 127;
  v4[15] = 2;
  v4[72] = 1;
  raw.send(bytes);
  const auto answer = raw.receive(kHelloSize);
  Hello hello;
  REQUIRE(parseHello(answer.data(), answer.size(), hello).status == Parsed::Status::Ok);
  CHECK(hello.version == 3);
  CHECK(hello.type == ConnectionType::None);
  CHECK(raw.hungUp());
}

TEST_CASE("messages that break the rules close the connection and its siblings") {
  Node a(kNidA);
  for (int rule = 0; rule < 4; ++rule) {
    const RawSocket first(a);
    const RawSocket sibling(a);
    first.handshake(kNidB, ConnectionType::Control);
    sibling.handshake(kNidB, ConnectionType::BulkOut);
    MessageHeader put = putHeader(kNidB, 10);
    if (rule == 0) put.payloadLength = kMtu + 1;
    if (rule == 1) put.type = static_cast<MessageType>(9);
    if (rule == 2) put.destination = kNidB;
    if (rule == 3) put.type = MessageType::Ack;
    first.send(frame(put, 10));
    CHECK(first.hungUp());
    CHECK(sibling.hungUp());
  }
}

TEST_CASE("dropped messages are skipped and the connection stays") {
  Node a(kNidA);
  const RawSocket raw(a);
  raw.handshake(kNidB, ConnectionType::Control);
  raw.send(frame(putHeader(kNidB, 1 << 20), 1 << 20));  // no match
  MessageHeader ack;
  ack.type = MessageType::Ack;
  ack.destination = kNidA;
  ack.source = kNidB;
  ack.handle = {kNidA * 77, 12345};
  raw.send(frame(ack));  // unknown handle
  ack.type = MessageType::Reply;
  ack.payloadLength = 5000;
  raw.send(frame(ack, 5000));
  MessageHeader routed = putHeader(kNidB, 100);
  routed.destination = 0x0005000001020304;  // another network
  raw.send(frame(routed, 100));
  MessageHeader ping;
  ping.type = MessageType::Get;
  ping.destination = kNidA;
  ping.source = kNidB;
  ping.matchBits = kPingMatchBits;
  ping.length = 4;
  raw.send(frame(ping));
  CHECK(raw.receive(kFullHeaderSize + 4).size() == kFullHeaderSize + 4);
  CHECK(a.endpoint->counters().dropped.load() == 4);
}

TEST_CASE("a peer that restarts loses its old connections") {
  Node a(kNidA);
  const RawSocket old(a);
  old.handshake(kNidB, ConnectionType::Control, 5);
  const RawSocket fresh(a);
  CHECK(fresh.handshake(kNidB, ConnectionType::Control, 6).type == ConnectionType::Control);
  CHECK(old.hungUp());
}

TEST_CASE("a peer that dies inside a message: the event says so, parked memory goes") {
  Node a(kNidA);
  std::vector<std::uint8_t> sink(1000);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, 1000};
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut;
  entry.threshold = 1;
  entry.autoUnlink = true;
  std::uint64_t object = 0;
  REQUIRE(a.endpoint->attach(entry, object) == 0);
  REQUIRE(a.endpoint->setLazyPortal(13) == 0);
  {
    const RawSocket raw(a);
    raw.handshake(kNidB, ConnectionType::Control);
    const RawSocket bulk(a);
    bulk.handshake(kNidB, ConnectionType::BulkOut);
    auto bytes = frame(putHeader(kNidB, 1000), 500);
    raw.send(bytes);
    MessageHeader lazy = putHeader(kNidB, 1000);
    lazy.portal = 13;
    bulk.send(frame(lazy, 500));
    // Both headers are in when the pings behind them would be; wait for the match instead of time.
    while (a.endpoint->counters().receiveMessages.load() < 2) std::this_thread::yield();
  }
  REQUIRE(a.until([&] { return a.ended(1); }));
  CHECK(a.events[1][0].status == -ECONNRESET);
}

TEST_CASE("half-open connections and lost answers run out of time") {
  Node a(kNidA, {}, true, 50'000, 100);
  const RawSocket silent(a);
  const RawSocket peer(a);
  peer.handshake(kNidB, ConnectionType::Control);
  std::vector<std::uint8_t> sink(100);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, 100};
  std::uint64_t object = 0;
  REQUIRE(a.endpoint->get(a.operation(kNidB, 1, &whole, 1), object) == 0);
  REQUIRE(a.until([&] { return a.ended(1); }));
  CHECK(typeOf(a.events[1].back()) == EventType::Reply);
  CHECK(a.events[1].back().status == -ETIMEDOUT);
  CHECK(silent.hungUp());
}

TEST_CASE("nobody answers: the PUT fails with the reason, and a refused peer backs off") {
  Node a(kNidA, {{kNidB, SocketAddress::ofNid(kNidB, 1)}});
  std::vector<std::uint8_t> bytes(10);
  const SegmentRef whole{a.endpoint->addMemory(bytes.data(), bytes.size()), 0, 10};
  std::uint64_t object = 0;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    REQUIRE(a.endpoint->put(a.operation(kNidB, i, &whole, 1), object) == 0);
    REQUIRE(a.until([&] { return a.ended(i); }));
    CHECK(a.events[i].back().status == -ECONNREFUSED);
  }
  REQUIRE_FALSE(a.notices.empty());
  CHECK(a.notices.back().kind == Notice::Kind::ConnectFailed);
}

TEST_CASE("memory is given up only after the last operation on it") {
  Node a(kNidA, {{kNidB, SocketAddress::ofNid(kNidB, 1)}});
  std::vector<std::uint8_t> bytes(10);
  const MemoryId id = a.endpoint->addMemory(bytes.data(), bytes.size());
  const SegmentRef whole{id, 0, 10};
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut;
  std::uint64_t object = 0;
  REQUIRE(a.endpoint->attach(entry, object) == 0);
  a.endpoint->releaseMemory(id);
  CHECK(a.endpoint->attend().empty());
  CHECK(a.endpoint->attach(entry, object) == -EINVAL);
  a.endpoint->beginClose(false);
  a.endpoint->join();
  const auto trash = a.endpoint->attend();
  REQUIRE(trash.size() == 1);
  CHECK(trash[0] == id);
}

TEST_CASE("a peer that asks without reading is not read from for ever") {
  Node a(kNidA);
  const RawSocket raw(a);
  raw.handshake(kNidB, ConnectionType::Control);
  MessageHeader ping;
  ping.type = MessageType::Get;
  ping.destination = kNidA;
  ping.source = kNidB;
  ping.matchBits = kPingMatchBits;
  ping.length = 272;
  const auto one = frame(ping);
  std::vector<std::uint8_t> many;
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), one.begin(), one.end());
  const timeval limit{0, 300'000};
  setsockopt(raw.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  std::size_t sent = 0;
  bool blocked = false;
  for (int i = 0; i < 2000 && !blocked; ++i) {
    std::size_t at = 0;
    while (at < many.size()) {
      const ssize_t n = ::send(raw.fd, many.data() + at, many.size() - at, MSG_NOSIGNAL);
      if (n <= 0) {
        blocked = true;
        break;
      }
      at += static_cast<std::size_t>(n);
      sent += static_cast<std::size_t>(n);
    }
    if (blocked) {
      // Everything that was asked in full is answered once it is read.
      const std::size_t answers = sent / one.size();
      std::size_t bytes = 0;
      while (bytes < answers * (kFullHeaderSize + kPingInfoSize)) {
        const std::size_t got =
            raw.receive(std::min<std::size_t>(1 << 16, answers * (kFullHeaderSize + kPingInfoSize) - bytes))
                .size();
        if (got == 0) break;
        bytes += got;
      }
      CHECK(bytes == answers * (kFullHeaderSize + kPingInfoSize));
    }
  }
  CHECK(blocked);
}
