#include "match_table.h"

#include <algorithm>

namespace lustre::lnet {

Md* MatchTable::create(Md::Kind kind) {
  std::uint32_t slot;
  if (free_.empty()) {
    if (slots_.size() >> kSlotBits != 0) return nullptr;
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Md& md = slots_[slot];
  // The vectors keep their capacity from one life to the next.
  std::vector<iovec> pieces = std::move(md.pieces);
  std::vector<MemoryId> memories = std::move(md.memories);
  pieces.clear();
  memories.clear();
  md = Md{};
  md.pieces = std::move(pieces);
  md.memories = std::move(memories);
  md.kind = kind;
  md.object = (nextObject_++ << kSlotBits) | slot;
  return &md;
}

Md* MatchTable::find(std::uint64_t object) {
  const std::size_t slot = object & ((std::uint64_t{1} << kSlotBits) - 1);
  if (object == 0 || slot >= slots_.size() || slots_[slot].object != object) return nullptr;
  return &slots_[slot];
}

void MatchTable::destroy(Md* md) {
  if (md->linked) detach(md);
  const auto slot = static_cast<std::uint32_t>(md->object & ((std::uint64_t{1} << kSlotBits) - 1));
  md->object = 0;
  md->file.reset();
  md->sink.reset();
  free_.push_back(slot);
}

MatchTable::List& MatchTable::listOf(Md* md) {
  Portal& portal = portals_[md->portal];
  return md->ignoreBits == 0 ? portal.exact[md->matchBits] : portal.wild;
}

void MatchTable::attach(Md* md, bool before) {
  Portal& portal = portals_[md->portal];
  List& list = listOf(md);
  md->linked = true;
  if (md->sink != nullptr) ++portal.sinks;
  md->order = before ? --portal.first : ++portal.last;
  md->previous = before ? nullptr : list.tail;
  md->next = before ? list.head : nullptr;
  (md->previous != nullptr ? md->previous->next : list.head) = md;
  (md->next != nullptr ? md->next->previous : list.tail) = md;
}

void MatchTable::detach(Md* md) {
  if (!md->linked) return;
  if (md->sink != nullptr) --portals_[md->portal].sinks;
  List& list = listOf(md);
  (md->previous != nullptr ? md->previous->next : list.head) = md->next;
  (md->next != nullptr ? md->next->previous : list.tail) = md->previous;
  md->linked = false;
  md->next = md->previous = nullptr;
  if (md->ignoreBits == 0 && list.head == nullptr) portals_[md->portal].exact.erase(md->matchBits);
}

MatchResult MatchTable::match(const MatchQuery& query) {
  if (query.portal >= kPortals) return {};
  Portal& portal = portals_[query.portal];
  Md* wild = portal.wild.head;
  Md* exact = nullptr;
  if (const auto found = portal.exact.find(query.matchBits); found != portal.exact.end()) {
    exact = found->second.head;
  }
  // Two lists, each in order: walk them as one.
  while (wild != nullptr || exact != nullptr) {
    Md*& candidate = exact == nullptr || (wild != nullptr && wild->order < exact->order) ? wild : exact;
    Md* md = candidate;
    candidate = md->next;
    const MatchResult result = matchOne(md, query);
    if (result.outcome != MatchResult::Outcome::NoMatch) return result;
  }
  return {};
}

MatchResult MatchTable::matchOne(Md* md, const MatchQuery& query) {
  if (md->exhausted() || (md->options & query.operation) == 0) return {};
  if (((md->matchBits ^ query.matchBits) & ~md->ignoreBits) != 0) return {};
  if (md->peerPid != kPidAny && md->peerPid != query.pid) return {};
  if (md->peer != kNidAny && md->peer != query.nid) return {};

  MatchResult result;
  result.md = md;
  const bool remote = (md->options & option::kManageRemote) != 0;
  result.offset = std::min(remote ? query.offset : md->localOffset, md->length);
  std::uint32_t room = md->length - result.offset;
  if ((md->options & option::kMaxSize) != 0) room = std::min(room, md->maxSize);
  const bool outside = remote && query.offset > md->length;
  if (outside || (query.rlength > room && (md->options & option::kTruncate) == 0)) {
    result.outcome = MatchResult::Outcome::TooLong;
    return result;
  }
  result.mlength = std::min(room, query.rlength);
  take(md, query, result);
  return result;
}

void MatchTable::take(Md* md, const MatchQuery& query, MatchResult& result) {
  result.outcome = MatchResult::Outcome::Matched;
  md->localOffset = result.offset + result.mlength;
  if (md->threshold != kThresholdInfinite) --md->threshold;
  if (md->finalOffset != kNoFinalOffset && query.offset >= md->finalOffset) md->threshold = 0;
  ++md->refs;
  if (md->autoUnlink && md->exhausted()) {
    detach(md);
    md->unlinking = true;
  }
}

}  // namespace lustre::lnet
