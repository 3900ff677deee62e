// What the collector is told of memory that is not its own.
#pragma once

#include <node_api.h>

#include <cstdint>

namespace lustre {

// So many bytes more, or fewer, than what the environment's ArrayBuffers have.
inline void AccountExternalMemory(napi_env env, std::int64_t bytes) {
  std::int64_t total = 0;
  napi_adjust_external_memory(env, bytes, &total);
}

}  // namespace lustre
