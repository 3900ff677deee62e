// LNet and socklnd on the wire (guide 01 §2, §3, §9; guide 02 §2 to §4). The only place in native/ that knows
// an offset of the protocol. Everything is little endian but the 20-byte NIDs; big-endian senders are
// refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace lustre::lnet {

using Nid = std::uint64_t;

inline constexpr Nid kNidAny = ~Nid{0};
inline constexpr Nid kLoopbackNid = Nid{9} << 48;
inline constexpr std::uint32_t kPidLustre = 12345;
inline constexpr std::uint32_t kPidAny = ~std::uint32_t{0};
inline constexpr std::uint32_t kMtu = 1u << 20;

inline constexpr std::uint32_t nidNet(Nid nid) {
  return static_cast<std::uint32_t>(nid >> 32);
}
inline constexpr std::uint32_t nidAddress(Nid nid) {
  return static_cast<std::uint32_t>(nid);
}

// ---- acceptor request (guide 02 §2)
inline constexpr std::uint32_t kAcceptorMagic = 0xACCE7100;
inline constexpr std::size_t kAcceptorRequestV1Size = 16;
inline constexpr std::size_t kAcceptorRequestV2Size = 28;

void encodeAcceptorRequest(std::uint8_t* out, Nid target);

struct Parsed {
  enum class Status { NeedMore, Ok, BadMagic, BadVersion, Unsupported };
  Status status;
  std::size_t need;  // bytes of the whole item, as far as known
};

Parsed parseAcceptorRequest(const std::uint8_t* in, std::size_t have, Nid& target);

// ---- HELLO (guide 02 §3)
inline constexpr std::uint32_t kHelloMagic = 0x45726963;
inline constexpr std::size_t kHelloSize = 56;
inline constexpr std::size_t kHelloV4Size = 80;
inline constexpr std::uint32_t kHelloMaxIps = 16;
inline constexpr std::size_t kHandshakeMax = kHelloV4Size + 4 * kHelloMaxIps;

enum class ConnectionType : std::int32_t { None = -1, Any = 0, Control = 1, BulkIn = 2, BulkOut = 3 };

// The type as the other side sees it; nullopt for what may not be asked for.
std::optional<ConnectionType> invertType(ConnectionType type);
const char* typeName(ConnectionType type);

struct Hello {
  std::uint32_t version = 3;
  Nid source = 0;
  Nid destination = 0;
  std::uint32_t sourcePid = kPidLustre;
  std::uint64_t incarnation = 0;
  ConnectionType type = ConnectionType::None;
};

void encodeHello(std::uint8_t* out, const Hello& hello);
// `need` grows as the version and the address count become known; never beyond kHandshakeMax.
Parsed parseHello(const std::uint8_t* in, std::size_t have, Hello& hello);

// ---- socklnd frame (guide 02 §4)
inline constexpr std::uint32_t kFrameNoop = 0xC0;
inline constexpr std::uint32_t kFrameLnet = 0xC1;
inline constexpr std::size_t kFrameHeaderSize = 24;
inline constexpr std::size_t kMessageHeaderSize = 72;
inline constexpr std::size_t kFullHeaderSize = kFrameHeaderSize + kMessageHeaderSize;
inline constexpr std::uint64_t kKeepaliveCookie = 1;

struct FrameHeader {
  std::uint32_t type;
  std::array<std::uint64_t, 2> cookies;
};

FrameHeader parseFrameHeader(const std::uint8_t* in);
void encodeFrameHeader(std::uint8_t* out, std::uint32_t type, std::uint64_t ackCookie = 0);

// ---- LNet header (guide 01 §3)
enum class MessageType : std::uint32_t { Ack = 0, Put = 1, Get = 2, Reply = 3, Hello = 4 };

struct WireHandle {
  std::uint64_t interfaceCookie = ~std::uint64_t{0};
  std::uint64_t object = ~std::uint64_t{0};
  bool none() const { return interfaceCookie == ~std::uint64_t{0} && object == ~std::uint64_t{0}; }
};

struct MessageHeader {
  Nid destination = 0;
  Nid source = 0;
  std::uint32_t destinationPid = kPidLustre;
  std::uint32_t sourcePid = kPidLustre;
  MessageType type = MessageType::Ack;
  std::uint32_t payloadLength = 0;
  WireHandle handle;            // ack_wmd, return_wmd or dst_wmd
  std::uint64_t matchBits = 0;  // PUT, GET, ACK
  std::uint64_t hdrData = 0;    // PUT
  std::uint32_t portal = 0;     // PUT, GET
  std::uint32_t offset = 0;     // PUT, GET
  std::uint32_t length = 0;     // GET: sink length; ACK: mlength
};

void encodeMessageHeader(std::uint8_t* out, const MessageHeader& header);
// Reads the header and applies the checks that need nothing but it (guide 01 §4, 1 to 3): 0 or -EPROTO.
int parseMessageHeader(const std::uint8_t* in, MessageHeader& header);

// ---- ping (guide 01 §9)
inline constexpr std::uint32_t kPingPortal = 0;
inline constexpr std::uint64_t kPingMatchBits = std::uint64_t{1} << 63;
inline constexpr std::size_t kPingInfoSize = 48;
// NI_STATUS | RTE_DISABLED | MULTI_RAIL without DISCOVERY, as a kernel node whose discovery is switched off:
// the "simple" profile of guide 01 §9.3. Without MULTI_RAIL a kernel client, which takes new servers for
// multi-rail ones until they answer, complains of each on its console ("Multi-Rail state vanished"); without
// DISCOVERY it is no multi-rail peer to it.
inline constexpr std::uint32_t kPingFeatures = 0x0e;

void encodePingInfo(std::uint8_t* out, Nid nid);

}  // namespace lustre::lnet
