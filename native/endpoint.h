// An LNet endpoint: one NID, its descriptors and portals, its peers and their connections, one I/O thread.
//
// Locks. `mutex_` guards descriptors, portals, peers, memory and the event ring. `Connection::txMutex` guards
// what is queued on a connection; it may be taken while `mutex_` is held, never the other way round. System
// calls that move payload run under neither.
//
// Threads. The owner's thread (JavaScript) calls the public functions; the I/O thread runs `run()`; what
// comes out of files is sent by threads that may wait for a disk (senders.h), and what goes into files is
// received by such (receivers.h). Connections are opened, otherwise read, and closed in turns, one at a time
// (`turnMutex_`): by the I/O thread, or by the owner's while that is quick and only small messages come
// (owner_turn.cc). Any thread sends. `turnMutex_` is taken before the other two.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "connection.h"
#include "event_ring.h"
#include "match_table.h"
#include "memory_table.h"
#include "receivers.h"
#include "senders.h"
#include "socket.h"
#include "wake_policy.h"
#include "wire.h"

namespace lustre::lnet {

struct EndpointConfig {
  Nid nid = 0;
  std::uint16_t port = 988;
  bool accept = true;
  std::string listenHost;  // empty: the NID's address
  int listenPort = -1;     // -1: `port`
  std::vector<std::pair<Nid, SocketAddress>> nidMap;
  int connsPerPeer = 1;
  int socketTimeoutMs = 50'000;
  int responseTimeoutMs = 150'000;  // lnet_transaction_timeout
  bool acceptUnprivileged = true;
  std::uint64_t interfaceCookie = 0;
  std::uint64_t incarnation = 0;
};

// Text for the log and for `lastError`.
struct Notice {
  enum class Kind : std::uint8_t { Log = 0, ConnectFailed = 1, PeerDown = 2 };
  enum class Level : std::uint8_t { Debug = 20, Info = 30, Warn = 40 };
  Kind kind = Kind::Log;
  Level level = Level::Debug;
  Nid nid = kNidAny;
  int error = 0;  // positive errno
  std::string text;
};

struct SegmentRef {
  MemoryId memory;
  std::uint32_t offset;
  std::uint32_t length;
};

struct Operation {
  Nid peer = kNidAny;
  std::uint32_t peerPid = kPidAny;
  std::uint32_t portal = 0;
  std::uint64_t matchBits = 0;
  std::uint64_t ignoreBits = 0;
  std::uint64_t hdrData = 0;
  std::uint32_t threshold = kThresholdInfinite;
  std::uint32_t options = 0;
  std::uint32_t maxSize = 0;
  std::uint32_t offset = 0;
  std::uint32_t finalOffset = kNoFinalOffset;
  std::uint32_t handler = 0;
  std::uint32_t generation = 0;
  bool autoUnlink = false;
  bool before = false;
  bool ack = false;
  bool quiet = false;  // a PUT without ACK: see kSent
  bool later = false;  // what is sent waits for sendLater(), so that one call writes many messages
  const SegmentRef* segments = nullptr;
  std::size_t segmentCount = 0;
  // Instead of segments: what a PUT sends or a GET that comes takes, or where a GET's REPLY or what is put
  // goes.
  const FileRange* file = nullptr;
  // Of what is received: by an attached descriptor, or as a GET's REPLY.
  ChecksumType checksum = ChecksumType::kNone;
};

// All of a quiet PUT is in the socket.
inline constexpr int kSent = 1;

// The listener in the endpoint's epoll instance; connections have their own numbers.
inline constexpr std::uint64_t kListenerId = ~std::uint64_t{0} - 1;
// What one turn takes from it.
inline constexpr int kEventsMax = 64;

struct Counters {
  std::atomic<std::uint64_t> sendMessages = 0, sendBytes = 0, receiveMessages = 0, receiveBytes = 0,
                             dropped = 0, systemCalls = 0, wakeups = 0, connectionsOpen = 0;
};

class Endpoint {
 public:
  // `ringMemory` as EventRing wants it; it and `wake` (any thread; rouses the consumer) outlive the endpoint.
  Endpoint(EndpointConfig config, void* ringMemory, std::uint32_t ringEntries, std::function<void()> wake);
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  // Opens the listener and starts the thread. 0, or -errno with the reason in `text`.
  int start(std::string& text);
  std::uint16_t listenPort() const { return listenPort_; }

