// libFuzzer: hostile bytes to the frame parser and the handshake parsers. What they accept is checked for
// sense.
#include "frame_parser.h"

#include <cstdlib>
#include <vector>

#include "wire.h"

using namespace lustre::lnet;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

class Sink final : public FrameHandler {
 public:
  int onMessage(const MessageHeader& header, ScatterCursor& target, Decision& decision) override {
    require(header.payloadLength <= kMtu);
    require(!open_);
    if ((header.matchBits & 0xff) == 0x77 && waits_++ < 3) {
      decision = Decision::Wait;
      return 0;
    }
    waits_ = 0;
    open_ = true;
    const std::size_t room = std::min<std::size_t>(header.payloadLength, header.offset % sizeof buffer_);
    pieces_ = {{buffer_, room / 2}, {buffer_, 0}, {buffer_ + room / 2, room - room / 2}};
    target = ScatterCursor(pieces_.data(), pieces_.size(), 0, room);
    return 0;
  }
  void onMessageEnd(const MessageHeader&, std::uint64_t) override {
    require(open_);
    open_ = false;
  }
  void onNoop(const FrameHeader& frame) override { require(frame.type == kFrameNoop); }

 private:
  std::uint8_t buffer_[5000];
  std::vector<iovec> pieces_;
  bool open_ = false;
  int waits_ = 0;
};

void handshakes(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> bytes(data, data + size);
  Nid target = 0;
  const Parsed request = parseAcceptorRequest(bytes.data(), bytes.size(), target);
  if (request.status == Parsed::Status::NeedMore)
    require(request.need > size && request.need <= kHandshakeMax);
  Hello hello;
  const Parsed parsed = parseHello(bytes.data(), bytes.size(), hello);
  if (parsed.status == Parsed::Status::NeedMore) require(parsed.need > size && parsed.need <= kHandshakeMax);
  if (parsed.status == Parsed::Status::Ok)
    require(hello.version >= 2 && hello.version <= 4 && parsed.need <= size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handshakes(data, size);
  if (size < 2) return 0;
  // The first byte says in what pieces the stream comes.
  const std::size_t step = 1 + static_cast<std::size_t>(data[0]) * 13;
  Sink sink;
  FrameParser parser(sink);
  for (std::size_t at = 1; at < size;) {
    std::array<iovec, FrameParser::kMaxVectors> vectors;
    std::size_t wanted = 0;
    const int count = parser.fill(vectors, wanted);
    if (count == 0) {
      require(parser.waiting());
      if (parser.resume() != 0) return 0;
      continue;
    }
    require(wanted > 0);
    std::size_t left = std::min({step, size - at, wanted});
    const std::size_t total = left;
    for (int i = 0; i < count && left > 0; ++i) {
      const std::size_t piece = std::min(left, vectors[static_cast<std::size_t>(i)].iov_len);
      std::memcpy(vectors[static_cast<std::size_t>(i)].iov_base, data + at, piece);
      at += piece;
      left -= piece;
    }
    if (parser.received(total) != 0) return 0;
  }
  return 0;
}
