// guide 02 §4
#include "frame_parser.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

using namespace lustre;
using namespace lustre::lnet;

namespace {

class Recorder final : public FrameHandler {
 public:
  struct Message {
    std::uint64_t bits;
    std::vector<std::uint8_t> bytes;
    std::uint64_t cookie;
    std::uint32_t checksum;
  };
  FrameParser* parser = nullptr;  // asked for checksums, if any
  std::vector<Message> messages;
  std::vector<std::uint64_t> noops;
  std::size_t room = kMtu;
  int waits = 0;

  int onMessage(const MessageHeader& header, ScatterCursor& target, Decision& decision) override {
    if (waits > 0) {
      --waits;
      decision = Decision::Wait;
      return 0;
    }
    const std::size_t take = std::min<std::size_t>(header.payloadLength, room);
    current_.assign(take, 0);
    pieces_.clear();
    for (std::size_t at = 0; at < take;) {
      const std::size_t piece = std::min<std::size_t>(take - at, 1 + at % 977);
      pieces_.push_back({current_.data() + at, piece});
      at += piece;
    }
    target = ScatterCursor(pieces_.data(), pieces_.size(), 0, take);
    // Every other one, so that one's sum would show in the next.
    if (parser != nullptr && header.matchBits % 2 == 0) parser->sumWith(ChecksumType::kCrc32c);
    return 0;
  }
  void onMessageEnd(const MessageHeader& header, std::uint64_t cookie) override {
    messages.push_back({header.matchBits, current_, cookie, parser == nullptr ? 0 : parser->checksum()});
  }
  void onNoop(const FrameHeader& frame) override { noops.push_back(frame.cookies[1]); }

 private:
  std::vector<std::uint8_t> current_;
  std::vector<iovec> pieces_;
};

void append(std::vector<std::uint8_t>& stream, std::uint64_t bits, std::size_t length) {
  std::array<std::uint8_t, kFullHeaderSize> bytes;
  encodeFrameHeader(bytes.data(), kFrameLnet);
  bytes[8] = length >= 16384 ? 2 : 0;
  MessageHeader header;
  header.type = MessageType::Put;
  header.payloadLength = static_cast<std::uint32_t>(length);
  header.matchBits = bits;
  encodeMessageHeader(bytes.data() + kFrameHeaderSize, header);
  stream.insert(stream.end(), bytes.begin(), bytes.end());
  for (std::size_t i = 0; i < length; ++i) stream.push_back(static_cast<std::uint8_t>(i * 7 + bits));
}

void appendNoop(std::vector<std::uint8_t>& stream, std::uint64_t cookie) {
  std::array<std::uint8_t, kFrameHeaderSize> bytes;
  encodeFrameHeader(bytes.data(), kFrameNoop, cookie);
  stream.insert(stream.end(), bytes.begin(), bytes.end());
}

// As a socket that hands out at most `limit` bytes a call.
int feed(FrameParser& parser, const std::vector<std::uint8_t>& stream, std::size_t limit,
         std::mt19937& random) {
  std::size_t at = 0;
  while (at < stream.size() || parser.waiting()) {
    std::array<iovec, FrameParser::kMaxVectors> vectors;
    std::size_t wanted = 0;
    const int count = parser.fill(vectors, wanted);
    if (count == 0) {
      if (const int error = parser.resume(); error != 0) return error;
      continue;
    }
    std::size_t left = std::min({wanted, stream.size() - at, 1 + random() % limit});
    const std::size_t total = left;
    for (int i = 0; i < count && left > 0; ++i) {
      const std::size_t piece = std::min(left, vectors[i].iov_len);
      std::memcpy(vectors[i].iov_base, stream.data() + at, piece);
      at += piece;
      left -= piece;
    }
    if (const int error = parser.received(total); error != 0) return error;
  }
  return 0;
}

}  // namespace

TEST_CASE("messages arrive whole, whatever the pieces of the stream") {
  std::mt19937 random(2);
  for (const std::size_t limit :
       {std::size_t{1}, std::size_t{100}, std::size_t{5000}, std::size_t{1 << 21}}) {
    std::vector<std::uint8_t> stream;
    std::vector<std::size_t> lengths;
    for (int i = 0; i < 40; ++i) {
      const std::size_t cap = limit == 1 ? 600 : 60000;
      lengths.push_back(i % 5 == 0 ? 0 : random() % cap);
      append(stream, static_cast<std::uint64_t>(i), lengths.back());
      if (i % 3 == 0) appendNoop(stream, static_cast<std::uint64_t>(i));
    }
    Recorder recorder;
    recorder.waits = 5;
    FrameParser parser(recorder);
    REQUIRE(feed(parser, stream, limit, random) == 0);
    REQUIRE(recorder.messages.size() == lengths.size());
    CHECK(recorder.noops.size() == 14);
    CHECK_FALSE(parser.midMessage());
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const auto& m = recorder.messages[i];
      REQUIRE(m.bytes.size() == lengths[i]);
      CHECK(m.cookie == (lengths[i] >= 16384 ? 2 : 0));
      bool same = true;
      for (std::size_t b = 0; b < lengths[i]; ++b)
        same = same && m.bytes[b] == static_cast<std::uint8_t>(b * 7 + i);
      CHECK(same);
    }
  }
}

TEST_CASE("what has no room is skipped and the stream stays in step") {
  std::mt19937 random(3);
  std::vector<std::uint8_t> stream;
  for (int i = 0; i < 5; ++i) append(stream, 9, kMtu);
  append(stream, 10, 3);
  Recorder recorder;
  recorder.room = 1000;
  FrameParser parser(recorder);
  REQUIRE(feed(parser, stream, 1 << 21, random) == 0);
  REQUIRE(recorder.messages.size() == 6);
  CHECK(recorder.messages[0].bytes.size() == 1000);
  CHECK(recorder.messages[5].bits == 10);
}

TEST_CASE("checksums are over what went to its place, whatever the pieces of the stream") {
  std::mt19937 random(5);
  for (const std::size_t room : {std::size_t{kMtu}, std::size_t{3000}}) {
    std::vector<std::uint8_t> stream;
    for (std::uint64_t i = 0; i < 60; ++i) append(stream, i, i % 7 == 0 ? 0 : random() % 90'000);
    Recorder recorder;
    recorder.room = room;
    FrameParser parser(recorder);
    recorder.parser = &parser;
    REQUIRE(feed(parser, stream, 30'000, random) == 0);
    REQUIRE(recorder.messages.size() == 60);
    for (Recorder::Message& m : recorder.messages) {
      const iovec whole{m.bytes.data(), m.bytes.size()};
      const auto type = m.bits % 2 == 0 ? ChecksumType::kCrc32c : ChecksumType::kNone;
      CHECK(m.checksum == ChecksumOf(type, {&whole, 1}));
    }
  }
}

TEST_CASE("a frame of an unknown type closes the connection") {
  std::mt19937 random(4);
  std::vector<std::uint8_t> stream(24, 0);
  Recorder recorder;
  FrameParser parser(recorder);
  CHECK(feed(parser, stream, 24, random) == -EPROTO);
}
