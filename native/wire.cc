#include "wire.h"

#include <bit>
#include <cerrno>
#include <cstring>

namespace lustre::lnet {
namespace {

static_assert(std::endian::native == std::endian::little, "stores below are plain copies");

template <typename T>
T load(const std::uint8_t* in) {
  T value;
  std::memcpy(&value, in, sizeof value);
  return value;
}

template <typename T>
void store(std::uint8_t* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

// The 20-byte NID of an IPv4 network as a nid4 (guide 01 §2.2); false for large addresses.
bool parseLargeNid(const std::uint8_t* in, Nid& nid) {
  if (in[0] != 0) return false;
  nid = __builtin_bswap64(load<std::uint64_t>(in));
  return true;
}

constexpr std::uint32_t kPingMagic = 0x70696E67;
constexpr std::uint32_t kStatusUp = 0x15aac0de;

}  // namespace

void encodeAcceptorRequest(std::uint8_t* out, Nid target) {
  store<std::uint32_t>(out, kAcceptorMagic);
  store<std::uint32_t>(out + 4, 1);
  store<std::uint64_t>(out + 8, target);
}

Parsed parseAcceptorRequest(const std::uint8_t* in, std::size_t have, Nid& target) {
  if (have < 8) return {Parsed::Status::NeedMore, 8};
  if (load<std::uint32_t>(in) != kAcceptorMagic) return {Parsed::Status::BadMagic, 8};
  const auto version = load<std::uint32_t>(in + 4);
  if (version != 1 && version != 2) return {Parsed::Status::BadVersion, 8};
  const std::size_t need = version == 1 ? kAcceptorRequestV1Size : kAcceptorRequestV2Size;
  if (have < need) return {Parsed::Status::NeedMore, need};
  if (version == 1) {
    target = load<std::uint64_t>(in + 8);
  } else if (!parseLargeNid(in + 8, target)) {
    return {Parsed::Status::Unsupported, need};
  }
  return {Parsed::Status::Ok, need};
}

std::optional<ConnectionType> invertType(ConnectionType type) {
  switch (type) {
    case ConnectionType::Any:
    case ConnectionType::Control:
      return type;
    case ConnectionType::BulkIn:
      return ConnectionType::BulkOut;
    case ConnectionType::BulkOut:
      return ConnectionType::BulkIn;
    case ConnectionType::None:
      break;
  }
  return std::nullopt;
}

const char* typeName(ConnectionType type) {
  switch (type) {
    case ConnectionType::None:
      return "NONE";
    case ConnectionType::Any:
      return "ANY";
    case ConnectionType::Control:
      return "CONTROL";
    case ConnectionType::BulkIn:
      return "BULK_IN";
    case ConnectionType::BulkOut:
      return "BULK_OUT";
  }
  return "unknown";
}

void encodeHello(std::uint8_t* out, const Hello& hello) {
  std::memset(out, 0, kHelloSize);
  store<std::uint32_t>(out, kHelloMagic);
  store<std::uint32_t>(out + 4, hello.version);
  store<std::uint64_t>(out + 8, hello.source);
  store<std::uint64_t>(out + 16, hello.destination);
  store<std::uint32_t>(out + 24, hello.sourcePid);
  store<std::uint64_t>(out + 32, hello.incarnation);
  store<std::int32_t>(out + 48, static_cast<std::int32_t>(hello.type));
}

Parsed parseHello(const std::uint8_t* in, std::size_t have, Hello& hello) {
  if (have < 8) return {Parsed::Status::NeedMore, 8};
  if (load<std::uint32_t>(in) != kHelloMagic) return {Parsed::Status::BadMagic, 8};
  hello.version = load<std::uint32_t>(in + 4);
  if (hello.version < 2 || hello.version > 4) return {Parsed::Status::BadVersion, 8};
  const bool large = hello.version == 4;
  const std::size_t fixed = large ? kHelloV4Size : kHelloSize;
  if (have < fixed) return {Parsed::Status::NeedMore, fixed};
  const auto ips = load<std::uint32_t>(in + fixed - 4);
  if (ips > kHelloMaxIps) return {Parsed::Status::Unsupported, fixed};
  const std::size_t need = fixed + 4 * static_cast<std::size_t>(ips);
  if (have < need) return {Parsed::Status::NeedMore, need};
  hello.type = static_cast<ConnectionType>(load<std::int32_t>(in + fixed - 8));
  if (large) {
    if (!parseLargeNid(in + 8, hello.source) || !parseLargeNid(in + 28, hello.destination)) {
      return {Parsed::Status::Unsupported, need};
    }
    hello.sourcePid = load<std::uint32_t>(in + 48);
    hello.incarnation = load<std::uint64_t>(in + 56);
  } else {
    hello.source = load<std::uint64_t>(in + 8);
    hello.destination = load<std::uint64_t>(in + 16);
    hello.sourcePid = load<std::uint32_t>(in + 24);
    hello.incarnation = load<std::uint64_t>(in + 32);
  }
  return {Parsed::Status::Ok, need};
}

FrameHeader parseFrameHeader(const std::uint8_t* in) {
  return {load<std::uint32_t>(in), {load<std::uint64_t>(in + 8), load<std::uint64_t>(in + 16)}};
}

void encodeFrameHeader(std::uint8_t* out, std::uint32_t type, std::uint64_t ackCookie) {
  store<std::uint32_t>(out, type);
  store<std::uint32_t>(out + 4, 0);
  store<std::uint64_t>(out + 8, 0);
  store<std::uint64_t>(out + 16, ackCookie);
}

void encodeMessageHeader(std::uint8_t* out, const MessageHeader& h) {
  store<std::uint64_t>(out, h.destination);
  store<std::uint64_t>(out + 8, h.source);
  store<std::uint32_t>(out + 16, h.destinationPid);
  store<std::uint32_t>(out + 20, h.sourcePid);
  store<std::uint32_t>(out + 24, static_cast<std::uint32_t>(h.type));
  store<std::uint32_t>(out + 28, h.payloadLength);
  std::uint8_t* variant = out + 32;
  std::memset(variant, 0, 40);
  store<std::uint64_t>(variant, h.handle.interfaceCookie);
  store<std::uint64_t>(variant + 8, h.handle.object);
  switch (h.type) {
    case MessageType::Ack:
      store<std::uint64_t>(variant + 16, h.matchBits);
      store<std::uint32_t>(variant + 24, h.length);
      break;
    case MessageType::Put:
      store<std::uint64_t>(variant + 16, h.matchBits);
      store<std::uint64_t>(variant + 24, h.hdrData);
      store<std::uint32_t>(variant + 32, h.portal);
      store<std::uint32_t>(variant + 36, h.offset);
      break;
    case MessageType::Get:
      store<std::uint64_t>(variant + 16, h.matchBits);
      store<std::uint32_t>(variant + 24, h.portal);
      store<std::uint32_t>(variant + 28, h.offset);
      store<std::uint32_t>(variant + 32, h.length);
      break;
    case MessageType::Reply:
    case MessageType::Hello:
      break;
  }
}

int parseMessageHeader(const std::uint8_t* in, MessageHeader& h) {
  const auto type = load<std::uint32_t>(in + 24);
  h.destination = load<std::uint64_t>(in);
  h.source = load<std::uint64_t>(in + 8);
  h.destinationPid = load<std::uint32_t>(in + 16);
  h.sourcePid = load<std::uint32_t>(in + 20);
  h.payloadLength = load<std::uint32_t>(in + 28);
  if (type > static_cast<std::uint32_t>(MessageType::Reply)) return -EPROTO;
  h.type = static_cast<MessageType>(type);
  const bool bare = h.type == MessageType::Ack || h.type == MessageType::Get;
  if (h.payloadLength > (bare ? 0 : kMtu)) return -EPROTO;
  const std::uint8_t* variant = in + 32;
  h.handle = {load<std::uint64_t>(variant), load<std::uint64_t>(variant + 8)};
  h.matchBits = load<std::uint64_t>(variant + 16);
  h.hdrData = 0;
  h.portal = h.offset = h.length = 0;
  switch (h.type) {
    case MessageType::Ack:
      h.length = load<std::uint32_t>(variant + 24);
      break;
    case MessageType::Put:
      h.hdrData = load<std::uint64_t>(variant + 24);
      h.portal = load<std::uint32_t>(variant + 32);
      h.offset = load<std::uint32_t>(variant + 36);
      break;
    case MessageType::Get:
      h.portal = load<std::uint32_t>(variant + 24);
      h.offset = load<std::uint32_t>(variant + 28);
      h.length = load<std::uint32_t>(variant + 32);
      break;
    case MessageType::Reply:
    case MessageType::Hello:
      h.matchBits = 0;
      break;
  }
  return 0;
}

void encodePingInfo(std::uint8_t* out, Nid nid) {
  std::memset(out, 0, kPingInfoSize);
  store<std::uint32_t>(out, kPingMagic);
  store<std::uint32_t>(out + 4, kPingFeatures);
  store<std::uint32_t>(out + 8, kPidLustre);
  store<std::uint32_t>(out + 12, 2);
  store<std::uint64_t>(out + 16, kLoopbackNid);
  store<std::uint32_t>(out + 24, kStatusUp);
  store<std::uint64_t>(out + 32, nid);
  store<std::uint32_t>(out + 40, kStatusUp);
}

}  // namespace lustre::lnet
