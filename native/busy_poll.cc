#include "busy_poll.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "busy_poll_policy.h"
#include "libuv.h"

namespace lustre {
namespace {

std::int64_t nowUs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// How long the calling thread has waited for a core in its life, microseconds; -1 where the kernel does not
// tell.
class RunDelay {
 public:
  RunDelay() : fd_(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}
  ~RunDelay() {
    if (fd_ >= 0) ::close(fd_);
  }
  RunDelay(const RunDelay&) = delete;
  RunDelay& operator=(const RunDelay&) = delete;

  std::int64_t us() const {
    std::array<char, 96> text;
    const ssize_t length = pread(fd_, text.data(), text.size(), 0);
    if (length <= 0) return -1;
    // Nanoseconds on a core, nanoseconds waiting for one, turns.
    const std::string_view all(text.data(), static_cast<std::size_t>(length));
    const std::size_t second = all.find(' ');
    if (second == std::string_view::npos) return -1;
    std::int64_t ns = -1;
    const auto [end, error] = std::from_chars(all.data() + second + 1, all.data() + all.size(), ns);
    return error == std::errc() ? ns / 1000 : -1;
  }

 private:
  int fd_;
};

}  // namespace

struct BusyPoll::Looker {
  explicit Looker(uv_loop_s* its) : loop(its) {}

  // Whatever the loop waits for is in its epoll instance, but for timers that are due.
  void look() {
    if (uv_backend_timeout(loop) == 0) return;
    const std::int64_t begun = nowUs();
    if (!policy.mayLook(begun, lookUs, [this] { return runDelay.us(); })) return;
    pollfd asked{uv_backend_fd(loop), POLLIN, 0};
    bool found = false;
    do {
      found = poll(&asked, 1, 0) != 0;
    } while (!found && nowUs() - begun < lookUs);
    policy.looked(found);
  }

  uv_loop_s* loop;
  std::int64_t lookUs = 0;
  RunDelay runDelay;
  BusyPollPolicy policy;
  void* handle = nullptr;
};

std::shared_ptr<BusyPoll> BusyPoll::of(napi_env env, std::int64_t lookUs) {
  uv_loop_s* loop = nullptr;
  if (lookUs <= 0 || !HasLibuv() || napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
  thread_local std::weak_ptr<BusyPoll> ofThread;
  std::shared_ptr<BusyPoll> shared = ofThread.lock();
  if (shared == nullptr || shared->looker_ == nullptr) {
    auto looker = std::make_unique<Looker>(loop);
    looker->handle = std::calloc(1, uv_handle_size(kUvPrepare));
    if (looker->handle == nullptr || uv_prepare_init(loop, looker->handle) != 0) {
      std::free(looker->handle);
      return nullptr;
    }
    uv_handle_set_data(looker->handle, looker.get());
    uv_unref(looker->handle);
    uv_prepare_start(looker->handle,
                     [](void* handle) { static_cast<Looker*>(uv_handle_get_data(handle))->look(); });
    shared.reset(new BusyPoll(env));
    shared->looker_ = looker.release();
    napi_add_env_cleanup_hook(env, atExit, shared.get());
    ofThread = shared;
  }
  shared->looker_->lookUs = std::max(shared->looker_->lookUs, lookUs);
  return shared;
}

BusyPoll::~BusyPoll() {
  if (looker_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, atExit, this);
  close();
}

// A loop that ends with an open handle aborts the process.
void BusyPoll::atExit(void* self) {
  static_cast<BusyPoll*>(self)->close();
}

void BusyPoll::close() {
  uv_close(std::exchange(looker_, nullptr)->handle, [](void* handle) {
    delete static_cast<Looker*>(uv_handle_get_data(handle));
    std::free(handle);
  });
}

}  // namespace lustre
