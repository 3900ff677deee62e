// The event loop of a JavaScript thread watches a file descriptor. Node-API hands out the loop (libuv's) but
// has no call for this: uv_poll_t is used through the functions that the node binary exports.
#pragma once

#include <node_api.h>

#include <functional>
#include <memory>

namespace lustre {

// All of it on the loop's own thread. It never keeps the loop alive.
class OwnerPoll : public std::enable_shared_from_this<OwnerPoll> {
 public:
  // Null where the runtime has no libuv. `ready` is called outside of JavaScript, without a handle scope.
  static std::shared_ptr<OwnerPoll> watch(napi_env env, int fd, std::function<void()> ready);
  ~OwnerPoll();
  OwnerPoll(const OwnerPoll&) = delete;
  OwnerPoll& operator=(const OwnerPoll&) = delete;

  void start();
  void stop();
  // For good, before the descriptor is closed; again does nothing.
  void close();

 private:
  explicit OwnerPoll(std::function<void()> ready) : ready_(std::move(ready)) {}

  std::function<void()> ready_;
  void* handle_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  // From `watch` until libuv has let go of the handle.
  std::shared_ptr<OwnerPoll> self_;
  bool started_ = false;
  bool closing_ = false;
};

}  // namespace lustre
