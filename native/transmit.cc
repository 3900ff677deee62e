// Sending (guide 02 §6): which connection, what is queued, and writing without waiting.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "endpoint.h"

namespace lustre::lnet {
namespace {

constexpr std::size_t kBulkThreshold = 1024;  // min_bulk
// Less than this on its way leaves a connection as good as idle: messages that go together cost one call.
constexpr std::size_t kSpreadBytes = 64 << 10;
constexpr std::size_t kSlabMessages = 64;
constexpr int kMaxVectors = 128;
constexpr int kMaxMessagesPerCall = 32;
// An owner's thread that writes for others too gives the rest to the I/O thread after so many calls.
constexpr int kOwnerCallsMax = 16;

}  // namespace

TxMessage* Endpoint::newMessage(TxMessage::Kind kind, Peer* peer) {
  if (freeMessages_ == nullptr) {
    messageSlabs_.push_back(std::make_unique<TxMessage[]>(kSlabMessages));
    for (std::size_t i = 0; i < kSlabMessages; ++i) {
      messageSlabs_.back()[i].next = freeMessages_;
      freeMessages_ = &messageSlabs_.back()[i];
    }
  }
  TxMessage* message = freeMessages_;
  freeMessages_ = message->next;
  message->next = nullptr;
  message->kind = kind;
  message->peer = peer;
  message->response = false;
  message->md = nullptr;
  message->sent = 0;
  message->payload = ScatterCursor();
  message->file = nullptr;
  return message;
}

void Endpoint::buildMessage(TxMessage* message, const MessageHeader& header, const ScatterCursor& payload) {
  encodeFrameHeader(message->header.data(), kFrameLnet);
  encodeMessageHeader(message->header.data() + kFrameHeaderSize, header);
  message->headerLength = kFullHeaderSize;
  message->payload = payload;
  message->size = kFullHeaderSize + header.payloadLength;
}

// The message is over, well or badly; its descriptor hears of it.
void Endpoint::endMessage(TxMessage* message, int status) {
  if (message->response) --message->peer->responses;
  if (status == 0) {
    counters_.sendMessages.fetch_add(1, std::memory_order_relaxed);
    counters_.sendBytes.fetch_add(message->size - message->headerLength, std::memory_order_relaxed);
  }
  if (Md* md = message->md; md != nullptr) {
    --md->refs;
    if (message->kind == TxMessage::Kind::Reply) {
      message->event.status = status;
      tellOfFile(*md, message->event);
      if (status != 0) message->event.mlength = 0;
      deliver(md, message->event);
    } else {
      md->sendDone = true;
      if (status != 0 && !md->responseDone) {
        md->wantsResponse = false;
        stopWaiting(md);
      }
      const bool step = status == 0 && md->wantsResponse && !md->responseDone;
      deliver(md, eventOf(*md, EventType::Send, status), step ? Worth::Step : Worth::Urgent);
    }
  }
  message->md = nullptr;
  message->next = freeMessages_;
  freeMessages_ = message;
}

Peer* Endpoint::peerOf(Nid nid) {
  auto& slot = peers_[nid];
  if (slot == nullptr) {
    slot = std::make_unique<Peer>();
    slot->nid = nid;
    const auto mapped = addresses_.find(nid);
    slot->address = mapped != addresses_.end() ? mapped->second : SocketAddress::ofNid(nid, config_.port);
  }
  return slot.get();
}

Endpoint::ConnectionPtr Endpoint::pick(const Peer& peer, std::size_t size) const {
  const bool bulk = size >= kBulkThreshold;
  const auto rank = [bulk](ConnectionType type) {
    if (type == ConnectionType::Control) return bulk ? 1 : 0;
    if (type == ConnectionType::BulkOut) return bulk ? 0 : 1;
    return 2;
  };
  const auto load = [](const Connection& c) { return c.txBytes.load() / kSpreadBytes; };
  ConnectionPtr best;
  for (const auto& c : peer.connections) {
    const bool better = best == nullptr || rank(c->type) < rank(best->type) ||
                        (rank(c->type) == rank(best->type) && load(*c) < load(*best));
    if (better) best = c;
  }
  // While the others are being set up, bulk waits for its own connection and nothing goes over BULK_IN.
  if (best != nullptr && peer.settingUp && rank(best->type) > 0) return nullptr;
  return best;
}

Endpoint::ConnectionPtr Endpoint::submit(TxMessage* message) {
  Peer& peer = *message->peer;
  if (ConnectionPtr c = pick(peer, message->size); c != nullptr) {
    enqueue(c, message);
    return c;
  }
  message->deadline = now() + config_.socketTimeoutMs;
  peer.pending.push(message);
  if (!peer.wanted) {
    peer.wanted = true;
    connectWanted_.push_back(&peer);
    wakeThread();
  }
  return nullptr;
}

void Endpoint::submitResponse(TxMessage* message) {
  message->response = true;
  ++message->peer->responses;
  if (const ConnectionPtr c = submit(message); c != nullptr) wantFlush(c);
}

void Endpoint::wantFlush(const ConnectionPtr& c) {
  if (c->flushWanted) return;
  c->flushWanted = true;
  flushWanted_.push_back(c);
  if (std::this_thread::get_id() != turnThread_.load(std::memory_order_relaxed)) wakeThread();
}

void Endpoint::enqueue(const ConnectionPtr& c, TxMessage* message) {
  const std::lock_guard lock(c->txMutex);
  if (message->size >= FrameParser::kBulkPayload) bulkMoves();
  if (c->txQueue.empty()) c->txProgress = now();
  c->txQueue.push(message);
  c->txBytes.fetch_add(message->size, std::memory_order_relaxed);
}

namespace {

// Vectors for as much of the queue as one call takes.
int gather(const TxQueue& queue, std::array<iovec, kMaxVectors>& out, std::size_t& total) {
  int used = 0;
  int messages = 0;
  total = 0;
  for (TxMessage* m = queue.head; m != nullptr && used < kMaxVectors - 1 && messages < kMaxMessagesPerCall;
       m = m->next, ++messages) {
    if (m->file != nullptr) break;
    if (m->sent < m->headerLength) {
      out[used++] = {m->header.data() + m->sent, m->headerLength - m->sent};
      total += m->headerLength - m->sent;
    }
    std::size_t covered = 0;
    used += m->payload.fill(out.data() + used, kMaxVectors - used, covered);
    total += covered;
    if (covered < m->payload.remaining()) break;
  }
  return used;
}

// Accounts for `bytes` written; what is complete moves to `done`.
void advance(TxQueue& queue, std::size_t bytes, TxQueue& done) {
  while (TxMessage* m = queue.head) {
    const std::size_t here = std::min(bytes, m->size - m->sent);
    const std::size_t ofHeader = m->sent < m->headerLength ? std::min(here, m->headerLength - m->sent) : 0;
    m->payload.advance(here - ofHeader);
    m->sent += here;
    bytes -= here;
    if (m->sent < m->size) return;
    done.push(queue.pop());
  }
}

}  // namespace

// Vectors for the rest of the header and the next piece of the file; -errno when it could not be read.
int Endpoint::stage(Connection& c, TxMessage& message, iovec* out) {
  if (c.txStage == nullptr) {
    c.txStage = senders_.takeStage();
    c.txStage->begin = c.txStage->end = 0;
  }
  SendStage& stage = *c.txStage;
  if (stage.begin == stage.end) {
    counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
    const ssize_t got = message.file->read(stage.bytes.data(), stage.bytes.size());
    if (got < 0) return static_cast<int>(got);
    stage.begin = 0;
    stage.end = static_cast<std::size_t>(got);
  }
  int used = 0;
  if (message.sent < message.headerLength) {
    out[used++] = {message.header.data() + message.sent, message.headerLength - message.sent};
  }
  if (stage.begin < stage.end) out[used++] = {stage.bytes.data() + stage.begin, stage.end - stage.begin};
  return used;
}

// So many bytes of the piece are in the socket.
void Endpoint::unstage(Connection& c, std::size_t bytes) {
  c.txStage->begin += bytes;
  if (c.txStage->begin == c.txStage->end) senders_.giveStage(std::move(c.txStage));
}

void Endpoint::flush(const ConnectionPtr& c, Flusher who) {
  TxQueue done;
  TxQueue failed;
  int failure = 0;
  bool handOver = false;
  bool fromFile = false;
  {
    Lock lock(c->txMutex);
    if (c->txFlushing || c->txBlocked) return;
    c->txFlushing = true;
    for (int calls = 0; !c->txQueue.empty() && !c->txDead && !c->txBlocked; ++calls) {
      TxMessage& head = *c->txQueue.head;
      fromFile = head.file != nullptr && who != Flusher::Sender;
      handOver = who == Flusher::Owner && calls == kOwnerCallsMax;
      if (fromFile || handOver) break;
      std::array<iovec, kMaxVectors> vectors;
      const std::size_t headerLeft = head.headerLength - std::min<std::size_t>(head.sent, head.headerLength);
      std::size_t total = 0;
      int count = head.file == nullptr ? gather(c->txQueue, vectors, total) : 0;
      c->txEdge = false;
      lock.unlock();
      if (head.file != nullptr) count = stage(*c, head, vectors.data());
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = static_cast<std::size_t>(std::max(count, 0));
      ssize_t written = -1;
      int error = -count;
      if (count >= 0) {
        counters_.systemCalls.fetch_add(1, std::memory_order_relaxed);
        written = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        error = errno;
      }
      lock.lock();
      if (written >= 0) {
        const auto bytes = static_cast<std::size_t>(written);
        if (head.file != nullptr) unstage(*c, bytes - std::min(bytes, headerLeft));
        c->txProgress = now();
        c->txBytes.fetch_sub(bytes, std::memory_order_relaxed);
        advance(c->txQueue, bytes, done);
      } else if (error == EAGAIN || error == EWOULDBLOCK) {
        c->txBlocked = !c->txEdge;
      } else if (error != EINTR) {
        // Only the I/O thread closes: shutting the socket down makes it hear of it.
        c->txError = error;
        c->txBlocked = true;
        shutdown(c->fd, SHUT_RDWR);
      }
    }
    c->txFlushing = false;
    if (c->txDead) {
      failed = std::exchange(c->txQueue, {});
      failure = c->txError != 0 ? -c->txError : -ECONNRESET;
    }
  }
  if (fromFile) senders_.want(c);
  if (done.empty() && failed.empty() && !handOver) return;
  const Lock lock(mutex_);
  // closePeer has failed who waited for an answer, but did not know yet that these do.
  const int unanswered = c->txDead ? -ECONNRESET : 0;
  while (TxMessage* m = done.pop()) {
    endMessage(m, m->md != nullptr && m->md->wantsResponse && !m->md->responseDone ? unanswered : 0);
  }
  while (TxMessage* m = failed.pop()) endMessage(m, failure);
  if (handOver) wantFlush(c);
  // Only a turn of the I/O thread wakes the consumer.
  if (who == Flusher::Sender ? wakes_.urgent() : resumeWanted_ && who == Flusher::Owner) wakeThread();
}

// Gives what waited to the connections that have come up; the I/O thread flushes them.
void Endpoint::flushPending(Peer& peer) {
  TxQueue waiting = std::exchange(peer.pending, {});
  while (TxMessage* m = waiting.pop()) {
    const ConnectionPtr c = pick(peer, m->size);
    if (c != nullptr) {
      enqueue(c, m);
      wantFlush(c);
    } else {
      peer.pending.push(m);
    }
  }
}

void Endpoint::failPending(Peer& peer, int error) {
  TxQueue waiting = std::exchange(peer.pending, {});
  while (TxMessage* m = waiting.pop()) endMessage(m, error);
}

}  // namespace lustre::lnet
