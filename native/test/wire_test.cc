#include "wire.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

using namespace lustre::lnet;

namespace {

std::vector<std::uint8_t> bytesOf(const std::string& hex) {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

constexpr Nid kServer = 0x000200000A00020F;  // 10.0.2.15@tcp
constexpr Nid kClient = 0x000200000A000210;

}  // namespace

// The bytes are a kernel's: guide 02 §13, captures/01-mount-df-umount.pcap packets 4 to 8.
TEST_CASE("acceptor request and HELLO are a kernel's, byte for byte") {
  std::vector<std::uint8_t> request(kAcceptorRequestV1Size);
  encodeAcceptorRequest(request.data(), kServer);
  CHECK(request == bytesOf("0071ceac010000000f02000a00000200"));

  std::vector<std::uint8_t> bytes(kHelloSize);
  Hello hello;
  hello.source = kClient;
  hello.destination = kServer;
  hello.incarnation = 0x18ea53c965f02351;
  hello.type = ConnectionType::Control;
  encodeHello(bytes.data(), hello);
  CHECK(bytes == bytesOf("63697245030000001002000a000002000f02000a0000020039300000000000005123f065c953ea18"
                         "00000000000000000100000000000000"));
}

TEST_CASE("acceptor requests: what is read of each form") {
  Nid target = 0;
  const auto v1 = bytesOf("0071ceac010000000f02000a00000200");
  CHECK(parseAcceptorRequest(v1.data(), 8, target).need == 16);
  CHECK(parseAcceptorRequest(v1.data(), v1.size(), target).status == Parsed::Status::Ok);
  CHECK(target == kServer);
  const auto v2 = bytesOf(
      "0071ceac02000000"
      "00020000"
      "0a00020f"
      "000000000000000000000000");
  CHECK(parseAcceptorRequest(v2.data(), 8, target).need == 28);
  CHECK(parseAcceptorRequest(v2.data(), v2.size(), target).status == Parsed::Status::Ok);
  CHECK(target == kServer);
  const auto v6 = bytesOf(
      "0071ceac02000000"
      "0c020000"
      "0a00020f"
      "000000000000000000000000");
  CHECK(parseAcceptorRequest(v6.data(), v6.size(), target).status == Parsed::Status::Unsupported);
  const auto v3 = bytesOf("0071ceac03000000");
  CHECK(parseAcceptorRequest(v3.data(), v3.size(), target).status == Parsed::Status::BadVersion);
  const auto magic = bytesOf("0071cead01000000");
  CHECK(parseAcceptorRequest(magic.data(), magic.size(), target).status == Parsed::Status::BadMagic);
}

TEST_CASE("HELLO: lengths, versions, address counts") {
  Hello hello;
  std::vector<std::uint8_t> bytes(kHandshakeMax);
  hello.source = kClient;
  hello.type = ConnectionType::BulkIn;
  encodeHello(bytes.data(), hello);
  CHECK(parseHello(bytes.data(), 8, hello).need == kHelloSize);
  CHECK(parseHello(bytes.data(), kHelloSize, hello).status == Parsed::Status::Ok);
  bytes[52] = 16;
  CHECK(parseHello(bytes.data(), kHelloSize, hello).need == kHelloSize + 64);
  bytes[52] = 17;
  CHECK(parseHello(bytes.data(), kHelloSize, hello).status == Parsed::Status::Unsupported);
  bytes[52] = 0;
  bytes[4] = 4;
  CHECK(parseHello(bytes.data(), 8, hello).need == kHelloV4Size);
  bytes[4] = 5;
  CHECK(parseHello(bytes.data(), 8, hello).status == Parsed::Status::BadVersion);
  bytes[0] = 0;
  CHECK(parseHello(bytes.data(), 8, hello).status == Parsed::Status::BadMagic);
}

TEST_CASE("connection types invert") {
  CHECK(invertType(ConnectionType::Control) == ConnectionType::Control);
  CHECK(invertType(ConnectionType::BulkIn) == ConnectionType::BulkOut);
  CHECK(invertType(ConnectionType::BulkOut) == ConnectionType::BulkIn);
  CHECK_FALSE(invertType(ConnectionType::None).has_value());
  CHECK_FALSE(invertType(static_cast<ConnectionType>(7)).has_value());
}

TEST_CASE("message headers survive the trip; lengths and types are checked") {
  MessageHeader put;
  put.type = MessageType::Put;
  put.destination = kServer;
  put.source = kClient;
  put.payloadLength = kMtu;
  put.handle = {1, 2};
  put.matchBits = 3;
  put.hdrData = 4;
  put.portal = 5;
  put.offset = 6;
  std::vector<std::uint8_t> bytes(kMessageHeaderSize);
  encodeMessageHeader(bytes.data(), put);
  MessageHeader back;
  REQUIRE(parseMessageHeader(bytes.data(), back) == 0);
  CHECK(back.destination == kServer);
  CHECK(back.handle.object == 2);
  CHECK(back.hdrData == 4);
  CHECK(back.portal == 5);
  CHECK(back.offset == 6);
  put.payloadLength = kMtu + 1;
  encodeMessageHeader(bytes.data(), put);
  CHECK(parseMessageHeader(bytes.data(), back) == -EPROTO);
  for (const auto type : {MessageType::Ack, MessageType::Get}) {
    put.type = type;
    put.payloadLength = 1;
    encodeMessageHeader(bytes.data(), put);
    CHECK(parseMessageHeader(bytes.data(), back) == -EPROTO);
  }
  put.type = MessageType::Hello;
  put.payloadLength = 0;
  encodeMessageHeader(bytes.data(), put);
  CHECK(parseMessageHeader(bytes.data(), back) == -EPROTO);
}

// A kernel's ping GET: captures/01-mount-df-umount.pcap packet 10 (its LNet header).
TEST_CASE("a kernel's ping GET is read field by field") {
  const auto bytes = bytesOf(
      "0f02000a000002001002000a0000020039300000393000000200000000000000"
      "20e0a761c953ea1809000000000000000000000000000080"
      "00000000"
      "00000000"
      "10010000"
      "00000000");
  MessageHeader get;
  REQUIRE(parseMessageHeader(bytes.data(), get) == 0);
  CHECK(get.type == MessageType::Get);
  CHECK(get.handle.interfaceCookie == 0x18ea53c961a7e020);
  CHECK(get.handle.object == 9);
  CHECK(get.matchBits == kPingMatchBits);
  CHECK(get.portal == 0);
  CHECK(get.length == 272);
}
