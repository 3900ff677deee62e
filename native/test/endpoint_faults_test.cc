// Peers that break the rules, die, restart or say nothing.
#include <algorithm>

#include "endpoint_fixture.h"

using namespace lustre;
using namespace lustre::lnet;

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

TEST_CASE("what a peer sent before it hung up is taken in, whichever connection ends first") {
  Node a(kNidA);
  std::vector<std::uint8_t> sink(1000);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, 1000};
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut | option::kManageRemote;
  std::uint64_t object = 0;
  REQUIRE(a.endpoint->attach(entry, object) == 0);
  for (std::size_t round = 1; round <= 200; ++round) {
    auto first = std::make_unique<RawSocket>(a);
    auto second = std::make_unique<RawSocket>(a);
    first->handshake(kNidB, ConnectionType::Control);
    second->handshake(kNidB, ConnectionType::BulkOut);
    second->send(frame(putHeader(kNidB, 1000), 1000));
    first.reset();
    second.reset();
    REQUIRE(a.until([&] { return a.count(1) == round; }));
    CHECK(a.events[1].back().status == 0);
  }
}

TEST_CASE("a peer that dies inside a message: the event says so, parked memory goes") {
  Node a(kNidA);
  std::vector<std::uint8_t> sink(1000);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, 1000};
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut;
  entry.threshold = 1;
  entry.autoUnlink = true;
  entry.checksum = ChecksumType::kCrc32c;
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
  CHECK(a.events[1][0].checksum == 0);
  CHECK(std::count(sink.begin(), sink.end(), 0x5a) <= 500);
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

TEST_CASE("a peer that finishes between messages is no warning; one that stops inside a message is") {
  for (const bool inside : {false, true}) {
    Node a(kNidA);
    {
      const RawSocket raw(a);
      raw.handshake(kNidB, ConnectionType::Control);
      if (inside) {
        auto bytes = frame(putHeader(kNidB, 4096), 4096);
        bytes.resize(200);
        raw.send(bytes);
      }
    }
    const auto down = [](const Notice& notice) { return notice.kind == Notice::Kind::PeerDown; };
    REQUIRE(a.until([&] { return std::any_of(a.notices.begin(), a.notices.end(), down); }));
    const Notice& notice = *std::find_if(a.notices.begin(), a.notices.end(), down);
    CHECK(notice.level == (inside ? Notice::Level::Warn : Notice::Level::Info));
  }
}
