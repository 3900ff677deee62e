#include "endpoint_binding.h"

#include <node_api.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "busy_poll.h"
#include "checksum.h"
#include "endpoint.h"
#include "mapping.h"
#include "owner_poll.h"
#include "scratch.h"
#include "t10.h"

namespace lustre {
namespace {

using lnet::EndpointConfig;
using lnet::EventRing;
using lnet::MemoryId;
using lnet::Nid;
using lnet::Operation;
using lnet::Scratch;

constexpr std::size_t kMappingsMin = 64;

// An ArrayBuffer over the mapping, which lives until the last of its owners lets go.
Napi::ArrayBuffer expose(Napi::Env env, const std::shared_ptr<Mapping>& mapping, std::size_t bytes) {
  return Napi::ArrayBuffer::New(
      env, mapping->at(), bytes, [](Napi::Env, void*, std::shared_ptr<Mapping>* owner) { delete owner; },
      new std::shared_ptr<Mapping>(mapping));
}

// What keeps memory where it is while the network may touch it.
struct Pin {
  Napi::Reference<Napi::ArrayBuffer> buffer;
  // Of memory that we mapped: an environment that ends lets go of buffers before our thread is gone.
  std::shared_ptr<Mapping> mapping;
};

class NativeEndpoint final : public Napi::ObjectWrap<NativeEndpoint> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit NativeEndpoint(const Napi::CallbackInfo& info);
  void Finalize(Napi::BasicEnv) override;
  ~NativeEndpoint() override = default;

 private:
  static void wakeInJs(napi_env env, napi_value callback, void* self, void* data);
  void readSockets();
  static void atExit(void* self);
  bool configure(const Napi::Object& options, EndpointConfig& config);
  void stop();

