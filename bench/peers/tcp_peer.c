// The floor that benches compare with: a bare C stream and a bare C ping-pong over TCP, one process a side, with the
// congestion control and the number of buffers that our own driver uses.
//
//   tcp_peer sink PORT BUFFERS              receives {96-byte header, 1 MiB} messages into BUFFERS buffers in turn
//   tcp_peer stream PORT BUFFERS COUNT      sends COUNT of them, prints seconds
//   tcp_peer echo PORT SIZE                 answers SIZE bytes with SIZE bytes
//   tcp_peer pingpong PORT SIZE WINDOW COUNT   COUNT round trips, WINDOW in flight, prints seconds and percentiles in us
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"

// WARM_UP messages go out before the clock starts, as on our own side.
enum { HEADER = 96, PAYLOAD = 1 << 20, WARM_UP = 500 };

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void tune(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0) setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static int accept_one(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in a = loopback(port);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0) die("listen");
  puts("ready");
  fflush(stdout);
  int c = accept(fd, NULL, NULL);
  if (c < 0) die("accept");
  tune(c);
  return c;
}

static int connect_to(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = loopback(port);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) die("connect");
  tune(fd);
  return fd;
}

static int read_all(int fd, char *p, size_t n) {
  while (n > 0) {
    ssize_t got = recv(fd, p, n, 0);
    if (got == 0) return 0;
    if (got < 0) die("recv");
    p += got;
    n -= (size_t)got;
  }
  return 1;
}

static void write_all(int fd, struct iovec *v, int count) {
  while (count > 0) {
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)count};
    ssize_t sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    if (sent < 0) die("sendmsg");
    while (count > 0 && (size_t)sent >= v->iov_len) {
      sent -= (ssize_t)v->iov_len;
      v++;
      count--;
    }
    if (count > 0) {
      v->iov_base = (char *)v->iov_base + sent;
      v->iov_len -= (size_t)sent;
    }
  }
}

static char *buffers(int count) {
  char *p = aligned_alloc(4096, (size_t)count * PAYLOAD);
  if (p == NULL) die("aligned_alloc");
  memset(p, 1, (size_t)count * PAYLOAD);
  return p;
}

static void sink(int port, int count) {
  int fd = accept_one(port);
  char header[HEADER], *p = buffers(count);
  for (int i = 0; read_all(fd, header, HEADER) && read_all(fd, p + (size_t)(i % count) * PAYLOAD, PAYLOAD); i++) {
  }
  if (send(fd, "x", 1, MSG_NOSIGNAL) < 0) die("send");
}

static void stream(int port, int count, long messages) {
  int fd = connect_to(port);
  char header[HEADER] = {0}, *p = buffers(count), end;
  double start = 0;
  for (long i = -WARM_UP; i < messages; i++) {
    if (i == 0) start = now();
    struct iovec v[2] = {{header, HEADER}, {p + (size_t)((i + WARM_UP) % count) * PAYLOAD, PAYLOAD}};
    write_all(fd, v, 2);
  }
  shutdown(fd, SHUT_WR);
  read_all(fd, &end, 1);
  printf("{\"seconds\":%.6f}\n", now() - start);
}

static void echo(int port, size_t size) {
  int fd = accept_one(port);
  char *p = malloc(size);
  while (read_all(fd, p, size)) {
    struct iovec v = {p, size};
    write_all(fd, &v, 1);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void pingpong(int port, size_t size, int window, long count) {
  int fd = connect_to(port);
  char *p = calloc(1, size);
  double *sent = calloc((size_t)count, sizeof *sent), *took = calloc((size_t)count, sizeof *took), start = now();
  long out = 0;
  for (long in = 0; in < count; in++) {
    while (out < count && out - in < window) {
      struct iovec v = {p, size};
      sent[out++] = now();
      write_all(fd, &v, 1);
    }
    if (!read_all(fd, p, size)) die("peer closed");
    took[in] = now() - sent[in];
  }
  double seconds = now() - start;
  qsort(took, (size_t)count, sizeof *took, compare);
  printf("{\"seconds\":%.6f,\"p50\":%.2f,\"p99\":%.2f}\n", seconds, took[count / 2] * 1e6, took[count * 99 / 100] * 1e6);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  int port = argc > 2 ? atoi(argv[2]) : 0;
  if (strcmp(mode, "sink") == 0 && argc == 4) sink(port, atoi(argv[3]));
  else if (strcmp(mode, "stream") == 0 && argc == 5) stream(port, atoi(argv[3]), atol(argv[4]));
  else if (strcmp(mode, "echo") == 0 && argc == 4) echo(port, (size_t)atol(argv[3]));
  else if (strcmp(mode, "pingpong") == 0 && argc == 6) pingpong(port, (size_t)atol(argv[3]), atoi(argv[4]), atol(argv[5]));
  else {
    fprintf(stderr, "usage: tcp_peer sink|stream|echo|pingpong PORT ...\n");
    return 2;
  }
  return 0;
}