  // Each returns 0 and the descriptor's number, or -errno; then there is no descriptor and no event. A
  // `quiet` PUT may return kSent: there is no descriptor any more, and no event either.
  int attach(const Operation& operation, std::uint64_t& object);
  int put(const Operation& operation, std::uint64_t& object);
  int get(const Operation& operation, std::uint64_t& object);
  // When it returns nothing is written into a file any more that the descriptor has.
  void unlink(std::uint64_t object);
  // Sends what operations with `later` have queued.
  void sendLater();
  int setLazyPortal(std::uint32_t portal);

  MemoryId addMemory(std::uint8_t* bytes, std::size_t length);
  void releaseMemory(MemoryId id);
  // The pieces for a checksum; 0 or -errno.
  int locate(const SegmentRef* segments, std::size_t count, std::vector<iovec>& pieces);

  // After the consumer drained and saw the attention word: memory whose owner may let go of it now.
  std::vector<MemoryId> attend();
  std::deque<Notice> takeNotices();
  const Counters& counters() const { return counters_; }

  // Begins to close: every descriptor gets its last event, then a Closed event comes. `quick` waits for
  // nothing.
  void beginClose(bool quick);
  // Waits for the I/O thread, which must have been told to close.
  void join();

  // ---- the owner reads (owner_turn.cc); on its thread
  // A descriptor that polls as readable when a turn has something to do.
  int readiness() const { return epoll_; }
  // Whether it pays: no bulk has moved lately, and the owner has not been late.
  bool ownerMayRead() const;
  // Does what has come; the I/O thread stands aside from then on. False when it has taken over again.
  bool ownerTurn();
  bool hasEvents() const { return ring_.used() > 0; }

 private:
  friend class Connection;
  using Lock = std::unique_lock<std::mutex>;
  using ConnectionPtr = std::shared_ptr<Connection>;

  // ---- endpoint.cc: operations and messages; all with `mutex_` held
  int describe(const Operation& operation, Md::Kind kind, Md*& md);
  void unlink(Md* md);
  ConnectionPtr start(Md* md, const Operation& operation, MessageHeader& header, std::uint64_t& object);
  static int payloadToSelf(Md& md, std::uint32_t offset, std::uint32_t length,
                           std::vector<std::uint8_t>& bytes, iovec& piece, ScatterCursor& payload);
  static void tellOfFile(const Md& md, Event& event);
  static void deposit(Md& md, std::uint32_t offset, const ScatterCursor& from);
  static std::uint32_t sumOf(ChecksumType type, const ScatterCursor& payload);
  void putToSelf(Md* md, const MessageHeader& header);
  void getFromSelf(Md* md, const MessageHeader& header);
  bool isSelf(Nid nid) const { return nid == config_.nid || nid == kLoopbackNid; }
  MatchQuery queryOf(const MessageHeader& header) const;
  Event eventOf(const Md& md, EventType type, int status) const;
  Event eventOf(const Md& md, EventType type, int status, const MessageHeader& header, std::uint32_t offset,
                std::uint32_t mlength) const;
  bool finished(const Md& md) const;
  void deliver(Md* md, Event event, Worth worth = Worth::Urgent);
  void announce(const Event& event, Worth worth = Worth::Urgent);
  void discard(Md* md);
  void startWaiting(Md* md);
  void stopWaiting(Md* md);
  void failWaiting(Nid peer, int error);
  void acknowledge(const MessageHeader& put, std::uint32_t options, std::uint32_t mlength, Nid via);
  void acknowledgement(const MessageHeader& ack, Nid from);
  void unparkInto(Md* md);
  std::unique_ptr<ParkedMessage> reserve(const MessageHeader& header, Nid via);
  void unreserve(const ParkedMessage& message);
  void park(std::unique_ptr<ParkedMessage> message);
  void unpark(ParkedMessage& message, const MatchResult& match);
  TxMessage* newMessage(TxMessage::Kind kind, Peer* peer);
  void buildMessage(TxMessage* message, const MessageHeader& header, const ScatterCursor& payload);
  void endMessage(TxMessage* message, int status);
  void drop(const char* why, const MessageHeader& header);
  void notice(Notice::Kind kind, Notice::Level level, Nid nid, int error, std::string text);

