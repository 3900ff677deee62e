// How each thread of the module begins.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace lustre::lnet {

// Signals are the program's business: they go to its own threads.
inline void BeginOwnThread(const char* name) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  pthread_setname_np(pthread_self(), name);
}

}  // namespace lustre::lnet
