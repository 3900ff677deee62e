// The metadata peer: creates, stats, lists and unlinks COUNT files over NFS with libnfs, WINDOW operations in flight: one a
// connection, for libnfs cannot have two NFSv4 opens under way on one.
//
//   nfs_meta URL WINDOW COUNT [keep]   URL is nfs://127.0.0.1/bench?nfsport=N&version=4; prints seconds of each phase as
//                                      JSON. `keep`: the files stay.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <nfsc/libnfs.h>

#include "clock.h"

enum { WINDOW_MAX = 64 };

typedef int (*Issue)(struct nfs_context *nfs, const char *path, nfs_cb done, void *busy);

static struct nfs_context *context[WINDOW_MAX];
static int busy[WINDOW_MAX];

static void fail(struct nfs_context *nfs, const char *what) {
  fprintf(stderr, "%s: %s\n", what, nfs_get_error(nfs));
  exit(1);
}

static void done(int status, struct nfs_context *nfs, void *data, void *flag) {
  (void)data;
  if (status < 0) fail(nfs, "operation");
  *(int *)flag = 0;
}

static void created(int status, struct nfs_context *nfs, void *data, void *flag) {
  if (status < 0) fail(nfs, "create");
  if (nfs_close_async(nfs, data, done, flag) != 0) fail(nfs, "close");
}

static int issue_create(struct nfs_context *nfs, const char *path, nfs_cb next, void *flag) {
  (void)next;
  return nfs_creat_async(nfs, path, 0644, created, flag);
}
static int issue_stat(struct nfs_context *nfs, const char *path, nfs_cb next, void *flag) {
  return nfs_lstat64_async(nfs, path, next, flag);
}
static int issue_unlink(struct nfs_context *nfs, const char *path, nfs_cb next, void *flag) {
  return nfs_unlink_async(nfs, path, next, flag);
}

static int service(int window) {
  struct pollfd p[WINDOW_MAX];
  int waiting = 0;
  for (int w = 0; w < window; w++) {
    p[w] = (struct pollfd){.fd = nfs_get_fd(context[w]), .events = (short)nfs_which_events(context[w])};
    waiting += busy[w];
  }
  if (waiting == 0) return 0;
  if (poll(p, (nfds_t)window, 10000) < 0) fail(context[0], "poll");
  for (int w = 0; w < window; w++) {
    if (p[w].revents != 0 && nfs_service(context[w], p[w].revents) < 0) fail(context[w], "service");
  }
  return 1;
}

static double phase(Issue issue, int window, int count) {
  double start = now();
  char path[64];
  int next = 0;
  do {
    for (int w = 0; w < window && next < count; w++) {
      if (busy[w]) continue;
      snprintf(path, sizeof path, "/files/f%06d", next++);
      busy[w] = 1;
      if (issue(context[w], path, done, &busy[w]) != 0) fail(context[w], "issue");
    }
  } while (service(window) || next < count);
  return now() - start;
}

int main(int argc, char **argv) {
  int window = argc >= 4 ? atoi(argv[2]) : 0, count = argc >= 4 ? atoi(argv[3]) : 0, keep = argc == 5;
  if (window < 1 || window > WINDOW_MAX) return fprintf(stderr, "usage: nfs_meta URL WINDOW COUNT [keep]\n"), 2;
  for (int w = 0; w < window; w++) {
    char name[64];
    context[w] = nfs_init_context();
    struct nfs_url *url = nfs_parse_url_dir(context[w], argv[1]);
    if (url == NULL) fail(context[w], "url");
    snprintf(name, sizeof name, "bench-%d-%d", (int)getpid(), w);
    nfs4_set_client_name(context[w], name);
    if (nfs_mount(context[w], url->server, url->path) != 0) fail(context[w], "mount");
  }
  if (nfs_mkdir(context[0], "/files") != 0) fail(context[0], "mkdir");
  double create = phase(issue_create, window, count);
  double stat = phase(issue_stat, window, count);
  double start = now();
  struct nfsdir *dir;
  if (nfs_opendir(context[0], "/files", &dir) != 0) fail(context[0], "opendir");
  int entries = 0;
  while (nfs_readdir(context[0], dir) != NULL) entries++;
  nfs_closedir(context[0], dir);
  double readdir = now() - start;
  double unlinked = keep ? 0 : phase(issue_unlink, window, count);
  if (!keep && nfs_rmdir(context[0], "/files") != 0) fail(context[0], "rmdir");
  printf("{\"create\":%.6f,\"stat\":%.6f,\"readdir\":%.6f,\"unlink\":%.6f,\"entries\":%d}\n", create, stat, readdir, unlinked, entries);
  return 0;
}
