// A place in a list of memory pieces, read or written as one run of bytes.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lustre::lnet {

class ScatterCursor {
 public:
  ScatterCursor() = default;

  // `length` bytes beginning `offset` bytes into the list; the list must be that long and outlive the cursor.
  ScatterCursor(const iovec* pieces, std::size_t count, std::size_t offset, std::size_t length)
      : pieces_(pieces), count_(count), remaining_(length) {
    while (index_ < count_ && offset >= pieces_[index_].iov_len) offset -= pieces_[index_++].iov_len;
    within_ = offset;
    if (index_ == count_) remaining_ = 0;
  }

  std::size_t remaining() const { return remaining_; }

  // Ends after so many bytes at the latest.
  void shorten(std::size_t bytes) { remaining_ = std::min(remaining_, bytes); }

  // Up to `max` vectors from the current place, without moving; `covered` is the bytes they hold.
  int fill(iovec* out, int max, std::size_t& covered) const {
    std::size_t left = remaining_;
    std::size_t within = within_;
    int used = 0;
    for (std::size_t i = index_; left > 0 && used < max && i < count_; ++i, within = 0) {
      const std::size_t piece = std::min(left, pieces_[i].iov_len - within);
      if (piece == 0) continue;
      out[used++] = {static_cast<std::uint8_t*>(pieces_[i].iov_base) + within, piece};
      left -= piece;
    }
    covered = remaining_ - left;
    return used;
  }

  // Calls `visit(address, length)` for the pieces of the next `bytes`, without moving.
  template <typename Visit>
  void forEach(std::size_t bytes, Visit visit) const {
    std::size_t left = std::min(bytes, remaining_);
    std::size_t within = within_;
    for (std::size_t i = index_; left > 0; ++i, within = 0) {
      const std::size_t piece = std::min(left, pieces_[i].iov_len - within);
      if (piece > 0) visit(static_cast<const std::uint8_t*>(pieces_[i].iov_base) + within, piece);
      left -= piece;
    }
  }

  void advance(std::size_t bytes) {
    bytes = std::min(bytes, remaining_);
    remaining_ -= bytes;
    while (bytes > 0) {
      const std::size_t piece = pieces_[index_].iov_len - within_;
      if (bytes < piece) {
        within_ += bytes;
        return;
      }
      bytes -= piece;
      ++index_;
      within_ = 0;
    }
  }

  void copyIn(const std::uint8_t* from, std::size_t bytes) {
    bytes = std::min(bytes, remaining_);
    while (bytes > 0) {
      const std::size_t piece = std::min(bytes, pieces_[index_].iov_len - within_);
      if (piece > 0) std::memcpy(static_cast<std::uint8_t*>(pieces_[index_].iov_base) + within_, from, piece);
      from += piece;
      bytes -= piece;
      advanceEmptyOr(piece);
    }
  }

  // Moves as many bytes as both have left.
  static std::size_t copy(ScatterCursor from, ScatterCursor to) {
    std::size_t moved = 0;
    while (from.remaining_ > 0 && to.remaining_ > 0) {
      const std::size_t piece = std::min({from.remaining_, to.remaining_, from.here(), to.here()});
      if (piece > 0) std::memmove(to.at(), from.at(), piece);
      moved += piece;
      from.advanceEmptyOr(piece);
      to.advanceEmptyOr(piece);
    }
    return moved;
  }

 private:
  std::size_t here() const { return pieces_[index_].iov_len - within_; }
  std::uint8_t* at() const { return static_cast<std::uint8_t*>(pieces_[index_].iov_base) + within_; }

  // Advances by `bytes`; steps over an exhausted or empty piece so that a loop always makes progress.
  void advanceEmptyOr(std::size_t bytes) {
    advance(bytes);
    while (remaining_ > 0 && here() == 0) {
      ++index_;
      within_ = 0;
    }
  }

  const iovec* pieces_ = nullptr;
  std::size_t count_ = 0;
  std::size_t index_ = 0;
  std::size_t within_ = 0;
  std::size_t remaining_ = 0;
};

}  // namespace lustre::lnet
