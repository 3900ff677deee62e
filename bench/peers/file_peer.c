// The floor of the data path: a bare C process a side that moves a file over one TCP connection as messages of a
// 96-byte header and 1 MiB, with CRC32C at both ends when asked, and nothing of a protocol or of JavaScript.
//
//   file_peer take PORT PATH CRC           receives into 16 buffers in turn, writes what came to PATH (`-`: nowhere)
//   file_peer give PORT PATH CRC HOW MIB   sends MIB messages from PATH (`-`: memory); HOW is how a file is sent:
//                                          `pread` a MiB into 16 buffers in turn and send it, or
//                                          `sendfile` after the CRC over 128 KiB pieces read for it alone
//
// CRC is 0 or 1. Each prints {"seconds":wall,"cpu":user + system of its own}.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"

enum { HEADER = 96, PAYLOAD = 1 << 20, BUFFERS = 16, PIECE = 128 << 10 };

static unsigned sum;

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

static void take_crc(int crc, const char *p, size_t n) {
  if (crc) sum = crc32_iscsi((unsigned char *)p, (int)n, sum);
}

static int receive(int fd, char *p, size_t n, int crc) {
  while (n > 0) {
    ssize_t got = recv(fd, p, n, 0);
    if (got == 0) return 0;
    if (got < 0) die("recv");
    take_crc(crc, p, (size_t)got);
    p += got;
    n -= (size_t)got;
  }
  return 1;
}

static void send_all(int fd, const char *p, size_t n, int flags) {
  while (n > 0) {
    ssize_t sent = send(fd, p, n, flags | MSG_NOSIGNAL);
    if (sent < 0) die("send");
    p += sent;
    n -= (size_t)sent;
  }
}

static char *buffers(void) {
  char *p = aligned_alloc(4096, (size_t)BUFFERS * PAYLOAD);
  if (p == NULL) die("aligned_alloc");
  memset(p, 1, (size_t)BUFFERS * PAYLOAD);
  return p;
}

static void report(double wall, double used) {
  printf("{\"seconds\":%.6f,\"cpu\":%.6f}\n", wall, used);
}

static void take(int port, const char *path, int crc) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, file = -1;
  struct sockaddr_in a = loopback(port);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1) != 0) die("listen");
  char header[HEADER], *all = buffers();
  puts("ready");
  fflush(stdout);
  int c = accept(fd, NULL, NULL);
  if (c < 0) die("accept");
  tune(c);
  if (strcmp(path, "-") != 0 && (file = open(path, O_CREAT | O_WRONLY, 0600)) < 0) die(path);
  double start = now(), before = cpu();
  for (long i = 0; receive(c, header, HEADER, 0); i++) {
    char *p = all + (size_t)(i % BUFFERS) * PAYLOAD;
    if (!receive(c, p, PAYLOAD, crc)) die("peer closed");
    if (file >= 0 && pwrite(file, p, PAYLOAD, (off_t)i * PAYLOAD) != PAYLOAD) die("pwrite");
  }
  send_all(c, "x", 1, 0);
  report(now() - start, cpu() - before);
}

static void give(int port, const char *path, int crc, const char *how, long count) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), file = -1;
  struct sockaddr_in a = loopback(port);
  char header[HEADER] = {0}, *all = buffers(), end;
  if (strcmp(path, "-") != 0 && (file = open(path, O_RDONLY)) < 0) die(path);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) die("connect");
  tune(fd);
  double start = now(), before = cpu();
  for (long i = 0; i < count; i++) {
    char *p = all + (size_t)(i % BUFFERS) * PAYLOAD;
    off_t at = (off_t)i * PAYLOAD, to = at + PAYLOAD;
    if (file >= 0 && strcmp(how, "sendfile") == 0) {
      for (off_t o = at; crc && o < to; o += PIECE) {
        if (pread(file, all, PIECE, o) != PIECE) die("pread");
        take_crc(1, all, PIECE);
      }
      send_all(fd, header, HEADER, MSG_MORE);
      while (at < to)
        if (sendfile(fd, file, &at, (size_t)(to - at)) <= 0) die("sendfile");
      continue;
    }
    if (file >= 0 && pread(file, p, PAYLOAD, at) != PAYLOAD) die("pread");
    take_crc(crc, p, PAYLOAD);
    send_all(fd, header, HEADER, MSG_MORE);
    send_all(fd, p, PAYLOAD, 0);
  }
  shutdown(fd, SHUT_WR);
  if (recv(fd, &end, 1, 0) != 1) die("recv");
  report(now() - start, cpu() - before);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "take") == 0 && argc == 5) take(atoi(argv[2]), argv[3], atoi(argv[4]));
  else if (strcmp(mode, "give") == 0 && argc == 7) give(atoi(argv[2]), argv[3], atoi(argv[4]), argv[5], atol(argv[6]));
  else {
    fprintf(stderr, "usage: file_peer take PORT PATH CRC | give PORT PATH CRC pread|sendfile MIB\n");
    return 2;
  }
  return 0;
}