  // ---- receive side of a connection (in a turn, or by a receiver)
  int onMessage(Connection& c, const MessageHeader& header, ScatterCursor& target,
                FrameHandler::Decision& decision);
  void onPut(Connection& c, const MessageHeader& header, ScatterCursor& target);
  void onGet(Connection& c, const MessageHeader& header);
  void onReply(Connection& c, const MessageHeader& header, ScatterCursor& target);
  void onMessageEnd(Connection& c, const MessageHeader& header, std::uint64_t zeroCopyCookie);
  void replyTo(Connection& c, const MessageHeader& get, Md* md);
  void replyToPing(Connection& c, const MessageHeader& get);
  void acknowledgeZeroCopy(Connection& c, std::uint64_t cookie);
  void abortReceive(Connection& c, int error);
  static void takeInto(Connection& c, ScatterCursor& target);
  bool goesToFile(const Connection& c, const MessageHeader& header);

  // ---- handed_over.cc
  void handOver(const ConnectionPtr& c);
  void receiveHandedOver(const ConnectionPtr& c, Receivers::Piece& piece);
  void giveBack(const ConnectionPtr& c);
  bool endIfClosed(const ConnectionPtr& c);
  void wakeFromReceiver();
  void takeBack();
  void endReceivers();

  // ---- transmit.cc
  Peer* peerOf(Nid nid);
  ConnectionPtr pick(const Peer& peer, std::size_t size) const;
  // Queues; the connection to flush, or null when it waits for one.
  ConnectionPtr submit(TxMessage* message);
  void enqueue(const ConnectionPtr& c, TxMessage* message);
  void submitResponse(TxMessage* message);
  void wantFlush(const ConnectionPtr& c);
  enum class Flusher : std::uint8_t { Owner, Turn, Sender };
  void flush(const ConnectionPtr& c, Flusher who);
  int stage(Connection& c, TxMessage& message, iovec* out);
  void unstage(Connection& c, std::size_t bytes);
  void flushOrDefer(ConnectionPtr c, bool later);
  void flushPending(Peer& peer);
  void failPending(Peer& peer, int error);

  // ---- endpoint_io.cc and peering.cc: in a turn
  void run();
  void turn(const epoll_event* events, int count);
  bool guessReader();
  void flushWritable();
  void takeWake();
  void wakeThread();
  void maybeWake();
  void noteBulk(Connection& c);
  bool worthSharing(const Connection& c) const;
  void bulkMoves();
  void standAside(int timeoutMs);
  void lookAfterOwner();
  void ownerStops();
  static void setLowWater(Connection& c);
  void flushAllWanted();
  void takeRequests();
  void acceptConnections();
  static bool isHalfOpen(const ConnectionPtr& c);
  void dropOldestHalfOpen();
  void handle(const ConnectionPtr& c, std::uint32_t events);
  void handshakeRead(const ConnectionPtr& c);
  int handshakeStep(const ConnectionPtr& c);
  int onAcceptorRequest(const ConnectionPtr& c);
  int onHello(const ConnectionPtr& c);
  int onHelloRequest(const ConnectionPtr& c, const Hello& hello);
  int onHelloAnswer(const ConnectionPtr& c, const Hello& hello);
  void answerAcceptor(const Connection& c);
  int sendHello(const Connection& c, Nid to, ConnectionType type, std::uint32_t version);
  std::string hangupReason(const Connection& c) const;
  void connected(const ConnectionPtr& c);
  void establish(const ConnectionPtr& c, const Hello& hello);
  bool read(const ConnectionPtr& c);
  bool receive(const ConnectionPtr& c);
  Arrival arrive(Connection& c, bool untilBulk);
  void arrived(const ConnectionPtr& c, const Arrival& arrival);
  void standsStill(const ConnectionPtr& c);
  void resumeWaiting();
  void pursue(Peer& peer);
  bool missingType(const Peer& peer, ConnectionType& type) const;
  void startAttempt(Peer& peer, ConnectionType type);
  void attemptFailed(Peer& peer, int error, const std::string& reason);
  void attemptRefused(Peer& peer);
  void closeConnection(const ConnectionPtr& c, int error, const std::string& reason,
                       Notice::Level level = Notice::Level::Warn);
  void lastLook(Peer& peer, const Connection& closed);
  void closeOne(const ConnectionPtr& c, int error);
  void closePeer(Peer& peer, int error, const std::string& reason, Notice::Level level = Notice::Level::Warn);
  void watch(const ConnectionPtr& c);
  void tick();
  void tickPeer(Peer& peer);
  void forgetIdlePeers();
  void schedule(std::int64_t at);
  bool closeStep();
  void shutDown();
  static std::int64_t now();
  static std::int64_t nowUs();

