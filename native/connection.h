// One TCP connection of a peer (guide 02), and the messages queued on it.
#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "event_ring.h"
#include "file_source.h"
#include "frame_parser.h"
#include "match_table.h"
#include "socket.h"
#include "wire.h"

namespace lustre::lnet {

class Endpoint;
struct Peer;

// A message on its way out: pooled, on one queue at a time.
struct TxMessage {
  enum class Kind : std::uint8_t { Put, Get, Ack, Reply, Noop };

  TxMessage* next = nullptr;
  Kind kind = Kind::Noop;
  // Made by the I/O thread in answer to the peer, so the peer decides how many there are: counted and
  // bounded.
  bool response = false;
  std::uint32_t headerLength = 0;
  std::size_t size = 0;  // header and payload
  std::size_t sent = 0;
  Md* md = nullptr;  // referenced while the message lives
  Peer* peer = nullptr;
  std::int64_t deadline = 0;  // while it waits for a connection
  Event event;                // for a REPLY: the GET event of the descriptor it reads
  ScatterCursor payload;
  FileSource* file = nullptr;  // the descriptor's, instead of `payload`
  iovec inlinePiece{};
  std::array<std::uint8_t, kFullHeaderSize> header{};
  std::array<std::uint8_t, kPingInfoSize> inlinePayload{};
};

struct TxQueue {
  TxMessage* head = nullptr;
  TxMessage* tail = nullptr;

  bool empty() const { return head == nullptr; }
  void push(TxMessage* message) {
    message->next = nullptr;
    (tail != nullptr ? tail->next : head) = message;
    tail = message;
  }
  TxMessage* pop() {
    TxMessage* message = head;
    if (message != nullptr) {
      head = message->next;
      if (head == nullptr) tail = nullptr;
    }
    return message;
  }
  bool remove(const TxMessage* message) {
    TxMessage* previous = nullptr;
    for (TxMessage* m = head; m != nullptr; previous = m, m = m->next) {
      if (m != message) continue;
      (previous != nullptr ? previous->next : head) = m->next;
      if (tail == m) tail = previous;
      return true;
    }
    return false;
  }
};

// How reading a connection came to an end.
struct Arrival {
  enum class How : std::uint8_t {
    Drained,  // nothing more has come
    More,     // others should have their turn
    Stood,    // the parser waits for room, or for a receiver
    Shared,   // others bring bulk, too: a receiver goes on
    Ended,    // the peer has closed (error 0), or the socket failed
    Broke,    // the peer broke the protocol
  };
  How how = How::Drained;
  int error = 0;
  bool any = false;  // something had come
};

// A PUT that found no buffer on a lazy portal, with its payload.
struct ParkedMessage {
  MessageHeader header;
  Nid via = 0;  // the peer that it came from
  std::vector<std::uint8_t> payload;
  iovec piece{};
};

class Connection final : public FrameHandler, public std::enable_shared_from_this<Connection> {
 public:
  enum class Stage {
    Connecting,    // active: TCP handshake
    AwaitAnswer,   // active: our HELLO is out, the peer's is not in
    AwaitRequest,  // passive: acceptor request
    AwaitHello,    // passive: HELLO
    Established,
    Closed,
  };
  // What becomes of the message that is being received.
  enum class Receiving { Nothing, Skip, Put, Park, Push, Get, Ping, Ack, Reply };

  Connection(Endpoint& endpoint, int socket, Stage initial, bool isActive)
      : fd(socket), active(isActive), stage(initial), parser(*this), endpoint_(endpoint) {}
  ~Connection() { close(fd); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int onMessage(const MessageHeader& header, ScatterCursor& target, Decision& decision) override;
  void onMessageEnd(const MessageHeader& header, std::uint64_t zeroCopyCookie) override;
  void onNoop(const FrameHeader& frame) override;

  const int fd;
  const bool active;

  std::uint64_t id = 0;  // in the endpoint's epoll instance; fixed from then on

  // ---- in a turn only
  Stage stage;
  bool reservedPort = true;
  std::string handshakeText;  // why it failed
  std::int64_t deadline = 0;  // of the handshake
  std::array<std::uint8_t, kHandshakeMax> handshake{};
  std::size_t handshakeHave = 0;
  std::size_t handshakeNeed = 0;
  SocketAddress remote;
  bool readable = false;    // on the list of those with more to read
  bool hangup = false;      // the peer has closed; read until the end
  bool handedOver = false;  // to the receivers: what follows is theirs

  // ---- whose turn it is; the receivers, one at a time, while it is handed over
  FrameParser parser;
  bool wantsReceiver = false;  // it stands still because the next message goes into a file
  bool bulkSeen = false;       // since the receiver began to read
  Arrival arrival;             // why the receivers gave it back
  bool midBulk = false;        // counted as being in the middle of a large payload
  bool lowWater = false;       // the socket reports nothing below kLowWater bytes
  Receiving receiving = Receiving::Nothing;
  Md* rxMd = nullptr;
  std::uint32_t rxOffset = 0;
  std::uint32_t rxLength = 0;
  std::unique_ptr<ParkedMessage> rxParked;

  // ---- any thread
  std::atomic<std::int64_t> lastReceived = 0;
  std::atomic<bool> stuckMidMessage = false;  // what a receiver left when nothing more had come

  // ---- guarded by the endpoint's mutex
  bool withReceivers = false;  // they may be at it
  int rxError = 0;             // closed meanwhile: whoever has it of them ends what it received
  bool flushWanted = false;    // on the list of those that the next turn flushes

  // ---- fixed before it is Established
  ConnectionType type = ConnectionType::None;
  Peer* peer = nullptr;
  std::uint32_t version = 3;

  // ---- sending; guarded by txMutex
  std::mutex txMutex;
  TxQueue txQueue;
  bool txFlushing = false;  // one thread is in sendmsg; only it touches txStage
  std::unique_ptr<SendStage> txStage;
  bool txBlocked = false;  // the socket is full; a turn hears when it is not
  bool txEdge = false;     // it became writable while a thread was in sendmsg
  bool txDead = false;     // set under the endpoint's mutex too
  int txError = 0;
  std::int64_t txProgress = 0;
  std::atomic<std::size_t> txBytes = 0;

 private:
  Endpoint& endpoint_;
};

struct Peer {
  Nid nid = 0;
  SocketAddress address;
  std::vector<std::shared_ptr<Connection>> connections;  // established
  std::shared_ptr<Connection> attempt;                   // being set up by us
  bool settingUp = false;                                // connections of more types are on their way
  TxQueue pending;
  bool wanted = false;   // somebody waits for a connection
  bool persist = false;  // connect again although nothing waits
  bool active = false;   // we connected to it (or tried); else it connected to us
  bool ending = false;   // its connections are about to be closed
  std::int64_t nextAttempt = 0;
  int backoffMs = 0;
  int refusals = 0;
  std::uint64_t incarnation = 0;
  std::uint32_t version = 0;
  std::atomic<std::int64_t> lastHeard = 0;
  std::int64_t lastKeepalive = 0;
  std::size_t responses = 0;  // queued and not yet sent

  int count(ConnectionType type) const {
    int n = 0;
    for (const auto& c : connections) n += c->type == type ? 1 : 0;
    return n;
  }
};

}  // namespace lustre::lnet
