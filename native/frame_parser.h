// The receive side of an established connection as a machine without a socket (guide 02 §4): says where the
// next bytes should go and is told how many came. Headers and small messages pass through a staging buffer;
// what is left of a payload, and the next header after it, are read in one call, the payload straight to its
// place.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "checksum.h"
#include "file_sink.h"
#include "scatter.h"
#include "wire.h"

namespace lustre::lnet {

class FrameHandler {
 public:
  enum class Decision { Take, Wait };

  // A header has arrived. `target` receives as much of the payload as it has room for, the rest is skipped.
  // With Wait the parser stands still until `resume`, which asks again. Negative: -errno, the connection is
  // to be closed.
  virtual int onMessage(const MessageHeader& header, ScatterCursor& target, Decision& decision) = 0;
  // The whole payload of the message last taken is in place (also for messages without one).
  virtual void onMessageEnd(const MessageHeader& header, std::uint64_t zeroCopyCookie) = 0;
  virtual void onNoop(const FrameHeader& frame) = 0;

 protected:
  ~FrameHandler() = default;
};

class FrameParser {
 public:
  static constexpr std::size_t kStagingSize = 16 * 1024;
  static constexpr int kMaxVectors = 64;
  static constexpr std::uint32_t kBulkPayload = 64 * 1024;
  // What is on its way into a file.
  using Piece = std::array<std::uint8_t, 256 * 1024>;

  explicit FrameParser(FrameHandler& handler) : handler_(handler) {}

  // Vectors for the next read; at least one unless `waiting()`.
  int fill(std::array<iovec, kMaxVectors>& out, std::size_t& wanted);
  // `bytes` arrived, in the order of the vectors last given. 0, or -errno: close the connection.
  int received(std::size_t bytes);
  // Goes on after Decision::Wait.
  int resume();

  // Said by the handler as it takes a message: sum what goes to the target, piece by piece as it comes, while
  // it is in the cache.
  void sumWith(ChecksumType type) { sum_ = Checksum(type); }
  // Said by the handler as it takes a message: `length` bytes of the payload go to a file, which outlives the
  // message, instead of the target. Only while there is a piece to take them.
  void sinkInto(FileSink* sink, std::size_t length) {
    sink_ = sink;
    sinkLeft_ = length;
  }
  // From here on there is one, or none; what is in it goes to the file first.
  void usePiece(Piece* piece) {
    flushPiece();
    piece_ = piece;
  }
  bool hasPiece() const { return piece_ != nullptr; }
  // Over what has come of the message last taken; 0 unless it is summed.
  std::uint32_t checksum() const { return sum_.Value(); }

  // What was wrong with the bytes that `received` or `resume` returned an error for.
  const char* fault() const { return fault_; }
  void blame(const char* fault) { fault_ = fault; }

  bool waiting() const { return waiting_; }
  // In the middle of a message: silence from the peer is then a stall.
  bool midMessage() const { return payloadLeft_ > 0 || staged() > 0; }
  // A message was taken whose payload has not come in full.
  bool midPayload() const { return payloadLeft_ > 0; }
  std::size_t payloadLeft() const { return payloadLeft_; }
  // The same, of a message whose payload is so large that it counts as bulk.
  bool midBulk() const { return payloadLeft_ > 0 && header_.payloadLength >= kBulkPayload; }

 private:
  std::size_t staged() const { return end_ - begin_; }
  int parse();
  int takeMessage();
  void absorbStaged();
  void placed(std::size_t bytes);
  void placedInPiece(std::size_t bytes);
  void flushPiece();
  iovec pieceRoom();

  FrameHandler& handler_;
  std::vector<std::uint8_t> staging_ = std::vector<std::uint8_t>(kStagingSize);
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  MessageHeader header_;
  std::uint64_t zeroCopyCookie_ = 0;
  ScatterCursor target_;
  Checksum sum_{ChecksumType::kNone};
  std::size_t payloadLeft_ = 0;
  FileSink* sink_ = nullptr;
  std::size_t sinkLeft_ = 0;
  Piece* piece_ = nullptr;
  std::size_t inPiece_ = 0;
  bool waiting_ = false;
  const char* fault_ = "unknown";
};

}  // namespace lustre::lnet
