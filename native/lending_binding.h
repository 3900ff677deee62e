// Memory of one JavaScript thread that the endpoint of another thread works on (lib/lnet/lent-memory.ts).
#pragma once

#include <napi.h>

namespace lustre {

Napi::Object InitLending(Napi::Env env, Napi::Object exports);

}  // namespace lustre
