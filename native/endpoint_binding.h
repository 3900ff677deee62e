// The Node-API face of Endpoint; lib/lnet/native-addon.ts is its typed twin.
#pragma once

#include <napi.h>

namespace lustre {

// Adds the class `NativeEndpoint` to the addon's exports.
Napi::Object InitEndpoint(Napi::Env env, Napi::Object exports);

}  // namespace lustre
