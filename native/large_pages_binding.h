// Large pages for JavaScript's buffers (lib/lnet/large-buffer.ts).
#pragma once

#include <napi.h>

namespace lustre {

Napi::Object InitLargePages(Napi::Env env, Napi::Object exports);

}  // namespace lustre
