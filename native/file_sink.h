// Where a PUT or a GET's REPLY goes instead of memory: into a file, a piece at a time while it lies in the
// cache of the processor. The receiving thread brings the piece (receivers.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "file_extents.h"
#include "own_descriptor.h"

namespace lustre::lnet {

class FileSink {
 public:
  // With a descriptor of its own: the caller may close his. Null, and errno, when there are none left.
  static std::unique_ptr<FileSink> open(const FileRange& range);
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  // What is written next goes so far into the range.
  void seek(std::uint32_t offset) { cursor_.seek(offset); }
  // The next bytes of the range. May wait for a disk. After an error nothing more is written: the message is
  // read to its end all the same.
  void write(const std::uint8_t* bytes, std::size_t length);

  // When it returns nothing is written any more: it waits for a write that is under way. Any thread.
  void stop();

  // 0, or -errno of the first write that failed.
  int error() const { return error_; }

 private:
  FileSink(OwnDescriptor fd, const FileRange& range) : fd_(std::move(fd)), cursor_(range) {}

  const OwnDescriptor fd_;
  FileCursor cursor_;
  int error_ = 0;
  std::mutex writing_;
  bool stopped_ = false;
};

}  // namespace lustre::lnet
