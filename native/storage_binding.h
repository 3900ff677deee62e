// The Node-API face of checksums and object file I/O; lib/lnet/native-storage.ts is its typed twin.
#pragma once

#include <napi.h>

namespace lustre {

// Adds `storage` = {checksum, checksumAsync, readv, writev, allocate, seek, sync} to the addon's exports.
Napi::Object InitStorage(Napi::Env env, Napi::Object exports);

}  // namespace lustre