  const EndpointConfig config_;
  const std::function<void()> wake_;
  std::unordered_map<Nid, SocketAddress> addresses_;

  std::mutex mutex_;
  EventRing ring_;
  WakePolicy wakes_;
  MatchTable table_;
  MemoryTable memory_;
  std::unordered_map<Nid, std::unique_ptr<Peer>> peers_;
  std::array<bool, kPortals> lazy_{};
  std::array<std::deque<std::unique_ptr<ParkedMessage>>, kPortals> parked_;
  std::size_t parkedBytes_ = 0;
  std::size_t parkedCount_ = 0;
  Md* waitHead_ = nullptr;
  Md* waitTail_ = nullptr;
  std::deque<Notice> notices_;
  std::uint64_t noticesLost_ = 0;
  bool noticeAnnounced_ = false;
  TxMessage* freeMessages_ = nullptr;
  std::vector<std::unique_ptr<TxMessage[]>> messageSlabs_;
  std::vector<Peer*> connectWanted_;
  std::vector<ConnectionPtr> flushWanted_;
  std::vector<ConnectionPtr> givenBack_;  // by receivers
  std::vector<ConnectionPtr> dying_;      // closed while receivers had them
  std::atomic<bool> closing_ = false;
  bool closeQuick_ = false;
  bool resumeWanted_ = false;
  std::uint64_t quietEnded_ = 0;  // the descriptor whose event was left out last

  Counters counters_;
  std::atomic<bool> threadWoken_ = false;
  std::atomic<int> bulkComing_ = 0;          // connections in the middle of a large payload
  std::atomic<std::thread::id> turnThread_;  // whose turn it is
  std::vector<ConnectionPtr> sendLater_;     // the owner's thread only
  std::atomic<bool> ownerReads_ = false;
  std::atomic<std::uint32_t> ownerTurns_ = 0;
  std::atomic<std::int64_t> ownerNotBefore_ = 0;

  // ---- in a turn only
  std::mutex turnMutex_;
  bool ownersTurn_ = false;
  int epoll_ = -1;
  // Connections whose sockets have room again, an epoll instance within the first: a socket that can be read
  // is nearly always one that could be written, and its entry would stay until somebody asked for it.
  int writable_ = -1;
  int event_ = -1;
  int listener_ = -1;
  bool listenerPaused_ = false;
  std::uint16_t listenPort_ = 0;
  std::unordered_map<std::uint64_t, ConnectionPtr> connections_;  // by `Connection::id`
  std::uint64_t lastConnection_ = 0;
  std::vector<ConnectionPtr> graveyard_;
  std::vector<ConnectionPtr> readable_;
  ConnectionPtr lastRead_;              // what the owner's next turn tries first ...
  int guesses_ = 0;                     // ... if that has been right less often than kGuessesMax in a row
  std::vector<ConnectionPtr> waiting_;  // parsers that stand still for want of room
  std::size_t halfOpen_ = 0;
  std::deque<std::weak_ptr<Connection>> halfOpenOrder_;  // oldest first; some have gone on
  std::int64_t nextTick_ = 0;
  std::int64_t closeDeadline_ = 0;
  std::uint32_t ownerTurnsSeen_ = 0;
  std::int64_t ownerChecked_ = 0;  // when it was last looked after
  int ownerIdle_ = 0;              // looks at it in a row that found nothing done and nothing to do
  std::thread thread_;
  const bool receiversShare_ = std::thread::hardware_concurrency() > 1;
  // The last members: their threads use the others.
  Senders senders_;
  Receivers receivers_;
};

}  // namespace lustre::lnet
