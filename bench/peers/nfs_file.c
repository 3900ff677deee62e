// The file peer: reads a file of MIB MiB over NFS with libnfs, calls of 1 MiB, WINDOW of them in flight, into memory. (libnfs 4.0
// cannot encode an NFSv4 WRITE of more than a few KiB, and NFSv3 needs a portmapper.)
//
//   nfs_file URL WINDOW MIB   URL is nfs://127.0.0.1/bench?nfsport=N&version=4, the file /big in it
//
// Says `ready`, reads when it is given a line and prints {"seconds":wall,"cpu":of its own}; ends after the next line.
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

static void phase(struct nfsfh *file, int window, long mib) {
  while (getchar() != '\n') continue;
  double at = now(), used = cpu();
  for (long next = 0; next < mib || busy > 0;) {
    for (; busy < window && next < mib; next++) {
      if (nfs_pread_async(nfs, file, (unsigned long long)next * CALL, CALL, done, NULL) != 0) fail("read");
      busy++;
    }
    service();
  }
  printf("{\"seconds\":%.6f,\"cpu\":%.6f}\n", now() - at, cpu() - used);
  fflush(stdout);
}

int main(int argc, char **argv) {
  int window = argc == 4 ? atoi(argv[2]) : 0;
  long mib = argc == 4 ? atol(argv[3]) : 0;
  if (window < 1 || window > WINDOW_MAX) return fprintf(stderr, "usage: nfs_file URL WINDOW MIB\n"), 2;
  mount_retrying(argv[1]);
  struct nfsfh *file;
  if (nfs_open(nfs, "/big", O_RDONLY, &file) != 0) fail("open");
  puts("ready");
  fflush(stdout);
  phase(file, window, mib);
  while (getchar() != '\n') continue;
  nfs_close(nfs, file);
  return 0;
}
