// A descriptor of our own of an open file of somebody's, who may close his meanwhile.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace lustre {

class OwnDescriptor {
 public:
  // Of no file, and errno, when there are none left or `fd` is of none.
  explicit OwnDescriptor(int fd) : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)) {}
  OwnDescriptor(OwnDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~OwnDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  OwnDescriptor(const OwnDescriptor&) = delete;
  OwnDescriptor& operator=(const OwnDescriptor&) = delete;
  OwnDescriptor& operator=(OwnDescriptor&&) = delete;

  // Negative: of no file.
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace lustre
