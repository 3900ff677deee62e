#include "file_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lustre::lnet {

std::unique_ptr<FileSource> FileSource::open(const FileRange& range) {
  const int fd = fcntl(range.fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return nullptr;
  return std::unique_ptr<FileSource>(new FileSource(fd, range));
}

FileSource::~FileSource() {
  close(fd_);
}

ssize_t FileSource::read(std::uint8_t* into, std::size_t room) {
  const std::size_t wanted = std::min(room, left_);
  std::size_t have = 0;
  while (have < wanted) {
    const ssize_t got = pread(fd_, into + have, wanted - have, position_ + static_cast<std::int64_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) {
      std::memset(into + have, 0, wanted - have);
      break;
    }
    have += static_cast<std::size_t>(got);
  }
  sum_.Update(into, wanted);
  position_ += static_cast<std::int64_t>(wanted);
  left_ -= wanted;
  return static_cast<ssize_t>(wanted);
}

}  // namespace lustre::lnet
