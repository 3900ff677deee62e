// An endpoint with its consumer, and a raw socket that talks to one.
#pragma once

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

#include "endpoint.h"

namespace lustre::lnet {

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

inline EventType typeOf(const Event& event) {
  return static_cast<EventType>(event.type & 0xff);
}

inline const Event& eventOf(Node& node, std::uint32_t handler, EventType type) {
  for (const Event& event : node.events[handler]) {
    if (typeOf(event) == type) return event;
  }
  FAIL("no such event");
  std::abort();
}

inline bool allEnded(Node& node, std::uint32_t from, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!node.ended(from + i)) return false;
  }
  return true;
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

inline std::vector<std::uint8_t> frame(const MessageHeader& header, std::size_t payload = 0,
                                       std::uint64_t cookie = 0) {
  std::vector<std::uint8_t> bytes(kFullHeaderSize + payload, 0x5a);
  encodeFrameHeader(bytes.data(), kFrameLnet);
  std::memcpy(bytes.data() + 8, &cookie, sizeof cookie);
  encodeMessageHeader(bytes.data() + kFrameHeaderSize, header);
  return bytes;
}

inline MessageHeader putHeader(Nid from, std::uint32_t length) {
  MessageHeader put;
  put.type = MessageType::Put;
  put.destination = kNidA;
  put.source = from;
  put.payloadLength = length;
  put.portal = 12;
  put.matchBits = 42;
  return put;
}

// Takes what is put to a node, as events of handler 1. Gives the descriptor.
inline std::uint64_t attachSink(Node& node, std::vector<std::uint8_t>& sink,
                                std::uint32_t options = option::kPut) {
  const SegmentRef into{node.endpoint->addMemory(sink.data(), sink.size()), 0,
                        static_cast<std::uint32_t>(sink.size())};
  Operation entry = node.operation(kNidAny, 1, &into, 1);
  entry.options = options;
  std::uint64_t object = 0;
  REQUIRE(node.endpoint->attach(entry, object) == 0);
  return object;
}

}  // namespace lustre::lnet