  Napi::Value open(const Napi::CallbackInfo& info);
  Napi::Value attach(const Napi::CallbackInfo& info);
  Napi::Value put(const Napi::CallbackInfo& info);
  Napi::Value get(const Napi::CallbackInfo& info);
  void unlink(const Napi::CallbackInfo& info);
  void sendLater(const Napi::CallbackInfo& info);
  Napi::Value setLazyPortal(const Napi::CallbackInfo& info);
  Napi::Value pin(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  Napi::Value allocate(const Napi::CallbackInfo& info);
  Napi::Value checksum(const Napi::CallbackInfo& info);
  Napi::Value attend(const Napi::CallbackInfo& info);
  Napi::Value takeNotices(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  void hold(const Napi::CallbackInfo& info);
  void letGo(const Napi::CallbackInfo& info);
  void beginClose(const Napi::CallbackInfo& info);
  void finish(const Napi::CallbackInfo& info);

  std::shared_ptr<Mapping> ringMemory_;
  std::shared_ptr<Mapping> scratchMemory_;
  Scratch* scratch_ = nullptr;
  std::unique_ptr<lnet::Endpoint> endpoint_;
  napi_threadsafe_function wake_ = nullptr;
  Napi::FunctionReference drain_;
  std::shared_ptr<OwnerPoll> poll_;
  std::int64_t busyPollUs_ = 0;
  std::shared_ptr<BusyPoll> busyPoll_;
  bool hooked_ = false;
  std::vector<Pin> pins_;  // by MemoryId
  std::unordered_map<void*, std::weak_ptr<Mapping>> mappings_;
  std::size_t mappingsMax_ = kMappingsMin;  // so many, and those that are gone are looked for
};

Napi::Function NativeEndpoint::define(Napi::Env env) {
  return DefineClass(env, "NativeEndpoint",
                     {
                         InstanceMethod<&NativeEndpoint::open>("open"),
                         InstanceMethod<&NativeEndpoint::attach>("attach"),
                         InstanceMethod<&NativeEndpoint::put>("put"),
                         InstanceMethod<&NativeEndpoint::get>("get"),
                         InstanceMethod<&NativeEndpoint::unlink>("unlink"),
                         InstanceMethod<&NativeEndpoint::sendLater>("sendLater"),
                         InstanceMethod<&NativeEndpoint::setLazyPortal>("setLazyPortal"),
                         InstanceMethod<&NativeEndpoint::pin>("pin"),
                         InstanceMethod<&NativeEndpoint::release>("release"),
                         InstanceMethod<&NativeEndpoint::allocate>("allocate"),
                         InstanceMethod<&NativeEndpoint::checksum>("checksum"),
                         InstanceMethod<&NativeEndpoint::attend>("attend"),
                         InstanceMethod<&NativeEndpoint::takeNotices>("takeNotices"),
                         InstanceMethod<&NativeEndpoint::counters>("counters"),
                         InstanceMethod<&NativeEndpoint::hold>("hold"),
                         InstanceMethod<&NativeEndpoint::letGo>("letGo"),
                         InstanceMethod<&NativeEndpoint::beginClose>("beginClose"),
                         InstanceMethod<&NativeEndpoint::finish>("finish"),
                     });
}

std::uint64_t randomWord() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

std::uint64_t realTimeNs() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(time.tv_nsec);
}

Nid toNid(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

void throwWithCode(Napi::Env env, int error, const std::string& text) {
  Napi::Error failure = Napi::Error::New(env, text);
  failure.Set("errno", Napi::Number::New(env, error));
  failure.ThrowAsJavaScriptException();
}

NativeEndpoint::NativeEndpoint(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  const auto options = info[0].As<Napi::Object>();
  const auto callback = info[1].As<Napi::Function>();
  EndpointConfig config;
  if (!configure(options, config)) return;
  const std::uint32_t entries = options.Get("ringEntries").As<Napi::Number>().Uint32Value();
  if (entries < 64 || (entries & (entries - 1)) != 0) {
    throwWithCode(env, -EINVAL, "ringEntries must be a power of two of at least 64");
    return;
  }
  ringMemory_ = std::make_shared<Mapping>(EventRing::bytes(entries));
  scratchMemory_ = std::make_shared<Mapping>(sizeof(Scratch));
  if (ringMemory_->at() == nullptr || scratchMemory_->at() == nullptr) {
    throwWithCode(env, -ENOMEM, "cannot map memory for the rings");
    return;
  }
  scratch_ = static_cast<Scratch*>(scratchMemory_->at());
  drain_ = Napi::Persistent(callback);
  const napi_status made =
      napi_create_threadsafe_function(env, callback, nullptr, Napi::String::New(env, "lustre.wake"), 0, 1,
                                      nullptr, nullptr, this, wakeInJs, &wake_);
  if (made != napi_ok) {
    throwWithCode(env, -ENOMEM, "cannot make the wake function");
    return;
  }
  // An endpoint alone does not keep the process alive.
  napi_unref_threadsafe_function(env, wake_);
  const napi_threadsafe_function wake = wake_;
  endpoint_ = std::make_unique<lnet::Endpoint>(std::move(config), ringMemory_->at(), entries, [wake] {
    napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking);
  });
  // Runs before the threadsafe function's own hook, because it is registered after it: the thread is gone
  // before the function that it calls.
  napi_add_env_cleanup_hook(env, atExit, this);
  hooked_ = true;
  auto self = info.This().As<Napi::Object>();
  self.Set("ring", expose(env, ringMemory_, EventRing::bytes(entries)));
  self.Set("scratch", expose(env, scratchMemory_, sizeof(Scratch)));
}

bool NativeEndpoint::configure(const Napi::Object& options, EndpointConfig& config) {
  config.nid = toNid(options.Get("nid"));
  config.port = static_cast<std::uint16_t>(options.Get("port").As<Napi::Number>().Uint32Value());
  config.accept = options.Get("accept").As<Napi::Boolean>();
  config.listenHost = options.Get("listenHost").As<Napi::String>();
  config.listenPort = options.Get("listenPort").As<Napi::Number>();
  config.connsPerPeer = options.Get("connsPerPeer").As<Napi::Number>();
  busyPollUs_ = options.Get("busyPollUs").As<Napi::Number>();
  config.socketTimeoutMs = options.Get("socketTimeoutMs").As<Napi::Number>();
  config.responseTimeoutMs = options.Get("responseTimeoutMs").As<Napi::Number>();
  config.acceptUnprivileged = options.Get("acceptUnprivileged").As<Napi::Boolean>();
  config.interfaceCookie = randomWord();
  config.incarnation = realTimeNs();
  const auto map = options.Get("nidMap").As<Napi::Array>();
  for (std::uint32_t i = 0; i < map.Length(); ++i) {
    const auto row = map.Get(i).As<Napi::Object>();
    const std::string host = row.Get("host").As<Napi::String>();
    const auto port = static_cast<std::uint16_t>(row.Get("port").As<Napi::Number>().Uint32Value());
    lnet::SocketAddress address;
    if (lnet::resolve(host, port, address) != 0) {
      throwWithCode(options.Env(), -EINVAL, "cannot resolve '" + host + "' of the NID map");
      return false;
    }
    config.nidMap.emplace_back(toNid(row.Get("nid")), address);
  }
  return true;
}

void NativeEndpoint::wakeInJs(napi_env env, napi_value callback, void* self, void*) {
  if (env == nullptr || callback == nullptr) return;
  napi_value global;
  napi_get_global(env, &global);
  napi_call_function(env, global, callback, 0, nullptr, nullptr);
  auto* endpoint = static_cast<NativeEndpoint*>(self);
  if (endpoint->poll_ != nullptr && endpoint->endpoint_->ownerMayRead()) endpoint->poll_->start();
}

// The event loop says that sockets have something.
void NativeEndpoint::readSockets() {
  if (!endpoint_->ownerTurn()) poll_->stop();
  if (!endpoint_->hasEvents()) return;
  // The plain calls: in a thread that is being terminated they fail, and an error of node-addon-api about
  // that would end the process.
  const napi_env env = Env();
  const Napi::HandleScope scope(env);
  napi_value global = nullptr;
  napi_value drain = nullptr;
  napi_get_global(env, &global);
  if (napi_get_reference_value(env, drain_, &drain) != napi_ok) return;
  if (napi_make_callback(env, nullptr, global, drain, 0, nullptr, nullptr) != napi_pending_exception) return;
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

// The environment ends with the endpoint open.
void NativeEndpoint::atExit(void* self) {
  auto* endpoint = static_cast<NativeEndpoint*>(self);
  endpoint->hooked_ = false;
  endpoint->wake_ = nullptr;  // its own hook frees it
  if (endpoint->poll_ != nullptr) std::exchange(endpoint->poll_, nullptr)->close();
  endpoint->endpoint_.reset();
}

void NativeEndpoint::stop() {
  busyPoll_.reset();
  if (poll_ != nullptr) std::exchange(poll_, nullptr)->close();
  endpoint_.reset();  // joins the thread
  if (hooked_) napi_remove_env_cleanup_hook(Env(), atExit, this);
  hooked_ = false;
  if (wake_ != nullptr) napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  wake_ = nullptr;
  drain_.Reset();
}

// Collected without having been closed.
void NativeEndpoint::Finalize(Napi::BasicEnv) {
  stop();
}

Napi::Value NativeEndpoint::open(const Napi::CallbackInfo& info) {
  std::string text;
  const int error = endpoint_->start(text);
  if (error != 0) {
    stop();
    throwWithCode(info.Env(), error, text);
    return info.Env().Undefined();
  }
  poll_ = OwnerPoll::watch(info.Env(), endpoint_->readiness(), [this] { readSockets(); });
  busyPoll_ = BusyPoll::of(info.Env(), busyPollUs_);
  return Napi::Number::New(info.Env(), endpoint_->listenPort());
}

Napi::Value NativeEndpoint::attach(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return Napi::Number::New(info.Env(), -ESHUTDOWN);
  const auto start = [this](const Operation& op) { return endpoint_->attach(op, scratch_->object); };
  return Napi::Number::New(info.Env(), scratch_->begin(start));
}

Napi::Value NativeEndpoint::put(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return Napi::Number::New(info.Env(), -ESHUTDOWN);
  const auto start = [this](const Operation& op) { return endpoint_->put(op, scratch_->object); };
  return Napi::Number::New(info.Env(), scratch_->begin(start));
}

Napi::Value NativeEndpoint::get(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return Napi::Number::New(info.Env(), -ESHUTDOWN);
  const auto start = [this](const Operation& op) { return endpoint_->get(op, scratch_->object); };
  return Napi::Number::New(info.Env(), scratch_->begin(start));
}

void NativeEndpoint::unlink(const Napi::CallbackInfo&) {
  if (endpoint_ != nullptr) endpoint_->unlink(scratch_->object);
}

void NativeEndpoint::sendLater(const Napi::CallbackInfo&) {
  if (endpoint_ != nullptr) endpoint_->sendLater();
}

Napi::Value NativeEndpoint::setLazyPortal(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return Napi::Number::New(info.Env(), -ESHUTDOWN);
  return Napi::Number::New(info.Env(), endpoint_->setLazyPortal(info[0].As<Napi::Number>().Uint32Value()));
}

Napi::Value NativeEndpoint::pin(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return Napi::Number::New(info.Env(), -1);
  auto bytes = info[0].As<Napi::Uint8Array>();
  const MemoryId id = endpoint_->addMemory(bytes.Data(), bytes.ByteLength());
  if (id >= pins_.size()) pins_.resize(id + 1);
  pins_[id].buffer = Napi::Reference<Napi::ArrayBuffer>::New(bytes.ArrayBuffer(), 1);
  if (const auto found = mappings_.find(bytes.ArrayBuffer().Data()); found != mappings_.end()) {
    pins_[id].mapping = found->second.lock();
  }
  return Napi::Number::New(info.Env(), id);
}

void NativeEndpoint::release(const Napi::CallbackInfo& info) {
  if (endpoint_ == nullptr) return;
  endpoint_->releaseMemory(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value NativeEndpoint::allocate(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<std::size_t>(info[0].As<Napi::Number>().Int64Value());
  auto mapping = std::make_shared<Mapping>(bytes);
  if (mapping->at() == nullptr) {
    throwWithCode(info.Env(), -ENOMEM, "cannot map " + std::to_string(bytes) + " bytes");
    return info.Env().Undefined();
  }
  if (mappings_.size() >= mappingsMax_) {
    std::erase_if(mappings_, [](const auto& entry) { return entry.second.expired(); });
    mappingsMax_ = 2 * mappings_.size() + kMappingsMin;
  }
  mappings_.insert_or_assign(mapping->at(), mapping);
  return expose(info.Env(), mapping, bytes);
}

// The segments come in the scratch area; the result is -1 for segments outside live memory.
Napi::Value NativeEndpoint::checksum(const Napi::CallbackInfo& info) {
  const std::uint32_t type = info[0].As<Napi::Number>();
  const std::uint32_t pageOffset = info[1].As<Napi::Number>();
  const std::size_t count = scratch_->segmentCount;
  std::vector<iovec> pieces;
  const bool known = endpoint_ != nullptr && count <= lnet::kMaxFragments && IsBulkChecksumType(type);
  if (!known || endpoint_->locate(scratch_->segments, count, pieces) != 0) {
    return Napi::Number::New(info.Env(), -1);
  }
  return Napi::Number::New(info.Env(), BulkChecksumOf(type, pieces, pageOffset));
}

// The numbers of memory that is free again.
Napi::Value NativeEndpoint::attend(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array numbers = Napi::Array::New(env);
  if (endpoint_ == nullptr) return numbers;
  std::uint32_t index = 0;
  for (const MemoryId id : endpoint_->attend()) {
    pins_[id] = {};
    numbers.Set(index++, Napi::Number::New(env, id));
  }
  return numbers;
}

Napi::Value NativeEndpoint::takeNotices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  if (endpoint_ == nullptr) return list;
  std::uint32_t index = 0;
  for (const lnet::Notice& notice : endpoint_->takeNotices()) {
    Napi::Object row = Napi::Object::New(env);
    row.Set("kind", Napi::Number::New(env, static_cast<int>(notice.kind)));
    row.Set("level", Napi::Number::New(env, static_cast<int>(notice.level)));
    row.Set("nid", Napi::BigInt::New(env, notice.nid));
    row.Set("errno", Napi::Number::New(env, notice.error));
    row.Set("text", Napi::String::New(env, notice.text));
    list.Set(index++, row);
  }
  return list;
}

Napi::Value NativeEndpoint::counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object out = Napi::Object::New(env);
  if (endpoint_ == nullptr) return out;
  const lnet::Counters& c = endpoint_->counters();
  const auto set = [&](const char* name, const std::atomic<std::uint64_t>& value) {
    out.Set(name, Napi::Number::New(env, static_cast<double>(value.load(std::memory_order_relaxed))));
  };
  set("sendMessages", c.sendMessages);
  set("sendBytes", c.sendBytes);
  set("receiveMessages", c.receiveMessages);
  set("receiveBytes", c.receiveBytes);
  set("dropped", c.dropped);
  set("connectionsOpen", c.connectionsOpen);
  set("systemCalls", c.systemCalls);
  set("wakeups", c.wakeups);
  return out;
}

// Between hold and letGo the endpoint keeps the event loop alive.
void NativeEndpoint::hold(const Napi::CallbackInfo& info) {
  if (wake_ != nullptr) napi_ref_threadsafe_function(info.Env(), wake_);
}

void NativeEndpoint::letGo(const Napi::CallbackInfo& info) {
  if (wake_ != nullptr) napi_unref_threadsafe_function(info.Env(), wake_);
}

void NativeEndpoint::beginClose(const Napi::CallbackInfo&) {
  if (endpoint_ != nullptr) endpoint_->beginClose(false);
}

// After the Closed event.
void NativeEndpoint::finish(const Napi::CallbackInfo&) {
  stop();
  pins_.clear();
}

}  // namespace

Napi::Object InitEndpoint(Napi::Env env, Napi::Object exports) {
  exports.Set("NativeEndpoint", NativeEndpoint::define(env));
  return exports;
}

}  // namespace lustre
