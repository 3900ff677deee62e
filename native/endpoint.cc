// Operations, matching and events (guide 01 §4 to §6).
#include "endpoint.h"

#include <algorithm>
#include <cerrno>

namespace lustre::lnet {
namespace {

constexpr std::size_t kNoticesMax = 512;
// What peers may park on lazy portals of one endpoint.
constexpr std::size_t kParkedBytesMax = 64u << 20;
constexpr std::size_t kParkedCountMax = 4096;
// Answers that a peer may have queued before we stop reading from it.
constexpr std::size_t kResponsesMax = 4096;

}  // namespace

// ---------------------------------------------------------------- operations (the owner's thread)

int Endpoint::describe(const Operation& operation, Md::Kind kind, Md*& md) {
  if (closing_) return -ESHUTDOWN;
  const bool bounded = kind != Md::Kind::Attached;
  if (operation.segmentCount > kMaxFragments || operation.portal >= kPortals) return -EINVAL;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < operation.segmentCount; ++i) {
    const SegmentRef& s = operation.segments[i];
    if (memory_.piece(s.memory, s.offset, s.length) == nullptr) return -EINVAL;
    length += s.length;
  }
  if (length > (bounded ? kMtu : 0x7fff'ffffu)) return -EINVAL;
  md = table_.create(kind);
  if (md == nullptr) return -ENOMEM;
  for (std::size_t i = 0; i < operation.segmentCount; ++i) {
    const SegmentRef& s = operation.segments[i];
    if (s.length == 0) continue;
    md->pieces.push_back({memory_.piece(s.memory, s.offset, s.length), s.length});
    md->memories.push_back(s.memory);
    memory_.use(s.memory);
  }
  md->length = static_cast<std::uint32_t>(length);
  md->options = operation.options;
  md->threshold = operation.threshold;
  md->maxSize = operation.maxSize;
  md->handler = operation.handler;
  md->generation = operation.generation;
  md->autoUnlink = operation.autoUnlink;
  md->peer = operation.peer;
  md->peerPid = operation.peerPid;
  md->portal = operation.portal;
  md->matchBits = operation.matchBits;
  md->ignoreBits = operation.ignoreBits;
  return 0;
}

int Endpoint::attach(const Operation& operation, std::uint64_t& object) {
  const Lock lock(mutex_);
  if (operation.portal == kPingPortal) return -EPERM;
  Md* md = nullptr;
  if (const int error = describe(operation, Md::Kind::Attached, md); error != 0) return error;
  if (md->peer == kLoopbackNid) md->peer = config_.nid;
  object = md->object;
  table_.attach(md, operation.before);
  unparkInto(md);
  return 0;
}

int Endpoint::put(const Operation& operation, std::uint64_t& object) {
  Lock lock(mutex_);
  Md* md = nullptr;
  if (const int error = describe(operation, Md::Kind::Put, md); error != 0) return error;
  md->wantsResponse = operation.ack;
  const ConnectionPtr toFlush = [&]() -> ConnectionPtr {
    MessageHeader header;
    header.type = MessageType::Put;
    header.payloadLength = md->length;
    header.hdrData = operation.hdrData;
    if (md->wantsResponse) header.handle = {config_.interfaceCookie, md->object};
    return start(md, operation, header, object);
  }();
  lock.unlock();
  if (toFlush != nullptr) flush(toFlush, true);
  return 0;
}

int Endpoint::get(const Operation& operation, std::uint64_t& object) {
  Lock lock(mutex_);
  Md* md = nullptr;
  if (const int error = describe(operation, Md::Kind::Get, md); error != 0) return error;
  md->wantsResponse = true;
  MessageHeader header;
  header.type = MessageType::Get;
  header.length = md->length;
  header.handle = {config_.interfaceCookie, md->object};
  const ConnectionPtr toFlush = start(md, operation, header, object);
  lock.unlock();
  if (toFlush != nullptr) flush(toFlush, true);
  return 0;
}

Endpoint::ConnectionPtr Endpoint::start(Md* md, const Operation& operation, MessageHeader& header,
                                        std::uint64_t& object) {
  object = md->object;
  if (md->peer == kLoopbackNid) md->peer = config_.nid;
  if (md->peerPid == kPidAny) md->peerPid = kPidLustre;
  header.destination = md->peer;
  header.source = config_.nid;
  header.destinationPid = md->peerPid;
  header.matchBits = operation.matchBits;
  header.portal = operation.portal;
  header.offset = operation.offset;
  if (md->wantsResponse) startWaiting(md);
  if (md->peer == config_.nid) {
    header.type == MessageType::Put ? putToSelf(md, header) : getFromSelf(md, header);
    return nullptr;
  }
  const bool isPut = header.type == MessageType::Put;
  Peer* peer = peerOf(md->peer);
  TxMessage* message = newMessage(isPut ? TxMessage::Kind::Put : TxMessage::Kind::Get, peer);
  message->md = md;
  ++md->refs;
  buildMessage(message, header, isPut ? md->cursor(0, md->length) : ScatterCursor());
  return submit(message);
}

// A message to our own NID never sees a socket (guide 01 §7, 1).
void Endpoint::putToSelf(Md* md, const MessageHeader& header) {
  counters_.sendMessages.fetch_add(1, std::memory_order_relaxed);
  counters_.receiveMessages.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t object = md->object;
  const bool push = header.portal == kPingPortal && header.matchBits == kPingMatchBits;
  const MatchResult match = push ? MatchResult{} : table_.match(queryOf(header));
  std::unique_ptr<ParkedMessage> parking;
  bool acknowledged = false;
  if (match.outcome == MatchResult::Outcome::Matched) {
    ScatterCursor::copy(md->cursor(0, match.mlength), match.md->cursor(match.offset, match.mlength));
    acknowledged = (match.md->options & option::kAckDisable) == 0;
    --match.md->refs;
    deliver(match.md, eventOf(*match.md, EventType::Put, 0, header, match.offset, match.mlength));
  } else if (match.outcome == MatchResult::Outcome::NoMatch && lazy_[header.portal]) {
    parking = std::make_unique<ParkedMessage>();
    parking->header = header;
    parking->via = header.source;
    parking->payload.resize(md->length);
    parking->piece = {parking->payload.data(), parking->payload.size()};
    ScatterCursor::copy(md->cursor(0, md->length), ScatterCursor(&parking->piece, 1, 0, md->length));
  } else if (!push) {
    drop("no match for a PUT to our own NID", header);
  }
  md->sendDone = true;
  deliver(md, eventOf(*md, EventType::Send, 0));
  if (parking != nullptr && !park(std::move(parking))) drop("too much is parked", header);
  md = table_.find(object);
  if (md != nullptr && (acknowledged || push)) {
    MessageHeader ack;
    ack.handle = header.handle;
    ack.length = push ? header.payloadLength : match.mlength;
    acknowledgement(ack);
  }
}

void Endpoint::getFromSelf(Md* md, const MessageHeader& header) {
  counters_.sendMessages.fetch_add(1, std::memory_order_relaxed);
  counters_.receiveMessages.fetch_add(1, std::memory_order_relaxed);
  md->sendDone = true;
  std::uint32_t moved = 0;
  bool answered = false;
  if (header.portal == kPingPortal && header.matchBits == kPingMatchBits) {
    std::array<std::uint8_t, kPingInfoSize> info;
    encodePingInfo(info.data(), config_.nid);
    moved = std::min<std::uint32_t>(kPingInfoSize, md->length);
    md->cursor(0, moved).copyIn(info.data(), moved);
    answered = true;
  } else {
    const MatchResult match = table_.match(queryOf(header));
    answered = match.outcome == MatchResult::Outcome::Matched;
    if (answered) {
      moved = match.mlength;
      ScatterCursor::copy(match.md->cursor(match.offset, moved), md->cursor(0, moved));
      --match.md->refs;
      deliver(match.md, eventOf(*match.md, EventType::Get, 0, header, match.offset, moved));
    } else {
      drop("no match for a GET from our own NID", header);
    }
  }
  deliver(md, eventOf(*md, EventType::Send, 0));
  if (!answered) return;
  md->responseDone = true;
  stopWaiting(md);
  Event event = eventOf(*md, EventType::Reply, 0);
  event.rlength = event.mlength = moved;
  deliver(md, event);
}

void Endpoint::unlink(std::uint64_t object) {
  const Lock lock(mutex_);
  Md* md = table_.find(object);
  if (md == nullptr || (md->unlinking && md->kind != Md::Kind::Attached)) return;
  if (md->kind == Md::Kind::Attached) {
    if (!md->linked && md->unlinking) return;
    table_.detach(md);
  } else if (md->refs > 0) {
    // A message that still waits for a connection has moved nothing: take it back.
    const auto found = peers_.find(md->peer);
    if (found != peers_.end()) {
      for (TxMessage* m = found->second->pending.head; m != nullptr; m = m->next) {
        if (m->md != md) continue;
        found->second->pending.remove(m);
        --md->refs;
        m->md = nullptr;
        endMessage(m, -ECANCELED);
        break;
      }
    }
  }
  md->unlinking = true;
  if (finished(*md)) deliver(md, eventOf(*md, EventType::Unlink, 0));
}

int Endpoint::setLazyPortal(std::uint32_t portal) {
  const Lock lock(mutex_);
  if (portal == kPingPortal || portal >= kPortals) return -EINVAL;
  lazy_[portal] = true;
  return 0;
}

MemoryId Endpoint::addMemory(std::uint8_t* bytes, std::size_t length) {
  const Lock lock(mutex_);
  return memory_.add(bytes, length);
}

void Endpoint::releaseMemory(MemoryId id) {
  const Lock lock(mutex_);
  if (memory_.release(id)) ring_.askAttention();
}

int Endpoint::locate(const SegmentRef* segments, std::size_t count, std::vector<iovec>& pieces) {
  const Lock lock(mutex_);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t* at = memory_.piece(segments[i].memory, segments[i].offset, segments[i].length);
    if (at == nullptr) return -EFAULT;
    pieces.push_back({at, segments[i].length});
  }
  return 0;
}

std::vector<MemoryId> Endpoint::attend() {
  std::vector<MemoryId> trash;
  bool wake = false;
  {
    const Lock lock(mutex_);
    ring_.clearAttention();
    ring_.settle();
    trash = memory_.takeTrash();
    wake = resumeWanted_ && !ring_.congested();
    if (ring_.hasOverflow() || (resumeWanted_ && !wake)) ring_.askAttention();
  }
  if (wake) wakeThread();
  return trash;
}

std::deque<Notice> Endpoint::takeNotices() {
  const Lock lock(mutex_);
  noticeAnnounced_ = false;
  if (noticesLost_ > 0) {
    Notice lost;
    lost.level = Notice::Level::Warn;
    lost.text = std::to_string(noticesLost_) + " more log lines of the network were dropped";
    notices_.push_back(std::move(lost));
    noticesLost_ = 0;
  }
  return std::exchange(notices_, {});
}

// ---------------------------------------------------------------- events

MatchQuery Endpoint::queryOf(const MessageHeader& h) const {
  const bool put = h.type == MessageType::Put;
  return {put ? option::kPut : option::kGet, h.portal, h.source, h.sourcePid, h.matchBits,
          put ? h.payloadLength : h.length,  h.offset};
}

Event Endpoint::eventOf(const Md& md, EventType type, int status) const {
  Event event;
  event.type = static_cast<std::uint32_t>(type);
  event.status = status;
  event.handler = md.handler;
  event.generation = md.generation;
  event.initiator = md.peer;
  event.initiatorPid = md.peerPid;
  event.matchBits = md.matchBits;
  if (type == EventType::Send) event.rlength = event.mlength = status == 0 ? md.length : 0;
  return event;
}

Event Endpoint::eventOf(const Md& md, EventType type, int status, const MessageHeader& h,
                        std::uint32_t offset, std::uint32_t mlength) const {
  Event event = eventOf(md, type, status);
  event.initiator = h.source;
  event.initiatorPid = h.sourcePid;
  event.matchBits = h.matchBits;
  event.hdrData = h.hdrData;
  event.offset = offset;
  event.rlength = h.type == MessageType::Put ? h.payloadLength : h.length;
  event.mlength = mlength;
  return event;
}

// Nothing more can happen to the descriptor: its next event is its last.
bool Endpoint::finished(const Md& md) const {
  if (md.refs > 0) return false;
  if (md.unlinking) return true;
  return md.kind != Md::Kind::Attached && md.sendDone && (!md.wantsResponse || md.responseDone);
}

void Endpoint::deliver(Md* md, Event event) {
  const bool last = finished(*md);
  if (last) event.type |= kEventUnlinked;
  ring_.push(event);
  if (last) discard(md);
}

void Endpoint::discard(Md* md) {
  stopWaiting(md);
  for (const MemoryId id : md->memories) {
    if (memory_.unuse(id)) ring_.askAttention();
  }
  table_.destroy(md);
}

void Endpoint::startWaiting(Md* md) {
  md->waiting = true;
  md->deadline = now() + config_.responseTimeoutMs;
  md->waitPrevious = waitTail_;
  md->waitNext = nullptr;
  (waitTail_ != nullptr ? waitTail_->waitNext : waitHead_) = md;
  waitTail_ = md;
}

void Endpoint::stopWaiting(Md* md) {
  if (!md->waiting) return;
  md->waiting = false;
  (md->waitPrevious != nullptr ? md->waitPrevious->waitNext : waitHead_) = md->waitNext;
  (md->waitNext != nullptr ? md->waitNext->waitPrevious : waitTail_) = md->waitPrevious;
}

// The peer is gone, and with it what it would have answered.
void Endpoint::failWaiting(Nid peer, int error) {
  for (Md* md = waitHead_; md != nullptr;) {
    Md* next = md->waitNext;
    if (md->peer == peer && md->sendDone && md->refs == 0) {
      md->unlinking = true;
      deliver(md, eventOf(*md, md->kind == Md::Kind::Put ? EventType::Ack : EventType::Reply, error));
    }
    md = next;
  }
}

void Endpoint::drop(const char* why, const MessageHeader& h) {
  static constexpr const char* kNames[] = {"ACK", "PUT", "GET", "REPLY"};
  counters_.dropped.fetch_add(1, std::memory_order_relaxed);
  char bits[19];
  snprintf(bits, sizeof bits, "0x%llx", static_cast<unsigned long long>(h.matchBits));
  notice(Notice::Kind::Log, Notice::Level::Debug, h.source, 0,
         std::string(kNames[static_cast<std::uint32_t>(h.type) & 3]) + " of " +
             std::to_string(h.payloadLength) + " bytes dropped: " + why + " (portal " +
             std::to_string(h.portal) + ", match bits " + bits + ")");
}

void Endpoint::notice(Notice::Kind kind, Notice::Level level, Nid nid, int error, std::string text) {
  if (kind == Notice::Kind::Log && notices_.size() >= kNoticesMax) {
    ++noticesLost_;
    return;
  }
  notices_.push_back({kind, level, nid, error, std::move(text)});
  if (noticeAnnounced_) return;
  noticeAnnounced_ = true;
  Event event;
  event.type = static_cast<std::uint32_t>(EventType::Notice);
  ring_.push(event);
}

// ---------------------------------------------------------------- parking (guide 01 §5.1)

bool Endpoint::park(std::unique_ptr<ParkedMessage> message) {
  // A buffer may have been attached while the payload came in.
  const MatchResult match = table_.match(queryOf(message->header));
  if (match.outcome != MatchResult::Outcome::NoMatch) {
    if (match.outcome == MatchResult::Outcome::TooLong) return false;
    const ScatterCursor from(&message->piece, 1, 0, match.mlength);
    ScatterCursor::copy(from, match.md->cursor(match.offset, match.mlength));
    const std::uint32_t options = match.md->options;
    --match.md->refs;
    deliver(match.md, eventOf(*match.md, EventType::Put, 0, message->header, match.offset, match.mlength));
    acknowledge(message->header, options, match.mlength, message->via);
    return true;
  }
  if (parkedCount_ >= kParkedCountMax || parkedBytes_ + message->payload.size() > kParkedBytesMax)
    return false;
  ++parkedCount_;
  parkedBytes_ += message->payload.size();
  parked_[message->header.portal].push_back(std::move(message));
  return true;
}

void Endpoint::unparkInto(Md* md) {
  const std::uint64_t object = md->object;
  auto& queue = parked_[md->portal];
  for (auto it = queue.begin(); it != queue.end();) {
    md = table_.find(object);
    if (md == nullptr || md->exhausted()) break;
    const MatchResult match = table_.matchOne(md, queryOf((*it)->header));
    if (match.outcome == MatchResult::Outcome::NoMatch) {
      ++it;
      continue;
    }
    const std::unique_ptr<ParkedMessage> message = std::move(*it);
    it = queue.erase(it);
    --parkedCount_;
    parkedBytes_ -= message->payload.size();
    if (match.outcome == MatchResult::Outcome::TooLong) {
      drop("parked message is longer than the buffer that matches it", message->header);
      continue;
    }
    const ScatterCursor from(&message->piece, 1, 0, match.mlength);
    ScatterCursor::copy(from, md->cursor(match.offset, match.mlength));
    const std::uint32_t options = md->options;
    --md->refs;
    deliver(md, eventOf(*md, EventType::Put, 0, message->header, match.offset, match.mlength));
    acknowledge(message->header, options, match.mlength, message->via);
  }
}

// ---------------------------------------------------------------- ACK (guide 01 §6)

// Answers go to the source of the request by the hop that it came from: a forged source makes us connect
// nowhere.
void Endpoint::acknowledge(const MessageHeader& put, std::uint32_t options, std::uint32_t mlength, Nid via) {
  if (put.handle.none() || (options & option::kAckDisable) != 0) return;
  MessageHeader ack;
  ack.type = MessageType::Ack;
  ack.destination = put.source;
  ack.source = config_.nid;
  ack.destinationPid = put.sourcePid;
  ack.handle = put.handle;
  ack.matchBits = put.matchBits;
  ack.length = mlength;
  if (put.source == config_.nid) {
    acknowledgement(ack);
    return;
  }
  TxMessage* message = newMessage(TxMessage::Kind::Ack, peerOf(via));
  buildMessage(message, ack, {});
  submitResponse(message);
}

// An ACK for us, from a peer or from ourselves. Unknown handles are late answers: dropped in silence.
void Endpoint::acknowledgement(const MessageHeader& ack) {
  Md* md = ack.handle.interfaceCookie == config_.interfaceCookie ? table_.find(ack.handle.object) : nullptr;
  if (md == nullptr || md->kind != Md::Kind::Put || !md->wantsResponse || md->responseDone) {
    counters_.dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  md->responseDone = true;
  stopWaiting(md);
  Event event = eventOf(*md, EventType::Ack, 0);
  event.rlength = md->length;
  event.mlength = std::min(ack.length, md->length);
  deliver(md, event);
}

// ---------------------------------------------------------------- receiving (the I/O thread; guide 01 §4)

int Connection::onMessage(const MessageHeader& header, ScatterCursor& target, Decision& decision) {
  return endpoint_.onMessage(*this, header, target, decision);
}
void Connection::onMessageEnd(const MessageHeader& header, std::uint64_t zeroCopyCookie) {
  endpoint_.onMessageEnd(*this, header, zeroCopyCookie);
}
// Keepalives (cookie 1) need nothing, and we never ask for zero-copy acknowledgements.
void Connection::onNoop(const FrameHeader&) {}

int Endpoint::onMessage(Connection& c, const MessageHeader& h, ScatterCursor& target,
                        FrameHandler::Decision& decision) {
  const Lock lock(mutex_);
  c.receiving = Connection::Receiving::Skip;
  if (h.destination != config_.nid) {
    if (nidNet(h.destination) == nidNet(config_.nid) || h.destination == kLoopbackNid) {
      notice(Notice::Kind::Log, Notice::Level::Warn, c.peer->nid, EPROTO,
             "message for " + nidText(h.destination) + " came to us");
      return -EPROTO;
    }
    drop("for another network, and we do not route", h);
    return 0;
  }
  const bool ping = h.portal == kPingPortal && h.matchBits == kPingMatchBits &&
                    (h.type == MessageType::Get || h.type == MessageType::Put);
  // Pings are answered even when nobody drains the ring.
  if ((ring_.congested() && !ping) || c.peer->responses >= kResponsesMax) {
    resumeWanted_ = true;
    if (ring_.congested()) ring_.askAttention();
    decision = FrameHandler::Decision::Wait;
    return 0;
  }
  counters_.receiveMessages.fetch_add(1, std::memory_order_relaxed);
  counters_.receiveBytes.fetch_add(h.payloadLength, std::memory_order_relaxed);
  switch (h.type) {
    case MessageType::Put:
      onPut(c, h, target);
      break;
    case MessageType::Get:
      onGet(c, h);
      break;
    case MessageType::Ack:
      c.receiving = Connection::Receiving::Ack;
      break;
    case MessageType::Reply:
      onReply(c, h, target);
      break;
    case MessageType::Hello:
      return -EPROTO;
  }
  return 0;
}

void Endpoint::onPut(Connection& c, const MessageHeader& h, ScatterCursor& target) {
  if (h.portal == kPingPortal && h.matchBits == kPingMatchBits) {
    c.receiving = Connection::Receiving::Push;
    return;
  }
  const MatchResult match = table_.match(queryOf(h));
  if (match.outcome == MatchResult::Outcome::Matched) {
    c.receiving = Connection::Receiving::Put;
    c.rxMd = match.md;
    c.rxOffset = match.offset;
    c.rxLength = match.mlength;
    target = match.md->cursor(match.offset, match.mlength);
    return;
  }
  if (match.outcome == MatchResult::Outcome::TooLong) {
    drop("longer than the buffer that matches it", h);
    return;
  }
  if (h.portal >= kPortals || !lazy_[h.portal]) {
    drop("no match", h);
    return;
  }
  if (parkedCount_ >= kParkedCountMax || parkedBytes_ + h.payloadLength > kParkedBytesMax) {
    drop("too much is parked", h);
    return;
  }
  c.receiving = Connection::Receiving::Park;
  c.rxParked = std::make_unique<ParkedMessage>();
  c.rxParked->header = h;
  c.rxParked->via = c.peer->nid;
  c.rxParked->payload.resize(h.payloadLength);
  c.rxParked->piece = {c.rxParked->payload.data(), c.rxParked->payload.size()};
  target = ScatterCursor(&c.rxParked->piece, 1, 0, h.payloadLength);
}

void Endpoint::onGet(Connection& c, const MessageHeader& h) {
  if (h.portal == kPingPortal && h.matchBits == kPingMatchBits) {
    c.receiving = Connection::Receiving::Ping;
    return;
  }
  const MatchResult match = table_.match(queryOf(h));
  if (match.outcome != MatchResult::Outcome::Matched) {
    drop(match.outcome == MatchResult::Outcome::TooLong ? "wants more than the buffer has" : "no match", h);
    return;
  }
  // One REPLY carries at most the MTU; a longer sink is a peer's mistake that must not become ours.
  c.receiving = Connection::Receiving::Get;
  c.rxMd = match.md;
  c.rxOffset = match.offset;
  c.rxLength = std::min(match.mlength, kMtu);
}

void Endpoint::onReply(Connection& c, const MessageHeader& h, ScatterCursor& target) {
  Md* md = h.handle.interfaceCookie == config_.interfaceCookie ? table_.find(h.handle.object) : nullptr;
  if (md == nullptr || md->kind != Md::Kind::Get || md->responseDone) {
    counters_.dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (h.payloadLength > md->length) {
    drop("longer than the GET's memory", h);
    return;
  }
  md->responseDone = true;
  stopWaiting(md);
  ++md->refs;
  c.receiving = Connection::Receiving::Reply;
  c.rxMd = md;
  c.rxOffset = 0;
  c.rxLength = h.payloadLength;
  target = md->cursor(0, h.payloadLength);
}

void Endpoint::onMessageEnd(Connection& c, const MessageHeader& h, std::uint64_t zeroCopyCookie) {
  const Lock lock(mutex_);
  Md* md = std::exchange(c.rxMd, nullptr);
  switch (std::exchange(c.receiving, Connection::Receiving::Nothing)) {
    case Connection::Receiving::Nothing:
    case Connection::Receiving::Skip:
      break;
    case Connection::Receiving::Put: {
      const std::uint32_t options = md->options;
      --md->refs;
      deliver(md, eventOf(*md, EventType::Put, 0, h, c.rxOffset, c.rxLength));
      acknowledge(h, options, c.rxLength, c.peer->nid);
      break;
    }
    case Connection::Receiving::Park:
      if (!park(std::move(c.rxParked))) drop("too much is parked, or too long", h);
      break;
    case Connection::Receiving::Push:
      acknowledge(h, 0, h.payloadLength, c.peer->nid);
      break;
    case Connection::Receiving::Get:
      replyTo(c, h, md);
      break;
    case Connection::Receiving::Ping:
      replyToPing(c, h);
      break;
    case Connection::Receiving::Ack:
      acknowledgement(h);
      break;
    case Connection::Receiving::Reply: {
      --md->refs;
      Event event = eventOf(*md, EventType::Reply, 0);
      event.rlength = event.mlength = h.payloadLength;
      deliver(md, event);
      break;
    }
  }
  if (zeroCopyCookie != 0) acknowledgeZeroCopy(c, zeroCopyCookie);
}

void Endpoint::replyTo(Connection& c, const MessageHeader& get, Md* md) {
  const std::uint32_t offset = c.rxOffset;
  const std::uint32_t length = c.rxLength;
  MessageHeader reply;
  reply.type = MessageType::Reply;
  reply.destination = get.source;
  reply.source = config_.nid;
  reply.destinationPid = get.sourcePid;
  reply.payloadLength = length;
  reply.handle = get.handle;
  TxMessage* message = newMessage(TxMessage::Kind::Reply, c.peer);
  message->md = md;  // with the reference that matching took
  message->event = eventOf(*md, EventType::Get, 0, get, offset, length);
  buildMessage(message, reply, md->cursor(offset, length));
  submitResponse(message);
}

void Endpoint::replyToPing(Connection& c, const MessageHeader& get) {
  MessageHeader reply;
  reply.type = MessageType::Reply;
  reply.destination = get.source;
  reply.source = config_.nid;
  reply.destinationPid = get.sourcePid;
  reply.payloadLength = std::min<std::uint32_t>(kPingInfoSize, get.length);
  reply.handle = get.handle;
  TxMessage* message = newMessage(TxMessage::Kind::Reply, c.peer);
  encodePingInfo(message->inlinePayload.data(), config_.nid);
  message->inlinePiece = {message->inlinePayload.data(), kPingInfoSize};
  buildMessage(message, reply, ScatterCursor(&message->inlinePiece, 1, 0, reply.payloadLength));
  submitResponse(message);
}

// Exactly once for each cookie, after the whole payload was read (guide 02 §5).
void Endpoint::acknowledgeZeroCopy(Connection& c, std::uint64_t cookie) {
  TxMessage* message = newMessage(TxMessage::Kind::Noop, c.peer);
  encodeFrameHeader(message->header.data(), kFrameNoop, cookie);
  message->headerLength = kFrameHeaderSize;
  message->size = kFrameHeaderSize;
  message->response = true;
  ++c.peer->responses;
  ConnectionPtr via = c.shared_from_this();
  for (const auto& sibling : c.peer->connections) {
    if (sibling->type == ConnectionType::BulkIn) via = sibling;
  }
  enqueue(via, message);
  wantFlush(via);
}

// The connection ended inside a message.
void Endpoint::abortReceive(Connection& c, int error) {
  c.rxParked.reset();
  Md* md = std::exchange(c.rxMd, nullptr);
  const auto receiving = std::exchange(c.receiving, Connection::Receiving::Nothing);
  if (md == nullptr) return;
  --md->refs;
  const bool put = receiving == Connection::Receiving::Put;
  Event event = eventOf(*md, put ? EventType::Put : EventType::Reply, error);
  event.offset = c.rxOffset;
  event.rlength = c.rxLength;
  deliver(md, event);
}

}  // namespace lustre::lnet
