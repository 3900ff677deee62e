// What a PUT sends out of a file: read a piece at a time as the socket takes it, so that a piece is
// checksummed and handed to the kernel while it is in the cache of the processor. (A mapping would spare the
// copy; its page faults cost several times as much: docs/performance.md.)
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "checksum.h"
#include "file_extents.h"

namespace lustre::lnet {

class FileSource {
 public:
  static constexpr std::size_t kPiece = 256 * 1024;

  // With a descriptor of its own: the caller may close his. Null, and errno, when there are none left.
  static std::unique_ptr<FileSource> open(const FileRange& range);
  ~FileSource();
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // The next bytes, at most `room`: 0 at the range's end, or -errno. Where the file has ended since, zeros:
  // the message's length was promised. May wait for a disk.
  ssize_t read(std::uint8_t* into, std::size_t room);

  // Over what was read.
  std::uint32_t checksum() const { return sum_.Value(); }

 private:
  FileSource(int fd, const FileRange& range) : fd_(fd), cursor_(range), sum_(range.checksum) {}

  const int fd_;
  FileCursor cursor_;
  Checksum sum_;
};

// A piece on its way from a file to a socket.
struct SendStage {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::array<std::uint8_t, FileSource::kPiece> bytes;
};

}  // namespace lustre::lnet
