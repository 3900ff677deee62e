// guide 01 §5.1
#include "match_table.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <set>
#include <vector>

using namespace lustre::lnet;

namespace {

constexpr Nid kPeer = 0x000200000A000210;
std::vector<std::uint8_t> memory(1 << 16);

Md* make(MatchTable& table, std::uint32_t length, std::uint32_t options, std::uint64_t bits = 7,
         std::uint64_t ignore = 0, bool before = false) {
  Md* md = table.create(Md::Kind::Attached);
  md->pieces.push_back({memory.data(), length});
  md->length = length;
  md->options = options;
  md->threshold = kThresholdInfinite;
  md->portal = 5;
  md->matchBits = bits;
  md->ignoreBits = ignore;
  table.attach(md, before);
  return md;
}

MatchQuery put(std::uint32_t length, std::uint64_t bits = 7, std::uint32_t offset = 0) {
  return {option::kPut, 5, kPeer, kPidLustre, bits, length, offset};
}

}  // namespace

TEST_CASE("list order holds across exact and wildcard entries") {
  MatchTable table;
  Md* exact = make(table, 10, option::kPut);
  make(table, 10, option::kPut, 0, ~0ull);
  Md* first = make(table, 10, option::kPut, 0, ~0ull, true);
  CHECK(table.match(put(1)).md == first);
  table.detach(first);
  CHECK(table.match(put(1)).md == exact);
}

TEST_CASE("every condition of a match counts") {
  MatchTable table;
  Md* md = make(table, 10, option::kPut);
  CHECK(table.match(put(1, 8)).outcome == MatchResult::Outcome::NoMatch);
  auto query = put(1);
  query.operation = option::kGet;
  CHECK(table.match(query).outcome == MatchResult::Outcome::NoMatch);
  query = put(1);
  query.portal = 6;
  CHECK(table.match(query).outcome == MatchResult::Outcome::NoMatch);
  query.portal = 64;
  CHECK(table.match(query).outcome == MatchResult::Outcome::NoMatch);
  md->peer = kPeer + 1;
  CHECK(table.match(put(1)).outcome == MatchResult::Outcome::NoMatch);
  md->peer = kPeer;
  md->peerPid = 1;
  CHECK(table.match(put(1)).outcome == MatchResult::Outcome::NoMatch);
  md->peerPid = kPidLustre;
  CHECK(table.match(put(1)).outcome == MatchResult::Outcome::Matched);
}

TEST_CASE("too long: dropped or truncated") {
  MatchTable table;
  Md* md = make(table, 10, option::kPut);
  CHECK(table.match(put(11)).outcome == MatchResult::Outcome::TooLong);
  md->options |= option::kTruncate;
  const MatchResult result = table.match(put(11));
  CHECK(result.outcome == MatchResult::Outcome::Matched);
  CHECK(result.mlength == 10);
}

TEST_CASE("offsets: running, remote, and beyond the end") {
  MatchTable table;
  Md* md = make(table, 100, option::kPut);
  CHECK(table.match(put(30, 7, 50)).offset == 0);
  CHECK(table.match(put(30)).offset == 30);
  md->options |= option::kManageRemote;
  CHECK(table.match(put(30, 7, 70)).offset == 70);
  CHECK(table.match(put(1, 7, 0xffffffff)).outcome == MatchResult::Outcome::TooLong);
  CHECK(table.match(put(0, 7, 100)).outcome == MatchResult::Outcome::Matched);
}

TEST_CASE("MAX_SIZE: the entry goes when less than that is left") {
  MatchTable table;
  Md* md = make(table, 100, option::kPut | option::kMaxSize);
  md->maxSize = 40;
  md->autoUnlink = true;
  CHECK(table.match(put(41)).outcome == MatchResult::Outcome::TooLong);
  CHECK(table.match(put(40)).offset == 0);
  CHECK(md->linked);
  CHECK(table.match(put(21)).offset == 40);
  CHECK_FALSE(md->linked);
  CHECK(md->unlinking);
  CHECK(table.match(put(1)).outcome == MatchResult::Outcome::NoMatch);
}

TEST_CASE("wire handles are never valid twice") {
  MatchTable table;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    Md* md = table.create(Md::Kind::Put);
    const std::uint64_t object = md->object;
    CHECK(seen.insert(object).second);
    CHECK(table.find(object) == md);
    table.destroy(md);
    CHECK(table.find(object) == nullptr);
  }
  CHECK(table.find(0) == nullptr);
  CHECK(table.find(~0ull) == nullptr);
}

TEST_CASE("random attaches, matches and unlinks agree with a plain list") {
  std::mt19937 random(1);
  MatchTable table;
  std::vector<Md*> model;
  for (int step = 0; step < 20000; ++step) {
    const auto dice = random() % 10;
    if (dice < 4) {
      const bool wild = random() % 3 == 0;
      const bool before = random() % 2 == 0;
      Md* md = make(table, 100, option::kPut, random() % 8, wild ? random() % 8 : 0, before);
      md->threshold = 1 + random() % 3;
      md->autoUnlink = true;
      model.insert(before ? model.begin() : model.end(), md);
    } else if (dice < 5 && !model.empty()) {
      const auto at = model.begin() + static_cast<std::ptrdiff_t>(random() % model.size());
      table.detach(*at);
      table.destroy(*at);
      model.erase(at);
    } else {
      const std::uint64_t bits = random() % 8;
      const std::uint32_t length = random() % 40;
      auto expected = model.end();
      for (auto it = model.begin(); it != model.end(); ++it) {
        if ((((*it)->matchBits ^ bits) & ~(*it)->ignoreBits) != 0) continue;
        expected = it;
        break;
      }
      const bool fits = expected != model.end() && (*expected)->localOffset + length <= 100;
      const MatchResult result = table.match(put(length, bits));
      if (expected == model.end()) {
        CHECK(result.outcome == MatchResult::Outcome::NoMatch);
      } else if (!fits) {
        CHECK(result.outcome == MatchResult::Outcome::TooLong);
      } else {
        REQUIRE(result.md == *expected);
        if (--result.md->refs == 0 && result.md->unlinking) {
          table.destroy(result.md);
          model.erase(expected);
        }
      }
    }
  }
}

TEST_CASE("a message to the final offset or beyond exhausts the entry") {
  MatchTable table;
  Md* md = make(table, 100, option::kPut | option::kManageRemote);
  md->finalOffset = 50;
  md->autoUnlink = true;
  for (int i = 0; i < 3; ++i) CHECK(table.match(put(10)).md == md);
  CHECK(table.match(put(10, 7, 49)).md == md);
  CHECK(!md->unlinking);
  CHECK(table.match(put(10, 7, 50)).md == md);
  CHECK(md->unlinking);
  CHECK(table.match(put(10)).outcome == MatchResult::Outcome::NoMatch);
}
