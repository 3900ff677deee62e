#include "frame_parser.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace lustre::lnet {
namespace {

// Where skipped payload goes. Per thread, so that no two I/O threads write the same bytes.
constexpr std::size_t kSkipSize = 64 * 1024;
thread_local std::array<std::uint8_t, kSkipSize> skipped;

}  // namespace

int FrameParser::fill(std::array<iovec, kMaxVectors>& out, std::size_t& wanted) {
  wanted = 0;
  if (waiting_) return 0;
  int used = 0;
  std::size_t covered = 0;
  if (payloadLeft_ > 0) {
    std::size_t here = target_.remaining();
    if (sinkLeft_ > 0) {
      here = sinkLeft_;
      out[used++] = pieceRoom();
      covered = out[0].iov_len;
    } else {
      used = target_.fill(out.data(), kMaxVectors - 3, covered);
    }
    if (covered == here) {
      // Two skip vectors take 128 KiB a call; a skipped payload is rare and at most 1 MiB.
      for (int i = 0; i < 2 && covered < payloadLeft_; ++i) {
        const std::size_t piece = std::min(kSkipSize, payloadLeft_ - covered);
        out[used++] = {skipped.data(), piece};
        covered += piece;
      }
    }
    wanted = covered;
    if (covered < payloadLeft_) return used;
  }
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (begin_ > 0) {
    std::memmove(staging_.data(), staging_.data() + begin_, staged());
    end_ -= begin_;
    begin_ = 0;
  }
  out[used++] = {staging_.data() + end_, kStagingSize - end_};
  wanted += kStagingSize - end_;
  return used;
}

int FrameParser::received(std::size_t bytes) {
  if (payloadLeft_ > 0) {
    const std::size_t direct = std::min(bytes, payloadLeft_);
    placed(direct);
    bytes -= direct;
    end_ += bytes;
    if (payloadLeft_ > 0) return 0;
    handler_.onMessageEnd(header_, zeroCopyCookie_);
  } else {
    end_ += bytes;
  }
  return parse();
}

int FrameParser::resume() {
  if (!waiting_) return 0;
  waiting_ = false;
  return parse();
}

int FrameParser::parse() {
  while (staged() >= kFrameHeaderSize) {
    const std::uint8_t* at = staging_.data() + begin_;
    const FrameHeader frame = parseFrameHeader(at);
    if (frame.type == kFrameNoop) {
      begin_ += kFrameHeaderSize;
      handler_.onNoop(frame);
      continue;
    }
    if (frame.type != kFrameLnet) {
      blame("a frame that is neither NOOP nor LNET");
      return -EPROTO;
    }
    if (staged() < kFullHeaderSize) return 0;
    zeroCopyCookie_ = frame.cookies[0];
    if (const int error = parseMessageHeader(at + kFrameHeaderSize, header_); error != 0) {
      blame("a message of unknown type or impossible length");
      return error;
    }
    if (const int error = takeMessage(); error != 0) return error;
    if (waiting_ || payloadLeft_ > 0) return 0;
  }
  return 0;
}

int FrameParser::takeMessage() {
  auto decision = FrameHandler::Decision::Take;
  target_ = ScatterCursor();
  sink_ = nullptr;
  sinkLeft_ = 0;
  sum_ = Checksum(ChecksumType::kNone);
  if (const int error = handler_.onMessage(header_, target_, decision); error != 0) return error;
  if (decision == FrameHandler::Decision::Wait) {
    waiting_ = true;
    return 0;
  }
  begin_ += kFullHeaderSize;
  payloadLeft_ = header_.payloadLength;
  absorbStaged();
  if (payloadLeft_ == 0) handler_.onMessageEnd(header_, zeroCopyCookie_);
  return 0;
}

void FrameParser::absorbStaged() {
  const std::size_t here = std::min(staged(), payloadLeft_);
  if (sinkLeft_ > 0) {
    std::memcpy(pieceRoom().iov_base, staging_.data() + begin_, std::min(here, sinkLeft_));
  } else {
    ScatterCursor(target_).copyIn(staging_.data() + begin_, here);
  }
  begin_ += here;
  placed(here);
}

// So many bytes of the payload are where they belong.
void FrameParser::placed(std::size_t bytes) {
  payloadLeft_ -= bytes;
  if (sink_ != nullptr) return placedInPiece(std::min(bytes, sinkLeft_));
  target_.forEach(bytes, [this](const std::uint8_t* at, std::size_t length) { sum_.Update(at, length); });
  target_.advance(bytes);
}

// Never empty while something is left for the file: a piece that is full is written at once.
iovec FrameParser::pieceRoom() {
  return {piece_->data() + inPiece_, std::min(piece_->size() - inPiece_, sinkLeft_)};
}

void FrameParser::placedInPiece(std::size_t bytes) {
  if (bytes == 0) return;
  sum_.Update(piece_->data() + inPiece_, bytes);
  inPiece_ += bytes;
  sinkLeft_ -= bytes;
  if (sinkLeft_ == 0 || inPiece_ == piece_->size()) flushPiece();
}

void FrameParser::flushPiece() {
  if (inPiece_ > 0) sink_->write(piece_->data(), std::exchange(inPiece_, 0));
}

}  // namespace lustre::lnet
