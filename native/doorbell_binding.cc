#include "doorbell_binding.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include "doorbells.h"
#include "libuv.h"

namespace lustre {
namespace {

Doorbells& bells() {
  // Never destroyed: environments of other threads may end after the statics of this one.
  static auto* all = new Doorbells(uv_async_send);
  return *all;
}

// A handle of the owner's event loop. It never keeps the loop alive, and ends with the environment at the
// latest: a loop that ends with an open handle aborts the process.
class Bell {
 public:
  static std::shared_ptr<Bell> hang(napi_env env, napi_value callback) {
    uv_loop_s* loop = nullptr;
    if (!HasLibuv() || napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
    void* handle = std::calloc(1, uv_handle_size(kUvAsync));
    if (handle == nullptr || uv_async_init(loop, handle, rung) != 0) {
      std::free(handle);
      return nullptr;
    }
    std::shared_ptr<Bell> bell(new Bell(env, handle));
    bell->self_ = bell;
    napi_create_reference(env, callback, 1, &bell->callback_);
    uv_handle_set_data(handle, bell.get());
    uv_unref(handle);
    bell->number_ = bells().add(handle);
    napi_add_async_cleanup_hook(
        env, [](napi_async_cleanup_hook_handle, void* self) { static_cast<Bell*>(self)->close(); },
        bell.get(), &bell->hook_);
    return bell;
  }

  ~Bell() { std::free(handle_); }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  int number() const { return number_; }

  // On the owner's thread; again does nothing.
  void close() {
    if (std::exchange(closing_, true)) return;
    bells().remove(number_);
    napi_delete_reference(env_, callback_);
    uv_close(handle_, [](void* handle) {
      auto* self = static_cast<Bell*>(uv_handle_get_data(handle));
      if (self->hook_ != nullptr) napi_remove_async_cleanup_hook(self->hook_);
      self->self_.reset();
    });
  }

 private:
  Bell(napi_env env, void* handle) : env_(env), handle_(handle) {}

  // The plain calls: in a thread that is being terminated they fail, and an error of node-addon-api about
  // that would end the process.
  static void rung(void* handle) {
    const auto* self = static_cast<Bell*>(uv_handle_get_data(handle));
    if (self->closing_) return;
    const napi_env env = self->env_;
    const Napi::HandleScope scope(env);
    napi_value global = nullptr;
    napi_value callback = nullptr;
    napi_get_global(env, &global);
    if (napi_get_reference_value(env, self->callback_, &callback) != napi_ok) return;
    if (napi_make_callback(env, nullptr, global, callback, 0, nullptr, nullptr) != napi_pending_exception) {
      return;
    }
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }

  napi_env env_;
  void* handle_;
  napi_ref callback_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  // From `hang` until libuv has let go of the handle.
  std::shared_ptr<Bell> self_;
  int number_ = 0;
  bool closing_ = false;
};

class Doorbell final : public Napi::ObjectWrap<Doorbell> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Doorbell",
        {InstanceMethod<&Doorbell::number>("number"), InstanceMethod<&Doorbell::close>("close")});
  }

  // new Doorbell(callback)
  explicit Doorbell(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    bell_ = Bell::hang(info.Env(), info[0]);
    if (bell_ == nullptr) {
      Napi::Error::New(info.Env(), "the event loop has no libuv").ThrowAsJavaScriptException();
    }
  }

  ~Doorbell() override {
    if (bell_ != nullptr) bell_->close();
  }

 private:
  Napi::Value number(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), bell_->number());
  }

  void close(const Napi::CallbackInfo&) { bell_->close(); }

  std::shared_ptr<Bell> bell_;
};

// ring(number): on any thread; the bell's callback runs soon, once for several rings. Nothing where there is
// no such bell any more.
void Ring(const Napi::CallbackInfo& info) {
  bells().ring(info[0].As<Napi::Number>().Int32Value());
}

}  // namespace

Napi::Object InitDoorbell(Napi::Env env, Napi::Object exports) {
  exports.Set("Doorbell", Doorbell::define(env));
  exports.Set("ring", Napi::Function::New<Ring>(env, "ring"));
  return exports;
}

}  // namespace lustre
