// The push, pop and wake protocol of the event ring and its consumer, every interleaving of it: a model of
// one step for each access to shared memory, in the order of event_ring.h and of #drain in
// native-endpoint.ts.
#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <vector>

namespace {

constexpr int kEvents = 3;
constexpr int kCapacity = 2;

enum class Producer : std::uint8_t { Push, Wrote, LookUsed, LookSleeping, Claim };
enum class Consumer : std::uint8_t { Asleep, Awake, Look, FallAsleep, LookAgain, StayAwake, Take };

// All that is shared, and where both are.
struct State {
  std::uint8_t write = 0, read = 0, sleeping = 1, wakes = 0, pushed = 0, taken = 0, overflow = 0,
               attention = 0;
  Producer producer = Producer::Push;
  Consumer consumer = Consumer::Asleep;
  // It takes the 0 of a defaulted comparison for a pointer. NOLINTNEXTLINE(modernize-use-nullptr)
  auto operator<=>(const State&) const = default;
};

// The producer's next step; false when it has none.
bool produce(State& s) {
  switch (s.producer) {
    case Producer::Push:
      if (s.pushed == kEvents) return false;
      ++s.pushed;
      if (s.overflow > 0 || s.write - s.read >= kCapacity) {
        ++s.overflow;
        s.producer = Producer::Wrote;
        return true;
      }
      ++s.write;
      s.producer = Producer::LookUsed;
      return true;
    case Producer::Wrote:
      s.attention = 1;
      s.producer = Producer::LookUsed;
      return true;
    case Producer::LookUsed:
      s.producer = s.write != s.read || s.attention != 0 ? Producer::LookSleeping : Producer::Push;
      return true;
    case Producer::LookSleeping:
      s.producer = s.sleeping != 0 ? Producer::Claim : Producer::Push;
      return true;
    case Producer::Claim:
      if (s.sleeping != 0) ++s.wakes;
      s.sleeping = 0;
      s.producer = Producer::Push;
      return true;
  }
  return false;
}

// attend(): under the endpoint's lock, so in one step with respect to the producer.
void attend(State& s) {
  s.attention = 0;
  while (s.overflow > 0 && s.write - s.read < kCapacity) {
    --s.overflow;
    ++s.write;
  }
  if (s.overflow > 0) s.attention = 1;
}

bool consume(State& s, bool looksAgain) {
  switch (s.consumer) {
    case Consumer::Asleep:
      if (s.wakes == 0) return false;
      --s.wakes;
      s.consumer = Consumer::Awake;
      return true;
    case Consumer::Awake:
      s.sleeping = 0;
      s.consumer = Consumer::Look;
      return true;
    case Consumer::Look:
      s.consumer = s.write != s.read ? Consumer::Take : Consumer::FallAsleep;
      return true;
    case Consumer::Take:
      ++s.read;
      ++s.taken;
      s.consumer = Consumer::Look;
      return true;
    case Consumer::FallAsleep:
      if (s.attention != 0) {
        attend(s);
        return true;
      }
      s.sleeping = 1;
      s.consumer = looksAgain ? Consumer::LookAgain : Consumer::Asleep;
      return true;
    case Consumer::LookAgain:
      s.consumer = s.write == s.read && s.attention == 0 ? Consumer::Asleep : Consumer::StayAwake;
      return true;
    case Consumer::StayAwake:
      s.sleeping = 0;
      s.consumer = Consumer::Look;
      return true;
  }
  return false;
}

struct Outcome {
  std::size_t states = 0;
  std::size_t lost = 0;  // ends with an event that nobody takes
  bool overrun = false;  // more in the ring than it holds
};

Outcome explore(bool looksAgain) {
  std::set<State> seen;
  std::vector<State> open{State{}};
  Outcome outcome;
  while (!open.empty()) {
    const State s = open.back();
    open.pop_back();
    if (!seen.insert(s).second) continue;
    outcome.overrun = outcome.overrun || s.write - s.read > kCapacity || s.read > s.write;
    State p = s;
    State c = s;
    const bool produced = produce(p);
    const bool consumed = consume(c, looksAgain);
    if (produced) open.push_back(p);
    if (consumed) open.push_back(c);
    if (!produced && !consumed && s.taken != kEvents) ++outcome.lost;
  }
  outcome.states = seen.size();
  return outcome;
}

}  // namespace

TEST_CASE("in every interleaving of producer and consumer each event is taken") {
  const Outcome outcome = explore(true);
  CHECK(outcome.states > 200);
  CHECK(outcome.lost == 0);
  CHECK(!outcome.overrun);
}

TEST_CASE("the model finds the lost wake of a consumer that does not look again before it sleeps") {
  CHECK(explore(false).lost > 0);
}
