// The addon's door. No globals: every environment (main thread, workers) has its own classes and endpoints.
#include <napi.h>

#include "endpoint_binding.h"
#ifdef LUSTRE_WITH_STORAGE
#include "storage_binding.h"
#endif

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  lustre::InitEndpoint(env, exports);
#ifdef LUSTRE_WITH_STORAGE
  lustre::InitStorage(env, exports);
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(lustre, Init)
