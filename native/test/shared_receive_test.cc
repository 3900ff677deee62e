// Bulk of several peers at once, which several threads receive (receivers.h).
#include <filesystem>
#include <fstream>

#include "checksum.h"
#include "endpoint_fixture.h"
#include "file_fixture.h"

namespace lustre::lnet {
namespace {

constexpr std::uint32_t kPeers = 3;
constexpr std::uint32_t kEach = 24;

// One that sends MiBs of its own, and where they are to go at `a`: entry and handler 1 + i.
struct Sender {
  Sender(Node& a, std::uint32_t i)
      : bytes(pattern(kMiB, i)),
        sink(std::size_t{kEach} * kMiB),
        node(std::make_unique<Node>(kNidB + i, std::vector{std::pair{kNidA, a.address(kNidA)}})) {
    const SegmentRef into{a.endpoint->addMemory(sink.data(), sink.size()), 0,
                          static_cast<std::uint32_t>(sink.size())};
    Operation entry = a.operation(kNidAny, 1 + i, &into, 1);
    entry.options = option::kPut;
    entry.matchBits = i;
    entry.checksum = ChecksumType::kCrc32c;
    std::uint64_t object = 0;
    REQUIRE(a.endpoint->attach(entry, object) == 0);
  }

  void send(std::uint32_t i) {
    const SegmentRef from{node->endpoint->addMemory(bytes.data(), bytes.size()), 0, kMiB};
    for (std::uint32_t n = 0; n < kEach; ++n) {
      Operation put = node->operation(kNidA, 10 + n, &from, 1);
      put.matchBits = i;
      put.ack = true;
      std::uint64_t object = 0;
      REQUIRE(node->endpoint->put(put, object) == 0);
    }
  }

  bool ended() const { return allEnded(*node, 10, kEach); }

  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> sink;
  // Reads the bytes until it is gone.
  std::unique_ptr<Node> node;
};

bool receiversRun() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name == "lustre-receive") return true;
  }
  return false;
}

}  // namespace

TEST_CASE(
    "bulk of several peers at once arrives whole and in order, with its checksums, by several threads") {
  std::vector<std::unique_ptr<Sender>> senders;
  Node a(kNidA);
  for (std::uint32_t i = 0; i < kPeers; ++i) senders.push_back(std::make_unique<Sender>(a, i));
  for (std::uint32_t i = 0; i < kPeers; ++i) senders[i]->send(i);
  for (std::uint32_t i = 0; i < kPeers; ++i) {
    Sender& from = *senders[i];
    REQUIRE(a.until([&] { return a.count(1 + i) == kEach; }));
    REQUIRE(from.node->until([&] { return from.ended(); }));
    const std::uint32_t sum = crc32c(from.bytes.data(), from.bytes.size());
    for (std::uint32_t n = 0; n < kEach; ++n) {
      CHECK(from.node->events[10 + n].back().status == 0);
      CHECK(a.events[1 + i][n].checksum == sum);
      CHECK(std::memcmp(from.sink.data() + std::size_t{n} * kMiB, from.bytes.data(), kMiB) == 0);
    }
  }
  if (std::thread::hardware_concurrency() > 1) CHECK(receiversRun());
}

TEST_CASE(
    "one of several peers goes in the middle, then the endpoint: all ends, nothing is written after it") {
  std::vector<std::unique_ptr<Sender>> senders;
  auto a = std::make_unique<Node>(kNidA);
  for (std::uint32_t i = 0; i < kPeers; ++i) senders.push_back(std::make_unique<Sender>(*a, i));
  for (std::uint32_t i = 0; i < kPeers; ++i) senders[i]->send(i);
  REQUIRE(a->until([&] { return a->count(1) > 0 && a->count(2) > 0; }));
  senders[0]->node.reset();
  // The others do not notice.
  REQUIRE(a->until([&] { return a->count(2) == kEach; }));
  a->endpoint->beginClose(true);
  REQUIRE(a->until([&] { return a->closed; }));
  std::vector<std::vector<std::uint8_t>> before;
  for (const auto& sender : senders) before.push_back(sender->sink);
  a.reset();
  for (std::uint32_t i = 1; i < kPeers; ++i) {
    REQUIRE(senders[i]->node->until([&] { return senders[i]->ended(); }));
  }
  for (std::uint32_t i = 0; i < kPeers; ++i) CHECK(senders[i]->sink == before[i]);
}

}  // namespace lustre::lnet
