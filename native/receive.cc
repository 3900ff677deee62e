// What becomes of messages that arrive (guide 01 §4 to §6): matching, parking, ACK and REPLY.
#include <algorithm>
#include <cerrno>

#include "endpoint.h"

namespace lustre::lnet {
namespace {

// What peers may park on lazy portals of one endpoint.
constexpr std::size_t kParkedBytesMax = 64u << 20;
constexpr std::size_t kParkedCountMax = 4096;
// Answers that a peer may have queued before we stop reading from it.
constexpr std::size_t kResponsesMax = 4096;

Worth worthOf(const MessageHeader& h) {
  return h.payloadLength >= FrameParser::kBulkPayload ? Worth::Bulk : Worth::Urgent;
}

}  // namespace

// ---------------------------------------------------------------- parking (guide 01 §5.1)

// Memory for a message to park, within what all peers together may take; null when that is used up.
std::unique_ptr<ParkedMessage> Endpoint::reserve(const MessageHeader& header, Nid via) {
  if (parkedCount_ >= kParkedCountMax || parkedBytes_ + header.payloadLength > kParkedBytesMax)
    return nullptr;
  ++parkedCount_;
  parkedBytes_ += header.payloadLength;
  auto message = std::make_unique<ParkedMessage>();
  message->header = header;
  message->via = via;
  message->payload.resize(header.payloadLength);
  message->piece = {message->payload.data(), message->payload.size()};
  return message;
}

void Endpoint::unreserve(const ParkedMessage& message) {
  --parkedCount_;
  parkedBytes_ -= message.payload.size();
}

void Endpoint::park(std::unique_ptr<ParkedMessage> message) {
  // A buffer may have been attached while the payload came in.
  const MatchResult match = table_.match(queryOf(message->header));
  if (match.outcome != MatchResult::Outcome::NoMatch) {
    unpark(*message, match);
    return;
  }
  parked_[message->header.portal].push_back(std::move(message));
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
    unpark(*message, match);
  }
}

// The message has met its buffer.
void Endpoint::unpark(ParkedMessage& message, const MatchResult& match) {
  unreserve(message);
  if (match.outcome == MatchResult::Outcome::TooLong) {
    drop("parked message is longer than the buffer that matches it", message.header);
    return;
  }
  const ScatterCursor from(&message.piece, 1, 0, match.mlength);
  deposit(*match.md, match.offset, from);
  const std::uint32_t options = match.md->options;
  Event event = eventOf(*match.md, EventType::Put, 0, message.header, match.offset, match.mlength);
  event.checksum = sumOf(match.md->checksum, from);
  --match.md->refs;
  deliver(match.md, event);
  acknowledge(message.header, options, match.mlength, message.via);
}

// ---------------------------------------------------------------- within this endpoint

// What is sent to ourselves of a descriptor: its memory, or `bytes` with the next of its file. 0 or -errno.
int Endpoint::payloadToSelf(Md& md, std::uint32_t offset, std::uint32_t length,
                            std::vector<std::uint8_t>& bytes, iovec& piece, ScatterCursor& payload) {
  payload = md.cursor(offset, length);
  if (md.file == nullptr) return 0;
  bytes.resize(length);
  for (std::size_t have = 0; have < bytes.size();) {
    const ssize_t got = md.file->read(bytes.data() + have, bytes.size() - have);
    if (got < 0) return static_cast<int>(got);
    have += static_cast<std::size_t>(got);
  }
  piece = {bytes.data(), bytes.size()};
  payload = ScatterCursor(&piece, 1, 0, bytes.size());
  return 0;
}

// What came of the file that was sent.
void Endpoint::tellOfFile(const Md& md, Event& event) {
  if (md.file == nullptr) return;
  event.checksum = md.file->checksum();
  event.fileError = md.file->error();
}

// Into its memory or its file.
void Endpoint::deposit(Md& md, std::uint32_t offset, const ScatterCursor& from) {
  if (md.sink == nullptr) {
    ScatterCursor::copy(from, md.cursor(offset, from.remaining()));
    return;
  }
  md.sink->seek(offset);
  from.forEach(from.remaining(),
               [&md](const std::uint8_t* at, std::size_t length) { md.sink->write(at, length); });
}

