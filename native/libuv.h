// The functions of libuv 1.x, whose ABI is stable, that Node-API has no call for: the node binary exports
// them. Weak, so that a runtime without them loads the module all the same. Memory of a handle is
// `uv_handle_size`.
#pragma once

#include <cstddef>

extern "C" {
struct uv_loop_s;
#define LUSTRE_UV __attribute__((weak))
std::size_t uv_handle_size(int type) LUSTRE_UV;
int uv_backend_fd(const uv_loop_s* loop) LUSTRE_UV;
int uv_backend_timeout(const uv_loop_s* loop) LUSTRE_UV;
int uv_poll_init(uv_loop_s* loop, void* handle, int fd) LUSTRE_UV;
int uv_poll_start(void* handle, int events, void (*callback)(void*, int, int)) LUSTRE_UV;
int uv_poll_stop(void* handle) LUSTRE_UV;
int uv_prepare_init(uv_loop_s* loop, void* handle) LUSTRE_UV;
int uv_prepare_start(void* handle, void (*callback)(void*)) LUSTRE_UV;
int uv_async_init(uv_loop_s* loop, void* handle, void (*callback)(void*)) LUSTRE_UV;
int uv_async_send(void* handle) LUSTRE_UV;
void uv_unref(void* handle) LUSTRE_UV;
void uv_close(void* handle, void (*callback)(void*)) LUSTRE_UV;
void* uv_handle_get_data(const void* handle) LUSTRE_UV;
void uv_handle_set_data(void* handle, void* data) LUSTRE_UV;
#undef LUSTRE_UV
}

namespace lustre {

// Of uv_handle_type.
inline constexpr int kUvAsync = 1;
inline constexpr int kUvPoll = 8;
inline constexpr int kUvPrepare = 9;

inline bool HasLibuv() {
  return uv_handle_size != nullptr && uv_backend_fd != nullptr && uv_backend_timeout != nullptr &&
         uv_prepare_init != nullptr && uv_prepare_start != nullptr && uv_poll_init != nullptr &&
         uv_poll_start != nullptr && uv_poll_stop != nullptr && uv_async_init != nullptr &&
         uv_async_send != nullptr && uv_unref != nullptr && uv_close != nullptr &&
         uv_handle_get_data != nullptr && uv_handle_set_data != nullptr;
}

}  // namespace lustre
