// A descriptor of our own of an open file of somebody's, who may close his meanwhile.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace lustre {

class OwnDescriptor {
 public:
  // Of no file when there are none left or `fd` is of none.
  explicit OwnDescriptor(int fd) : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)), error_(fd_ < 0 ? errno : 0) {}
  OwnDescriptor(OwnDescriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), error_(std::exchange(other.error_, EBADF)) {}
  ~OwnDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  OwnDescriptor(const OwnDescriptor&) = delete;
  OwnDescriptor& operator=(const OwnDescriptor&) = delete;
  OwnDescriptor& operator=(OwnDescriptor&&) = delete;

  // Negative: of no file.
  int get() const { return fd_; }

  // Why it is of no file, an errno: EMFILE, EBADF; else 0.
  int error() const { return error_; }

 private:
  int fd_;
  int error_;
};

}  // namespace lustre
