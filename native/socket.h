// TCP sockets as LNet wants them (guide 02 §1): reserved source ports, options, congestion control.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "wire.h"

namespace lustre::lnet {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  bool empty() const { return length == 0; }
  std::uint16_t port() const;
  std::string text() const;
  bool loopback() const;
  static SocketAddress ofNid(Nid nid, std::uint16_t port);
};

std::string nidText(Nid nid);

// Numeric addresses and names; blocks for names. 0 or a getaddrinfo error, which gai_strerror explains.
int resolve(const std::string& host, std::uint16_t port, SocketAddress& out);

// TCP_NODELAY, keepalive, user timeout; cubic (or reno) where the host's default is bbr.
void setStreamOptions(int fd, int timeoutMs);
// Below so many bytes the socket does not count as readable; its end does in any case.
void setReceiveLowWater(int fd, int bytes);

// A listening, non-blocking socket. The descriptor, or -errno.
int listenOn(const SocketAddress& address);

struct ConnectStart {
  int fd = -1;            // connecting (or connected) and non-blocking, or -errno
  bool reserved = false;  // bound to a source port in 512..1023
};

// Starts to connect from the first free reserved port, 1023 downward, at the address of our NID where that is
// local; from an unprivileged one where the process may not bind those.
ConnectStart connectTo(const SocketAddress& to, Nid self);

}  // namespace lustre::lnet
