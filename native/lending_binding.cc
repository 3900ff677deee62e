#include "lending_binding.h"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "external_memory.h"

namespace lustre {
namespace {

struct Piece {
  void* bytes = nullptr;
  std::size_t length = 0;
};

// What is lent at this moment, by number: the one thing that the threads of a process share. Numbers are
// never given out twice, so that one that comes late finds nothing rather than somebody else's memory.
class LentPieces {
 public:
  std::uint64_t add(Piece piece) {
    const std::lock_guard lock(mutex_);
    pieces_.emplace(++last_, piece);
    return last_;
  }

  std::optional<Piece> find(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    const auto found = pieces_.find(number);
    return found == pieces_.end() ? std::nullopt : std::optional(found->second);
  }

  void remove(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    pieces_.erase(number);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Piece> pieces_;
  std::uint64_t last_ = 0;
};

LentPieces& lentPieces() {
  // Never destroyed: environments of other threads may end after the statics of this one.
  static auto* pieces = new LentPieces;
  return *pieces;
}

std::uint64_t numberOf(const Napi::Value& value) {
  return static_cast<std::uint64_t>(value.As<Napi::Number>().Int64Value());
}

// The lender's side. A reference keeps the buffer alive until it was taken back.
class MemoryLender final : public Napi::ObjectWrap<MemoryLender> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "MemoryLender",
        {InstanceMethod<&MemoryLender::lend>("lend"), InstanceMethod<&MemoryLender::takeBack>("takeBack")});
  }

  explicit MemoryLender(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

  ~MemoryLender() override {
    for (const auto& lent : references_) lentPieces().remove(lent.first);
  }

 private:
  // lend(Uint8Array) -> number
  Napi::Value lend(const Napi::CallbackInfo& info) {
    auto view = info[0].As<Napi::Uint8Array>();
    const std::uint64_t number = lentPieces().add({view.Data(), view.ByteLength()});
    references_.emplace(number, Napi::Reference<Napi::ArrayBuffer>::New(view.ArrayBuffer(), 1));
    return Napi::Number::New(info.Env(), static_cast<double>(number));
  }

  // takeBack(number)
  void takeBack(const Napi::CallbackInfo& info) {
    const std::uint64_t number = numberOf(info[0]);
    lentPieces().remove(number);
    references_.erase(number);
  }

  std::unordered_map<std::uint64_t, Napi::Reference<Napi::ArrayBuffer>> references_;
};

// borrow(number) -> ArrayBuffer over the lender's own bytes; undefined when they are not lent. The borrower
// lets go of it (letGo) before the lender takes it back.
Napi::Value Borrow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::optional<Piece> piece = lentPieces().find(numberOf(info[0]));
  if (!piece) return env.Undefined();
  napi_value buffer = nullptr;
  const auto nothing = [](napi_env, void*, void*) {};
  if (napi_create_external_arraybuffer(env, piece->bytes, piece->length, nothing, nullptr, &buffer) !=
      napi_ok) {
    Napi::Error::New(env, "cannot map memory of another thread").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  // The bytes are on the lender's account. On the borrower's as well, they would make its collector run for
  // every few of them, and find nothing to free.
  AccountExternalMemory(env, -static_cast<std::int64_t>(piece->length));
  return Napi::Value(env, buffer);
}

// letGo(ArrayBuffer): from here on it has no bytes, whoever still holds a view of it.
void LetGo(const Napi::CallbackInfo& info) {
  AccountExternalMemory(info.Env(), static_cast<std::int64_t>(info[0].As<Napi::ArrayBuffer>().ByteLength()));
  napi_detach_arraybuffer(info.Env(), info[0]);
}

}  // namespace

Napi::Object InitLending(Napi::Env env, Napi::Object exports) {
  Napi::Object lending = Napi::Object::New(env);
  lending.Set("MemoryLender", MemoryLender::define(env));
  lending.Set("borrow", Napi::Function::New<Borrow>(env, "borrow"));
  lending.Set("letGo", Napi::Function::New<LetGo>(env, "letGo"));
  exports.Set("lending", lending);
  return exports;
}

}  // namespace lustre
