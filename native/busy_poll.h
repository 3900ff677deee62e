// The event loop of a JavaScript thread looks for what it waits for before it sleeps (busy_poll_policy.h says
// when).
#pragma once

#include <node_api.h>

#include <cstdint>
#include <memory>

namespace lustre {

// All of it on the loop's own thread. It never keeps the loop alive, and stops with the last who shares it.
class BusyPoll {
 public:
  // The loop's one, for whoever has something that wakes it; the longest `lookUs` counts. Null where that is
  // 0 or the runtime has no libuv.
  static std::shared_ptr<BusyPoll> of(napi_env env, std::int64_t lookUs);
  ~BusyPoll();
  BusyPoll(const BusyPoll&) = delete;
  BusyPoll& operator=(const BusyPoll&) = delete;

 private:
  struct Looker;

  explicit BusyPoll(napi_env env) : env_(env) {}
  static void atExit(void* self);
  void close();

  napi_env env_;
  // The handle's, from `of` until libuv has let go of it; null after `close`.
  Looker* looker_ = nullptr;
};

}  // namespace lustre
