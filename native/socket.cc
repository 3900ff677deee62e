#include "socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace lustre::lnet {
namespace {

constexpr int kReservedPortMax = 1023;
constexpr int kReservedPortMin = 512;

void setInt(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value);
}

// 0 (connecting or connected) or -errno.
int bindAndConnect(int fd, const SocketAddress* from, const SocketAddress& to) {
  if (from != nullptr) {
    setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&from->storage), from->length) != 0) return -errno;
  }
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.length) == 0) return 0;
  return errno == EINPROGRESS ? 0 : -errno;
}

SocketAddress anyAddress(int family, std::uint16_t port) {
  SocketAddress address;
  if (family == AF_INET6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    address.length = sizeof *in6;
  } else {
    auto* in4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    in4->sin_family = AF_INET;
    in4->sin_port = htons(port);
    address.length = sizeof *in4;
  }
  return address;
}

// Whether the address of our NID can be a source address at all; NAT and containers say no.
bool canBindNid(Nid self) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const SocketAddress address = SocketAddress::ofNid(self, 0);
  const bool ok = bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0;
  close(fd);
  return ok;
}

}  // namespace

std::uint16_t SocketAddress::port() const {
  if (storage.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
}

bool SocketAddress::loopback() const {
  if (storage.ss_family == AF_INET6) {
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr) != 0;
  }
  return ntohl(reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr.s_addr) >> 24 == 127;
}

std::string SocketAddress::text() const {
  char host[INET6_ADDRSTRLEN] = "?";
  if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, host, sizeof host);
    return std::string("[").append(host).append("]:").append(std::to_string(port()));
  }
  inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, host, sizeof host);
  return std::string(host).append(":").append(std::to_string(port()));
}

SocketAddress SocketAddress::ofNid(Nid nid, std::uint16_t port) {
  SocketAddress address = anyAddress(AF_INET, port);
  reinterpret_cast<sockaddr_in*>(&address.storage)->sin_addr.s_addr = htonl(nidAddress(nid));
  return address;
}

std::string nidText(Nid nid) {
  const std::uint32_t type = nidNet(nid) >> 16;
  const std::uint32_t number = nidNet(nid) & 0xffff;
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) {
    text += std::to_string((nidAddress(nid) >> shift) & 255) + (shift > 0 ? "." : "@");
  }
  text += type == 2 ? "tcp" : type == 5 ? "o2ib" : type == 9 ? "lo" : "net" + std::to_string(type) + "-";
  return number == 0 ? text : text + std::to_string(number);
}

int resolve(const std::string& host, std::uint16_t port, SocketAddress& out) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return error;
  // LNet over TCP is IPv4 first of all: `localhost` should not become ::1 while servers listen on 127.0.0.1.
  const addrinfo* chosen = found;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (a->ai_family == AF_INET) {
      chosen = a;
      break;
    }
  }
  std::memcpy(&out.storage, chosen->ai_addr, chosen->ai_addrlen);
  out.length = chosen->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}

void setStreamOptions(int fd, int timeoutMs) {
  setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  setInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  setInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  setInt(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
  setInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeoutMs);
  char name[16] = {};
  socklen_t length = sizeof name - 1;
  if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0 && std::strncmp(name, "bbr", 3) == 0) {
    if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5) != 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    }
  }
}

void setReceiveLowWater(int fd, int bytes) {
  setInt(fd, SOL_SOCKET, SO_RCVLOWAT, bytes);
}

int listenOn(const SocketAddress& address) {
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      listen(fd, 127) != 0) {
    const int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

ConnectStart connectTo(const SocketAddress& to, Nid self) {
  const int family = to.storage.ss_family;
  // A loopback source cannot reach another host.
  SocketAddress from = anyAddress(family, 0);
  const SocketAddress own = SocketAddress::ofNid(self, 0);
  if (family == AF_INET && own.loopback() == to.loopback() && canBindNid(self)) from = own;
  bool reserved = true;
  for (int port = kReservedPortMax;;) {
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return {-errno, false};
    const std::uint16_t bindPort = reserved ? static_cast<std::uint16_t>(port) : 0;
    if (family == AF_INET6) {
      reinterpret_cast<sockaddr_in6*>(&from.storage)->sin6_port = htons(bindPort);
    } else {
      reinterpret_cast<sockaddr_in*>(&from.storage)->sin_port = htons(bindPort);
    }
    const int error = bindAndConnect(fd, &from, to);
    if (error == 0) return {fd, reserved};
    close(fd);
    if (!reserved) return {error, false};
    const bool taken = error == -EADDRINUSE || error == -EADDRNOTAVAIL;
    if (error == -EACCES || error == -EPERM || (taken && port == kReservedPortMin)) {
      reserved = false;
    } else if (taken) {
      --port;
    } else {
      return {error, true};
    }
  }
}

}  // namespace lustre::lnet
