#include "owner_poll.h"

#include <cstdlib>
#include <utility>

#include "libuv.h"

namespace lustre {
namespace {

constexpr int kUvReadable = 1;

}  // namespace

std::shared_ptr<OwnerPoll> OwnerPoll::watch(napi_env env, int fd, std::function<void()> ready) {
  uv_loop_s* loop = nullptr;
  if (!HasLibuv() || napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  std::shared_ptr<OwnerPoll> poll(new OwnerPoll(std::move(ready)));
  void* handle = std::calloc(1, uv_handle_size(kUvPoll));
  if (handle == nullptr || uv_poll_init(loop, handle, fd) != 0) {
    std::free(handle);
    return nullptr;
  }
  poll->handle_ = handle;
  poll->self_ = poll;
  uv_handle_set_data(handle, poll.get());
  uv_unref(handle);
  // A loop that ends with an open handle aborts the process: the environment waits for this hook's end.
  napi_add_async_cleanup_hook(
      env, [](napi_async_cleanup_hook_handle, void* self) { static_cast<OwnerPoll*>(self)->close(); },
      poll.get(), &poll->hook_);
  return poll;
}

OwnerPoll::~OwnerPoll() {
  std::free(handle_);
}

void OwnerPoll::start() {
  if (started_ || closing_) return;
  started_ = uv_poll_start(handle_, kUvReadable, [](void* handle, int status, int) {
               // `ready` may close it.
               const auto self = static_cast<OwnerPoll*>(uv_handle_get_data(handle))->shared_from_this();
               status == 0 ? self->ready_() : self->stop();
             }) == 0;
}

void OwnerPoll::stop() {
  if (!std::exchange(started_, false) || closing_) return;
  uv_poll_stop(handle_);
}

void OwnerPoll::close() {
  if (std::exchange(closing_, true)) return;
  uv_close(handle_, [](void* handle) {
    auto* self = static_cast<OwnerPoll*>(uv_handle_get_data(handle));
    if (self->hook_ != nullptr) napi_remove_async_cleanup_hook(self->hook_);
    self->self_.reset();
  });
}

}  // namespace lustre
