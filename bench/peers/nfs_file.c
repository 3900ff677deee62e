// The file peer: writes, then reads a file of MIB MiB over NFSv3 with libnfs, calls of 1 MiB, WINDOW of them in flight, from and into memory.
//
//   nfs_file URL WINDOW MIB   URL is nfs://127.0.0.1/dir?version=3&nfsport=N&mountport=M, the file /big in it
//
// Says `ready`, then for each way waits for a line and prints {"seconds":wall,"cpu":of its own}; ends after the next line.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nfsc/libnfs.h>

#include "clock.h"

enum { WINDOW_MAX = 64, CALL = 1 << 20, MOUNT_TRIES = 60 };

static struct nfs_context *nfs;
static int busy;
static char bytes[CALL];

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, nfs == NULL ? "no context" : nfs_get_error(nfs));
  exit(1);
}

// A server that has just started refuses for a while.
static void mount_retrying(const char *text) {
  for (int tries = 0; tries < MOUNT_TRIES; tries++) {
    nfs = nfs_init_context();
    struct nfs_url *url = nfs_parse_url_dir(nfs, text);
    if (url == NULL) fail("url");
    if (nfs_mount(nfs, url->server, url->path) == 0) return;
    usleep(250000);
  }
  fail("mount");
}

static void done(int status, struct nfs_context *context, void *data, void *private) {
  (void)context, (void)data, (void)private;
  if (status != CALL) fail("a call moved less than it should");
  busy--;
}

static void service(void) {
  struct pollfd p = {.fd = nfs_get_fd(nfs), .events = (short)nfs_which_events(nfs)};
  if (poll(&p, 1, 10000) < 0 || nfs_service(nfs, p.revents) < 0) fail("service");
}

typedef int (*start_call)(struct nfsfh *file, unsigned long long offset);

static int start_write(struct nfsfh *file, unsigned long long offset) {
  return nfs_pwrite_async(nfs, file, offset, CALL, bytes, done, NULL);
}

static int start_read(struct nfsfh *file, unsigned long long offset) {
  return nfs_pread_async(nfs, file, offset, CALL, done, NULL);
}

static void phase(struct nfsfh *file, start_call call, int window, long mib) {
  while (getchar() != '\n') continue;
  double at = now(), used = cpu();
  for (long next = 0; next < mib || busy > 0;) {
    for (; busy < window && next < mib; next++) {
      if (call(file, (unsigned long long)next * CALL) != 0) fail("call");
      busy++;
    }
    service();
  }
  if (call == start_write && nfs_fsync(nfs, file) != 0) fail("commit");
  printf("{\"seconds\":%.6f,\"cpu\":%.6f}\n", now() - at, cpu() - used);
  fflush(stdout);
}

int main(int argc, char **argv) {
  int window = argc == 4 ? atoi(argv[2]) : 0;
  long mib = argc == 4 ? atol(argv[3]) : 0;
  if (window < 1 || window > WINDOW_MAX) return fprintf(stderr, "usage: nfs_file URL WINDOW MIB\n"), 2;
  mount_retrying(argv[1]);
  struct nfsfh *file;
  if (nfs_creat(nfs, "/big", 0644, &file) != 0) fail("create");
  puts("ready");
  fflush(stdout);
  phase(file, start_write, window, mib);
  phase(file, start_read, window, mib);
  while (getchar() != '\n') continue;
  nfs_close(nfs, file);
  return 0;
}
