// When the consumer is woken for events that could wait a moment.
#include "wake_policy.h"

#include <doctest/doctest.h>

using namespace lustre::lnet;

namespace {

struct Clock {
  std::int64_t at = 1000;
};

bool due(WakePolicy& policy, bool bulkComing, const Clock& clock) {
  return policy.due(true, bulkComing, [&] { return clock.at; });
}

}  // namespace

TEST_CASE("wake policy: an urgent event is worth a wake whatever is on its way") {
  WakePolicy policy;
  const Clock clock;
  policy.pushed(Worth::Bulk);
  policy.pushed(Worth::Urgent);
  CHECK(due(policy, true, clock));
  CHECK_FALSE(policy.holding());
}

TEST_CASE("wake policy: bulk waits for the next bulk, but not longer than patience") {
  WakePolicy policy;
  Clock clock;
  policy.pushed(Worth::Bulk);
  CHECK_FALSE(due(policy, true, clock));
  CHECK(policy.holding());
  clock.at += WakePolicy::kPatienceUs - 1;
  policy.pushed(Worth::Bulk);
  CHECK_FALSE(due(policy, true, clock));
  clock.at += 1;
  CHECK(due(policy, true, clock));
  CHECK_FALSE(policy.holding());
}

TEST_CASE("wake policy: the last bulk is worth a wake at once") {
  WakePolicy policy;
  const Clock clock;
  policy.pushed(Worth::Bulk);
  CHECK_FALSE(due(policy, true, clock));
  CHECK(due(policy, false, clock));
}

TEST_CASE("wake policy: a step waits for its answer, but not longer than patience") {
  WakePolicy policy;
  Clock clock;
  policy.pushed(Worth::Step);
  CHECK_FALSE(due(policy, false, clock));
  clock.at += WakePolicy::kPatienceUs;
  CHECK(due(policy, false, clock));
}

TEST_CASE("wake policy: what the consumer took by itself starts no new wait") {
  WakePolicy policy;
  Clock clock;
  policy.pushed(Worth::Step);
  CHECK_FALSE(due(policy, false, clock));
  CHECK_FALSE(policy.due(false, false, [&] { return clock.at; }));
  CHECK_FALSE(policy.holding());
  clock.at += 10 * WakePolicy::kPatienceUs;
  policy.pushed(Worth::Step);
  CHECK_FALSE(due(policy, false, clock));
}
