#include "file_sink.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lustre::lnet {

std::unique_ptr<FileSink> FileSink::open(const FileRange& range) {
  OwnDescriptor fd(range.fd);
  if (fd.get() < 0) return nullptr;
  return std::unique_ptr<FileSink>(new FileSink(std::move(fd), range));
}

void FileSink::stop() {
  const std::lock_guard lock(writing_);
  stopped_ = true;
}

void FileSink::write(const std::uint8_t* bytes, std::size_t length) {
  const std::lock_guard lock(writing_);
  if (stopped_ && error_ == 0) error_ = -ECANCELED;
  while (length > 0 && error_ == 0) {
    const FileExtent run = cursor_.next(length);
    const ssize_t put = pwrite(fd_.get(), bytes, run.length, run.position);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      error_ = put < 0 ? -errno : -EIO;
      return;
    }
    bytes += put;
    length -= static_cast<std::size_t>(put);
    cursor_.advance(static_cast<std::size_t>(put));
  }
}

}  // namespace lustre::lnet
