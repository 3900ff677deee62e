#include "chunk_binding.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "external_memory.h"

namespace lustre {
namespace {

// To be told that one was collected costs as much as two dozen messages' copies.
constexpr std::size_t kChunk = 256U << 10U;
// Chunks that JavaScript has, of all threads: what is wanted beyond them is ordinary memory, which the
// collector knows of.
constexpr std::size_t kTakenMax = 128;
// Chunks that wait to be used again.
constexpr std::size_t kSpareMax = 32;

using Chunk = std::unique_ptr<std::byte[]>;

class Chunks {
 public:
  // Nothing when there are too many.
  Chunk take() {
    const std::lock_guard lock(mutex_);
    if (taken_ == kTakenMax) return nullptr;
    ++taken_;
    if (spare_.empty()) return std::make_unique_for_overwrite<std::byte[]>(kChunk);
    Chunk chunk = std::move(spare_.back());
    spare_.pop_back();
    return chunk;
  }

  void give(Chunk chunk) {
    const std::lock_guard lock(mutex_);
    --taken_;
    if (spare_.size() < kSpareMax) spare_.push_back(std::move(chunk));
  }

 private:
  std::mutex mutex_;
  std::vector<Chunk> spare_;
  std::size_t taken_ = 0;
};

Chunks& chunks() {
  // Never destroyed: environments of other threads may end after the statics of this one.
  static auto* all = new Chunks;
  return *all;
}

void collected(napi_env env, void* data, void* /*hint*/) {
  chunks().give(Chunk(static_cast<std::byte*>(data)));
  AccountExternalMemory(env, kChunk);
}

// takeChunk() -> ArrayBuffer with whatever is in it, or undefined
Napi::Value Take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Chunk chunk = chunks().take();
  if (!chunk) return env.Undefined();
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, chunk.get(), kChunk, collected, nullptr, &buffer) != napi_ok) {
    chunks().give(std::move(chunk));
    return env.Undefined();
  }
  // Its finalizer has it.
  static_cast<void>(chunk.release());
  // A collector that counted them among the old would look for garbage there every few hundred messages.
  AccountExternalMemory(env, -static_cast<std::int64_t>(kChunk));
  return Napi::Value(env, buffer);
}

}  // namespace

Napi::Object InitChunks(Napi::Env env, Napi::Object exports) {
  exports.Set("takeChunk", Napi::Function::New<Take>(env, "takeChunk"));
  return exports;
}

}  // namespace lustre
