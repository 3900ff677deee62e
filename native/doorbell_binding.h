// How one JavaScript thread wakes another one's event loop (lib/lnet/doorbell.ts).
#pragma once

#include <napi.h>

namespace lustre {

Napi::Object InitDoorbell(Napi::Env env, Napi::Object exports);

}  // namespace lustre
