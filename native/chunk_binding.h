// Memory for what JavaScript keeps of messages, used again when the collector has found it
// (lib/lnet/recycled-chunks.ts).
#pragma once

#include <napi.h>

namespace lustre {

Napi::Object InitChunks(Napi::Env env, Napi::Object exports);

}  // namespace lustre