// Of what a copy within memory brings.
std::uint32_t Endpoint::sumOf(ChecksumType type, const ScatterCursor& payload) {
  Checksum sum(type);
  payload.forEach(payload.remaining(),
                  [&sum](const std::uint8_t* at, std::size_t bytes) { sum.Update(at, bytes); });
  return sum.Value();
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
    acknowledgement(ack, config_.nid);
    return;
  }
  TxMessage* message = newMessage(TxMessage::Kind::Ack, peerOf(via));
  buildMessage(message, ack, {});
  submitResponse(message);
}

// An ACK for us, from a peer or from ourselves. Unknown handles are late answers: dropped in silence. Only
// the peer that was asked may answer (we neither route nor announce multi-rail); others can guess handles.
void Endpoint::acknowledgement(const MessageHeader& ack, Nid from) {
  Md* md = ack.handle.interfaceCookie == config_.interfaceCookie ? table_.find(ack.handle.object) : nullptr;
  if (md == nullptr || md->kind != Md::Kind::Put || md->peer != from || !md->wantsResponse ||
      md->responseDone) {
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

// ---------------------------------------------------------------- receiving (in a turn; guide 01 §4)

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
      c.parser.blame("a message for another NID of our network");
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
  if (!c.handedOver && goesToFile(c, h)) {
    c.wantsReceiver = true;
    decision = FrameHandler::Decision::Wait;
    return 0;
  }
  counters_.receiveMessages.fetch_add(1, std::memory_order_relaxed);
  counters_.receiveBytes.fetch_add(h.payloadLength, std::memory_order_relaxed);
  if (h.payloadLength >= FrameParser::kBulkPayload) {
    c.bulkSeen = true;
    bulkMoves();
  }
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

// Whether only a receiver may take it: somebody will wait for a disk.
bool Endpoint::goesToFile(const Connection& c, const MessageHeader& h) {
  if (h.payloadLength == 0) return false;
  if (h.type == MessageType::Put) return table_.hasSinks(h.portal);
  if (h.type != MessageType::Reply || h.handle.interfaceCookie != config_.interfaceCookie) return false;
  const Md* md = table_.find(h.handle.object);
  return md != nullptr && md->sink != nullptr && md->peer == c.peer->nid && !md->responseDone;
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
    c.parser.sumWith(match.md->checksum);
    takeInto(c, target);
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
  c.rxParked = reserve(h, c.peer->nid);
  if (c.rxParked == nullptr) {
    drop("too much is parked", h);
    return;
  }
  c.receiving = Connection::Receiving::Park;
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
  if (md == nullptr || md->kind != Md::Kind::Get || md->peer != c.peer->nid || md->responseDone) {
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
  c.parser.sumWith(md->checksum);
  takeInto(c, target);
}

// The payload that is being received goes to the descriptor's memory, or to its file.
void Endpoint::takeInto(Connection& c, ScatterCursor& target) {
  if (FileSink* sink = c.rxMd->sink.get(); sink != nullptr) {
    sink->seek(c.rxOffset);
    c.parser.sinkInto(sink, c.rxLength);
  } else {
    target = c.rxMd->cursor(c.rxOffset, c.rxLength);
  }
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
      Event event = eventOf(*md, EventType::Put, 0, h, c.rxOffset, c.rxLength);
      event.checksum = c.parser.checksum();
      if (md->sink != nullptr) event.fileError = md->sink->error();
      --md->refs;
      deliver(md, event, worthOf(h));
      acknowledge(h, options, c.rxLength, c.peer->nid);
      break;
    }
    case Connection::Receiving::Park:
      park(std::move(c.rxParked));
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
      acknowledgement(h, c.peer->nid);
      break;
    case Connection::Receiving::Reply: {
      Event event = eventOf(*md, EventType::Reply, 0);
      event.rlength = event.mlength = h.payloadLength;
      event.checksum = c.parser.checksum();
      if (md->sink != nullptr) event.fileError = md->sink->error();
      --md->refs;
      deliver(md, event, worthOf(h));
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
  message->file = md->file.get();
  if (md->file != nullptr) md->file->answer(offset, length);
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
  if (std::exchange(c.midBulk, false)) --bulkComing_;
  if (c.rxParked != nullptr) unreserve(*c.rxParked);
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
