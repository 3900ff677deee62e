#include "large_pages_binding.h"

#include <cstddef>

#include "large_pages.h"

namespace lustre {
namespace {

// askForLargePages(Uint8Array) -> offset of what is on them: all of it but one page's worth
Napi::Value Ask(const Napi::CallbackInfo& info) {
  auto bytes = info[0].As<Napi::Uint8Array>();
  if (bytes.ByteLength() < kLargePage) return Napi::Number::New(info.Env(), 0);
  const std::size_t offset = AskForLargePages(bytes.Data(), bytes.ByteLength() - kLargePage);
  return Napi::Number::New(info.Env(), static_cast<double>(offset));
}

}  // namespace

Napi::Object InitLargePages(Napi::Env env, Napi::Object exports) {
  exports.Set("askForLargePages", Napi::Function::New<Ask>(env, "askForLargePages"));
  return exports;
}

}  // namespace lustre
