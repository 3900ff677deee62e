#include "file_source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lustre::lnet {

std::unique_ptr<FileSource> FileSource::open(const FileRange& range) {
  OwnDescriptor fd(range.fd);
  if (fd.get() < 0) return nullptr;
  return std::unique_ptr<FileSource>(new FileSource(std::move(fd), range));
}

void FileSource::answer(std::uint32_t offset, std::uint32_t length) {
  cursor_.seek(offset);
  left_ = length;
  answers_ = true;
}

ssize_t FileSource::read(std::uint8_t* into, std::size_t room) {
  const std::size_t wanted = std::min({room, cursor_.remaining(), left_});
  for (std::size_t have = 0; have < wanted;) {
    const auto [position, length] = cursor_.next(wanted - have);
    ssize_t got = pread(fd_.get(), into + have, length, position);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && !answers_) return -errno;
    if (got <= 0) {
      if (error_ == 0) error_ = got < 0 ? -errno : -ENODATA;
      std::memset(into + have, 0, length);
      got = length;
    }
    have += static_cast<std::size_t>(got);
    cursor_.advance(static_cast<std::size_t>(got));
  }
  sum_.Update(into, wanted);
  left_ -= wanted;
  return static_cast<ssize_t>(wanted);
}

}  // namespace lustre::lnet
