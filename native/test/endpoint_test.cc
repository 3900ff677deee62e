// Two endpoints, or an endpoint and a raw socket, over loopback.
#include "endpoint_fixture.h"

using namespace lustre::lnet;

TEST_CASE("many PUTs and GETs both ways at once, a small ring, every event once") {
  Node a(kNidA);
  Node b(kNidB, {{kNidA, a.address(kNidA)}});
  constexpr int kCount = 400;
  constexpr std::uint32_t kSize = 70'000;
  std::latch bothAttached(2);
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
    // What peers read and what they write are different bytes: threads of both endpoints touch them at any
    // time.
    const SegmentRef readable{from, 0, kSize};
    Operation exported = self.operation(kNidAny, 1, &readable, 1);
    exported.options = option::kGet | option::kManageRemote;
    REQUIRE(self.endpoint->attach(exported, object) == 0);
    // A PUT that matches nothing is dropped, and its ACK never comes.
    bothAttached.arrive_and_wait();
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

TEST_CASE("a quiet PUT that is in the socket has no event; one that waits or fails has") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  std::vector<std::uint8_t> sink(4096);
  attachSink(b, sink);
  std::vector<std::uint8_t> source(100, 9);
  const SegmentRef from{a.endpoint->addMemory(source.data(), source.size()), 0, 100};
  const auto quiet = [&](Nid peer, std::uint32_t handler) {
    Operation op = a.operation(peer, handler, &from, 1);
    op.quiet = true;
    std::uint64_t put = 0;
    return a.endpoint->put(op, put);
  };
  // There is no connection yet.
  REQUIRE(quiet(kNidB, 2) == 0);
  REQUIRE(a.until([&] { return a.ended(2); }));
  CHECK(a.events[2].back().status == 0);
  int sent = 0;
  for (int i = 0; i < 20; ++i) sent += quiet(kNidB, 3) == kSent ? 1 : 0;
  REQUIRE(b.until([&] { return b.count(1) == 21; }));
  REQUIRE(a.until([&] { return a.count(3) == static_cast<std::size_t>(20 - sent); }));
  CHECK(sent > 0);
  // To ourselves, and to a network that cannot be reached.
  CHECK(quiet(kNidA, 4) == kSent);
  CHECK(quiet(kNidB + (std::uint64_t{1} << 32), 5) == 0);
  REQUIRE(a.until([&] { return a.ended(5); }));
  CHECK(a.events[5].back().status == -EHOSTUNREACH);
  CHECK(a.count(4) == 0);
}

TEST_CASE("messages for later wait for sendLater, and go by one call") {
  Node b(kNidB);
  Node a(kNidA, {{kNidB, b.address(kNidB)}});
  std::vector<std::uint8_t> sink(4096);
  std::uint64_t object = attachSink(b, sink);
  std::vector<std::uint8_t> bytes(64, 7);
  const SegmentRef from{a.endpoint->addMemory(bytes.data(), bytes.size()), 0, 64};
  Operation first = a.operation(kNidB, 2, &from, 1);
  first.ack = true;
  REQUIRE(a.endpoint->put(first, object) == 0);
  REQUIRE(a.until([&] { return a.ended(2); }));
  const auto calls = a.endpoint->counters().sendMessages.load();
  for (std::uint32_t i = 0; i < 5; ++i) {
    Operation op = a.operation(kNidB, 10 + i, &from, 1);
    op.later = true;
    REQUIRE(a.endpoint->put(op, object) == 0);
  }
  CHECK(a.endpoint->counters().sendMessages.load() == calls);
  a.endpoint->sendLater();
  REQUIRE(a.until([&] { return a.ended(14); }));
  CHECK(a.endpoint->counters().sendMessages.load() == calls + 5);
  REQUIRE(b.until([&] { return b.count(1) == 6; }));
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

TEST_CASE("large payloads that come in pieces: each event comes although the next payload stays away") {
  Node a(kNidA);
  constexpr std::uint32_t kSize = 1u << 20;
  std::vector<std::uint8_t> sink(kSize);
  const SegmentRef whole{a.endpoint->addMemory(sink.data(), sink.size()), 0, kSize};
  std::uint64_t object = 0;
  Operation entry = a.operation(kNidAny, 1, &whole, 1);
  entry.options = option::kPut | option::kManageRemote;
  REQUIRE(a.endpoint->attach(entry, object) == 0);
  const RawSocket peer(a);
  peer.handshake(kNidB, ConnectionType::Control);
  const std::vector<std::uint8_t> large = frame(putHeader(kNidB, kSize), kSize);
  const std::vector<std::uint8_t> small = frame(putHeader(kNidB, 5), 5);
  const auto part = [](const std::vector<std::uint8_t>& bytes, std::size_t from, std::size_t to) {
    return std::vector<std::uint8_t>(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                                     bytes.begin() + static_cast<std::ptrdiff_t>(to));
  };
  // All but the last byte, which comes alone.
  peer.send(part(large, 0, large.size() - 1));
  peer.send(part(large, large.size() - 1, large.size()));
  REQUIRE(a.until([&] { return a.count(1) == 1; }));
  CHECK(sink.back() == 0x5a);
  // A whole one, and the next stands still at many places, also such where less than the low-water mark is
  // due.
  std::uint32_t received = 1;
  for (const std::size_t stop : {std::size_t{200'000}, std::size_t{600'000}, std::size_t{1'000'000}}) {
    peer.send(large);
    peer.send(part(large, 0, stop));
    REQUIRE(a.until([&] { return a.count(1) == received + 1; }));
    peer.send(part(large, stop, large.size()));
    REQUIRE(a.until([&] { return a.count(1) == received + 2; }));
    // Small ones are heard of as before.
    peer.send(small);
    REQUIRE(a.until([&] { return a.count(1) == received + 3; }));
    received += 3;
  }
}
