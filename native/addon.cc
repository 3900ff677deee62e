// The addon's door. Every environment (main thread, workers) has its own classes and endpoints; all that they
// share is the memory that one lends another, and the doorbells by which they wake each other.
#include <napi.h>

#include "chunk_binding.h"
#include "doorbell_binding.h"
#include "endpoint_binding.h"
#include "large_pages_binding.h"
#include "lending_binding.h"
#ifdef LUSTRE_WITH_STORAGE
#include "storage_binding.h"
#endif

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  lustre::InitEndpoint(env, exports);
  lustre::InitLending(env, exports);
  lustre::InitDoorbell(env, exports);
  lustre::InitChunks(env, exports);
  lustre::InitLargePages(env, exports);
#ifdef LUSTRE_WITH_STORAGE
  lustre::InitStorage(env, exports);
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(lustre, Init)
