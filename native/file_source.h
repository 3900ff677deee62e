// What a PUT or a REPLY sends out of a file: read a piece at a time as the socket takes it, so that a piece
// is checksummed and handed to the kernel while it is in the cache of the processor. (A mapping would spare
// the copy; its page faults cost several times as much: docs/performance.md.)
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "checksum.h"
#include "file_extents.h"
#include "own_descriptor.h"

namespace lustre::lnet {

class FileSource {
 public:
  static constexpr std::size_t kPiece = 256 * 1024;

  // With a descriptor of its own: the caller may close his. Null, and errno, when there are none left.
  static std::unique_ptr<FileSource> open(const FileRange& range);
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // What is read next, and all that is: so much of the range, for a REPLY. A file that cannot be read must
  // not cost the connection then, over which others' bytes go: zeros take their place, and `error` says so.
  void answer(std::uint32_t offset, std::uint32_t length);

  // The next bytes, at most `room`: 0 at the range's end, or -errno. Where the file has ended since, zeros:
  // the message's length was promised. May wait for a disk.
  ssize_t read(std::uint8_t* into, std::size_t room);

  // Over what was read.
  std::uint32_t checksum() const { return sum_.Value(); }
  // 0, or -errno of the first read that failed; -ENODATA where the file had ended. Zeros were sent for it.
  int error() const { return error_; }

 private:
  FileSource(OwnDescriptor fd, const FileRange& range)
      : fd_(std::move(fd)), cursor_(range), sum_(range.checksum) {}

  const OwnDescriptor fd_;
  FileCursor cursor_;
  // Of it, what is to be read.
  std::size_t left_ = cursor_.remaining();
  Checksum sum_;
  bool answers_ = false;
  int error_ = 0;
};

// A piece on its way from a file to a socket.
struct SendStage {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::array<std::uint8_t, FileSource::kPiece> bytes;
};

}  // namespace lustre::lnet
