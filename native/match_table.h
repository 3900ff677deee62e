// Memory descriptors, match entries and portals (guide 01 §5). Pure bookkeeping: no sockets, no threads, no
// events.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "checksum.h"
#include "file_sink.h"
#include "file_source.h"
#include "memory_table.h"
#include "scatter.h"
#include "wire.h"

namespace lustre::lnet {

namespace option {
inline constexpr std::uint32_t kPut = 0x1;
inline constexpr std::uint32_t kGet = 0x2;
inline constexpr std::uint32_t kManageRemote = 0x4;
inline constexpr std::uint32_t kTruncate = 0x10;
inline constexpr std::uint32_t kAckDisable = 0x20;
inline constexpr std::uint32_t kMaxSize = 0x80;
}  // namespace option

inline constexpr std::uint32_t kPortals = 64;
inline constexpr std::uint32_t kThresholdInfinite = ~std::uint32_t{0};
inline constexpr std::uint32_t kNoFinalOffset = ~std::uint32_t{0};
inline constexpr std::size_t kMaxFragments = 256;

struct Md {
  enum class Kind : std::uint8_t { Attached, Put, Get };

  std::uint64_t object = 0;  // wire handle: never reused; the low bits are the slot
  Kind kind = Kind::Attached;
  std::uint32_t options = 0;
  std::uint32_t threshold = 0;
  std::uint32_t maxSize = 0;
  std::uint32_t finalOffset = kNoFinalOffset;  // a message to this offset or beyond exhausts it
  std::uint32_t length = 0;
  std::uint32_t localOffset = 0;
  std::uint32_t refs = 0;  // transfers into or out of it that are under way
  std::uint32_t handler = 0;
  std::uint32_t generation = 0;
  bool autoUnlink = false;
  bool linked = false;     // in a portal's list
  bool unlinking = false;  // its last event carries `unlinked`
  // PUT and GET of our own:
  bool sendDone = false;
  bool wantsResponse = false;
  bool responseDone = false;
  bool quiet = false;  // the call that sends it has not returned, and tells of its end itself
  Nid peer = kNidAny;
  std::uint32_t peerPid = kPidAny;
  // Match entry:
  std::uint32_t portal = 0;
  std::uint64_t matchBits = 0;
  std::uint64_t ignoreBits = 0;
  std::int64_t order = 0;
  Md* next = nullptr;
  Md* previous = nullptr;
  // Waiting for a response, oldest first:
  std::int64_t deadline = 0;
  Md* waitNext = nullptr;
  Md* waitPrevious = nullptr;
  bool waiting = false;

  // Taken over what is received into it; with each event that says so.
  ChecksumType checksum = ChecksumType::kNone;

  std::vector<iovec> pieces;
  std::vector<MemoryId> memories;
  // What a PUT sends, or the REPLY to the only GET that it takes, instead of memory.
  std::unique_ptr<FileSource> file;
  // Where what is received goes instead of memory.
  std::shared_ptr<FileSink> sink;

  ScatterCursor cursor(std::size_t offset, std::size_t bytes) const {
    return {pieces.data(), pieces.size(), offset, bytes};
  }
  bool exhausted() const {
    return threshold == 0 || ((options & option::kMaxSize) != 0 && localOffset + maxSize > length);
  }
};

struct MatchQuery {
  std::uint32_t operation;  // option::kPut or option::kGet
  std::uint32_t portal;
  Nid nid;
  std::uint32_t pid;
  std::uint64_t matchBits;
  std::uint32_t rlength;
  std::uint32_t offset;
};

struct MatchResult {
  enum class Outcome { Matched, NoMatch, TooLong };
  Outcome outcome = Outcome::NoMatch;
  Md* md = nullptr;
  std::uint32_t offset = 0;
  std::uint32_t mlength = 0;
};

class MatchTable {
 public:
  // A fresh descriptor; nullptr when the table is full.
  Md* create(Md::Kind kind);
  // By wire handle; nullptr for unknown, freed or forged ones.
  Md* find(std::uint64_t object);
  // Its memories must have been let go of before.
  void destroy(Md* md);

  void attach(Md* md, bool before);
  void detach(Md* md);

  // guide 01 §5.1. A match takes a reference, moves the offset, counts the threshold, and takes the entry out
  // of its list when it is exhausted and unlinks by itself.
  MatchResult match(const MatchQuery& query);
  // The same for one entry: what a parked message does when a buffer is attached.
  MatchResult matchOne(Md* md, const MatchQuery& query);

  template <typename Visit>
  void forEachLive(Visit visit) {
    for (Md& md : slots_) {
      if (md.object != 0) visit(md);
    }
  }
  std::size_t live() const { return slots_.size() - free_.size(); }
  // Whether a PUT to the portal may have to go into a file.
  bool hasSinks(std::uint32_t portal) const { return portal < kPortals && portals_[portal].sinks > 0; }

 private:
  struct List {
    Md* head = nullptr;
    Md* tail = nullptr;
  };
  struct Portal {
    List wild;                                      // entries with ignore bits
    std::unordered_map<std::uint64_t, List> exact;  // entries without, by match bits
    std::int64_t first = 0;
    std::int64_t last = 0;
    std::size_t sinks = 0;  // entries whose PUTs go into files
  };

  static constexpr unsigned kSlotBits = 20;

  void take(Md* md, const MatchQuery& query, MatchResult& result);
  List& listOf(Md* md);

  std::array<Portal, kPortals> portals_;
  std::deque<Md> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t nextObject_ = 1;
};

}  // namespace lustre::lnet
