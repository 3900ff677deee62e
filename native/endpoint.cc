// Operations and their events (guide 01 §5, §6).
#include "endpoint.h"

#include <algorithm>
#include <cerrno>

namespace lustre::lnet {
namespace {

constexpr std::size_t kNoticesMax = 512;

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
  std::unique_ptr<FileSource> file;
  std::unique_ptr<FileSink> sink;
  ChecksumType checksum = operation.checksum;
  if (operation.file != nullptr) {
    const bool taken = kind == Md::Kind::Attached && (operation.options & option::kGet) != 0;
    const bool sends = kind == Md::Kind::Put || taken;
    // One place in the file that is being read, so one message that is sent out of it.
    const bool refused = taken && ((operation.options & option::kPut) != 0 || operation.threshold != 1);
    const std::int64_t bytes = BytesOf(*operation.file);
    if (refused || operation.segmentCount > 0 || bytes < 0 || bytes > kMtu) return -EINVAL;
    if (operation.file->rest.size() >= kMaxFragments) return -EINVAL;
    length = static_cast<std::uint64_t>(bytes);
    if (sends) {
      file = FileSource::open(*operation.file);
    } else {
      sink = FileSink::open(*operation.file);
      checksum = operation.file->checksum;
    }
    if (file == nullptr && sink == nullptr) return -errno;
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
  md->file = std::move(file);
  md->sink = std::move(sink);
  md->length = static_cast<std::uint32_t>(length);
  md->options = operation.options;
  md->threshold = operation.threshold;
  md->maxSize = operation.maxSize;
  md->checksum = checksum;
  md->finalOffset = operation.finalOffset;
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
  const bool quiet = operation.quiet && !operation.ack && !operation.later && operation.file == nullptr;
  md->quiet = quiet;
  const ConnectionPtr toFlush = [&]() -> ConnectionPtr {
    MessageHeader header;
    header.type = MessageType::Put;
    header.payloadLength = md->length;
    header.hdrData = operation.hdrData;
    if (md->wantsResponse) header.handle = {config_.interfaceCookie, md->object};
    return start(md, operation, header, object);
  }();
  lock.unlock();
  if (operation.file != nullptr) {
    if (toFlush != nullptr) senders_.want(toFlush);
    return 0;
  }
  flushOrDefer(toFlush, operation.later);
  if (!quiet) return 0;
  lock.lock();
  if (quietEnded_ == object) return kSent;
  if (md = table_.find(object); md != nullptr) md->quiet = false;
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
  flushOrDefer(toFlush, operation.later);
  return 0;
}

void Endpoint::flushOrDefer(ConnectionPtr c, bool later) {
  if (c == nullptr) return;
  if (!later) {
    flush(c, Flusher::Owner);
  } else if (std::find(sendLater_.begin(), sendLater_.end(), c) == sendLater_.end()) {
    sendLater_.push_back(std::move(c));
  }
}

void Endpoint::sendLater() {
  for (const ConnectionPtr& c : sendLater_) flush(c, Flusher::Owner);
  sendLater_.clear();
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
  if (nidNet(md->peer) != nidNet(config_.nid)) {
    notice(Notice::Kind::ConnectFailed, Notice::Level::Info, md->peer, EHOSTUNREACH,
           "it is on another network, and we have no route");
    md->sendDone = true;
    md->wantsResponse = false;
    stopWaiting(md);
    deliver(md, eventOf(*md, EventType::Send, -EHOSTUNREACH));
    return nullptr;
  }
  if (md->peer == config_.nid) {
    header.type == MessageType::Put ? putToSelf(md, header) : getFromSelf(md, header);
    return nullptr;
  }
  const bool isPut = header.type == MessageType::Put;
  Peer* peer = peerOf(md->peer);
  TxMessage* message = newMessage(isPut ? TxMessage::Kind::Put : TxMessage::Kind::Get, peer);
  message->md = md;
  ++md->refs;
  message->file = md->file.get();
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
  std::vector<std::uint8_t> bytes;
  iovec piece;
  ScatterCursor payload;
  int status = payloadToSelf(*md, 0, md->length, bytes, piece, payload);
  if (match.outcome == MatchResult::Outcome::Matched) {
    payload.shorten(status == 0 ? match.mlength : 0);
    deposit(*match.md, match.offset, payload);
    acknowledged = status == 0 && (match.md->options & option::kAckDisable) == 0;
    Event event = eventOf(*match.md, EventType::Put, status, header, match.offset, match.mlength);
    event.checksum = sumOf(match.md->checksum, payload);
    if (match.md->sink != nullptr) event.fileError = match.md->sink->error();
    --match.md->refs;
    deliver(match.md, event);
  } else if (match.outcome == MatchResult::Outcome::NoMatch && lazy_[header.portal]) {
    parking = reserve(header, header.source);
    if (parking != nullptr) {
      ScatterCursor::copy(payload, ScatterCursor(&parking->piece, 1, 0, md->length));
    } else {
      drop("too much is parked", header);
    }
  } else if (!push) {
    drop("no match for a PUT to our own NID", header);
  }
  md->sendDone = true;
  if (status != 0) {
    md->wantsResponse = false;
    stopWaiting(md);
    if (parking != nullptr) unreserve(*std::exchange(parking, nullptr));
  }
  deliver(md, eventOf(*md, EventType::Send, status));
  if (parking != nullptr) park(std::move(parking));
  md = table_.find(object);
  if (md != nullptr && (acknowledged || push)) {
    MessageHeader ack;
    ack.handle = header.handle;
    ack.length = push ? header.payloadLength : match.mlength;
    acknowledgement(ack, config_.nid);
  }
}

void Endpoint::getFromSelf(Md* md, const MessageHeader& header) {
  counters_.sendMessages.fetch_add(1, std::memory_order_relaxed);
  counters_.receiveMessages.fetch_add(1, std::memory_order_relaxed);
  md->sendDone = true;
  std::uint32_t moved = 0;
  std::uint32_t sum = 0;
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
      std::vector<std::uint8_t> bytes;
      iovec piece;
      ScatterCursor payload;
      if (match.md->file != nullptr) match.md->file->answer(match.offset, moved);
      payloadToSelf(*match.md, match.offset, moved, bytes, piece, payload);
      deposit(*md, 0, payload);
      sum = sumOf(md->checksum, payload);
      --match.md->refs;
      Event event = eventOf(*match.md, EventType::Get, 0, header, match.offset, moved);
      tellOfFile(*match.md, event);
      deliver(match.md, event);
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
  event.checksum = sum;
  if (md->sink != nullptr) event.fileError = md->sink->error();
  deliver(md, event);
}

void Endpoint::unlink(std::uint64_t object) {
  std::shared_ptr<FileSink> sink;
  {
    const Lock lock(mutex_);
    if (Md* md = table_.find(object); md != nullptr) {
      sink = md->sink;
      unlink(md);
    }
  }
  // Waits for a write that is under way; the endpoint does not.
  if (sink != nullptr) sink->stop();
}

void Endpoint::unlink(Md* md) {
  if (md->unlinking && md->kind != Md::Kind::Attached) return;
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
  if (type == EventType::Send && md.file != nullptr) event.checksum = md.file->checksum();
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

void Endpoint::deliver(Md* md, Event event, Worth worth) {
  const bool last = finished(*md);
  if (last) event.type |= kEventUnlinked;
  if (last && md->quiet && event.status == 0) {
    quietEnded_ = md->object;
  } else {
    announce(event, worth);
  }
  if (last) discard(md);
}

void Endpoint::announce(const Event& event, Worth worth) {
  ring_.push(event);
  wakes_.pushed(worth);
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
  announce(event);
}

}  // namespace lustre::lnet
