#include "storage_binding.h"

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "checksum.h"
#include "object_file.h"
#include "own_descriptor.h"
#include "t10.h"

namespace lustre {

namespace {

// The largest integer that a double holds exactly, as Number.MAX_SAFE_INTEGER.
constexpr double kMaxSafeInteger = 9007199254740991.0;
// A bulk RPC has at most 256 niobufs of one page run each; far above that only a mistake lies.
constexpr uint32_t kMaxSegments = 65536;

void ThrowType(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

// A non-negative 64-bit quantity: a safe integer or a bigint.
std::optional<int64_t> ToInt64(const Napi::Value& value) {
  if (value.IsBigInt()) {
    bool lossless = false;
    const int64_t number = value.As<Napi::BigInt>().Int64Value(&lossless);
    if (lossless && number >= 0) return number;
  } else if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= 0 && number <= kMaxSafeInteger && std::trunc(number) == number)
      return static_cast<int64_t>(number);
  }
  return std::nullopt;
}

std::optional<uint32_t> ToUint32(const Napi::Value& value, uint32_t max) {
  const std::optional<int64_t> number = ToInt64(value);
  if (!number || *number > max) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::optional<ChecksumType> ToChecksumType(const Napi::Value& value) {
  const std::optional<uint32_t> number = ToUint32(value, UINT32_MAX);
  if (!number || !IsChecksumType(*number)) return std::nullopt;
  return static_cast<ChecksumType>(*number);
}

// One that a readv or writev cannot take.
std::optional<uint32_t> ToBulkChecksumType(const Napi::Value& value) {
  const std::optional<uint32_t> number = ToUint32(value, UINT32_MAX);
  return number && IsBulkChecksumType(*number) ? number : std::nullopt;
}

// Segments as the pool thread uses them, and the JavaScript views that keep their memory alive meanwhile.
struct Pinned {
  std::vector<iovec> segments;
  Napi::Array views;
};

// Fails when `value` is no array of Uint8Arrays.
std::optional<Pinned> ToSegments(Napi::Env env, const Napi::Value& value) {
  if (!value.IsArray()) return std::nullopt;
  const auto array = value.As<Napi::Array>();
  const uint32_t count = array.Length();
  if (count > kMaxSegments) return std::nullopt;
  // A list of our own: the caller may change his while the operation runs.
  Pinned pinned{{}, Napi::Array::New(env, count)};
  pinned.segments.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const Napi::Value element = array.Get(i);
    if (!element.IsTypedArray()) return std::nullopt;
    const auto view = element.As<Napi::TypedArray>();
    if (view.TypedArrayType() != napi_uint8_array) return std::nullopt;
    auto bytes = view.As<Napi::Uint8Array>();
    pinned.segments.push_back({bytes.Data(), bytes.ByteLength()});
    pinned.views.Set(i, element);
  }
  return pinned;
}

// A blocking operation on a thread of libuv's pool, its result a promise for {error, value, checksum}. Plain
// Node-API instead of Napi::AsyncWorker, which aborts the process when a worker thread is terminated with
// work under way: calls then fail because no JavaScript may run any more, and that is no error.
class StorageWork {
 public:
  using Operation = std::function<FileResult()>;

  static Napi::Value Start(Napi::Env env, Operation operation, const Napi::Array* views = nullptr) {
    auto work = std::unique_ptr<StorageWork>(new StorageWork(std::move(operation)));
    napi_value promise = nullptr;
    napi_value name = Napi::String::New(env, "lustre:storage");
    const bool ready =
        (views == nullptr || napi_create_reference(env, *views, 1, &work->views_) == napi_ok) &&
        napi_create_promise(env, &work->deferred_, &promise) == napi_ok &&
        napi_create_async_work(env, nullptr, name, Execute, Complete, work.get(), &work->work_) == napi_ok;
    if (!ready || napi_queue_async_work(env, work->work_) != napi_ok) {
      work->Release(env);
      Napi::Error::New(env, "storage: the operation could not be queued").ThrowAsJavaScriptException();
      return env.Undefined();
    }
    // Complete deletes it.
    work.release();
    return Napi::Value(env, promise);
  }

 private:
  explicit StorageWork(Operation operation) : operation_(std::move(operation)) {}

  static void Execute(napi_env, void* data) {
    auto* work = static_cast<StorageWork*>(data);
    work->result_ = work->operation_();
  }

  static void Complete(napi_env env, napi_status, void* data) {
    const std::unique_ptr<StorageWork> work(static_cast<StorageWork*>(data));
    napi_value object = nullptr;
    if (napi_create_object(env, &object) == napi_ok && Set(env, object, "error", work->result_.error) &&
        Set(env, object, "value", static_cast<double>(work->result_.value)) &&
        Set(env, object, "checksum", work->result_.checksum)) {
      napi_resolve_deferred(env, work->deferred_, object);
    }
    work->Release(env);
  }

  static bool Set(napi_env env, napi_value object, const char* name, double number) {
    napi_value value = nullptr;
    return napi_create_double(env, number, &value) == napi_ok &&
           napi_set_named_property(env, object, name, value) == napi_ok;
  }

  void Release(napi_env env) {
    if (views_ != nullptr) napi_delete_reference(env, views_);
    if (work_ != nullptr) napi_delete_async_work(env, work_);
  }

  Operation operation_;
  napi_async_work work_ = nullptr;
  napi_deferred deferred_ = nullptr;
  napi_ref views_ = nullptr;
  FileResult result_;
};

Napi::Value ResultObject(Napi::Env env, const FileResult& result) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("error", Napi::Number::New(env, result.error));
  object.Set("value", Napi::Number::New(env, static_cast<double>(result.value)));
  object.Set("checksum", Napi::Number::New(env, result.checksum));
  return object;
}

// checksum(type, segments, page offset) -> number, in the caller's thread.
Napi::Value ChecksumNow(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> type = ToBulkChecksumType(info[0]);
  const std::optional<Pinned> pinned = ToSegments(info.Env(), info[1]);
  const std::optional<uint32_t> page_offset = ToUint32(info[2], UINT32_MAX);
  if (!type || !pinned || !page_offset) {
    ThrowType(info.Env(), "checksum: expected (type, Uint8Array[], page offset)");
    return info.Env().Undefined();
  }
  return Napi::Number::New(info.Env(), BulkChecksumOf(*type, pinned->segments, *page_offset));
}

// checksumAsync(type, segments, page offset)
Napi::Value ChecksumLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> type = ToBulkChecksumType(info[0]);
  const std::optional<Pinned> pinned = ToSegments(info.Env(), info[1]);
  const std::optional<uint32_t> page_offset = ToUint32(info[2], UINT32_MAX);
  if (!type || !pinned || !page_offset) {
    ThrowType(info.Env(), "checksumAsync: expected (type, Uint8Array[], page offset)");
    return info.Env().Undefined();
  }
  auto operation = [type = *type, segments = pinned->segments, page_offset = *page_offset] {
    return FileResult{.checksum = BulkChecksumOf(type, segments, page_offset)};
  };
  return StorageWork::Start(info.Env(), std::move(operation), &pinned->views);
}

using TransferFunction = FileResult (*)(int, int64_t, std::span<const iovec>, ChecksumType);
using TransferNow = std::optional<FileResult> (*)(int, int64_t, std::span<const iovec>, ChecksumType);

// What is moved in the caller's thread where no disk has to be waited for: a thread of the pool would cost
// more than the copy. The most that travels inside messages.
constexpr size_t kShort = 64 * 1024;

// readv/writev(fd, position, segments, type): a promise, or for little data the result itself.
template <TransferFunction kTransfer, TransferNow kNow>
Napi::Value Transfer(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  const std::optional<int64_t> position = ToInt64(info[1]);
  const std::optional<Pinned> pinned = ToSegments(info.Env(), info[2]);
  const std::optional<ChecksumType> type = ToChecksumType(info[3]);
  if (!fd || !position || !pinned || !type) {
    ThrowType(info.Env(), "readv/writev: expected (fd, position, Uint8Array[], checksum type)");
    return info.Env().Undefined();
  }
  if (BytesOf(pinned->segments) <= kShort) {
    const auto result = kNow(static_cast<int>(*fd), *position, pinned->segments, *type);
    if (result) return ResultObject(info.Env(), *result);
  }
  auto operation = [fd = static_cast<int>(*fd), position = *position, segments = pinned->segments,
                    type = *type] { return kTransfer(fd, position, segments, type); };
  return StorageWork::Start(info.Env(), std::move(operation), &pinned->views);
}

// Ranges as [position, length, position, length ...]. Fails for anything else.
std::optional<std::vector<ByteRange>> ToRanges(const Napi::Value& value) {
  if (!value.IsArray()) return std::nullopt;
  const auto array = value.As<Napi::Array>();
  const uint32_t count = array.Length();
  if (count > 2 * kMaxSegments || count % 2 != 0) return std::nullopt;
  std::vector<ByteRange> ranges;
  ranges.reserve(count / 2);
  for (uint32_t i = 0; i < count; i += 2) {
    const std::optional<int64_t> position = ToInt64(array.Get(i));
    const std::optional<int64_t> length = ToInt64(array.Get(i + 1));
    if (!position || !length) return std::nullopt;
    ranges.push_back({*position, static_cast<uint64_t>(*length)});
  }
  return ranges;
}

// checksumRanges(fd, ranges, type)
Napi::Value ChecksumRangesLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  std::optional<std::vector<ByteRange>> ranges = ToRanges(info[1]);
  const std::optional<ChecksumType> type = ToChecksumType(info[2]);
  if (!fd || !ranges || !type) {
    ThrowType(info.Env(), "checksumRanges: expected (fd, [position, length ...], checksum type)");
    return info.Env().Undefined();
  }
  auto own = std::make_shared<OwnDescriptor>(static_cast<int>(*fd));
  auto operation = [own, ranges = std::move(*ranges), type = *type] {
    return own->get() < 0 ? FileResult{.error = own->error()} : ChecksumRanges(own->get(), ranges, type);
  };
  return StorageWork::Start(info.Env(), std::move(operation));
}

// allocate(fd, mode, position, length)
Napi::Value AllocateLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  const std::optional<uint32_t> mode = ToUint32(info[1], static_cast<uint32_t>(AllocateMode::kPunchHole));
  const std::optional<int64_t> position = ToInt64(info[2]);
  const std::optional<int64_t> length = ToInt64(info[3]);
  if (!fd || !mode || !position || !length) {
    ThrowType(info.Env(), "allocate: expected (fd, mode, position, length)");
    return info.Env().Undefined();
  }
  auto operation = [fd = static_cast<int>(*fd), mode = static_cast<AllocateMode>(*mode), position = *position,
                    length = *length] { return Allocate(fd, mode, position, length); };
  return StorageWork::Start(info.Env(), std::move(operation));
}

// seek(fd, kind, position)
Napi::Value SeekLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  const std::optional<uint32_t> kind = ToUint32(info[1], static_cast<uint32_t>(SeekKind::kHole));
  const std::optional<int64_t> position = ToInt64(info[2]);
  if (!fd || !kind || !position) {
    ThrowType(info.Env(), "seek: expected (fd, kind, position)");
    return info.Env().Undefined();
  }
  auto operation = [fd = static_cast<int>(*fd), kind = static_cast<SeekKind>(*kind), position = *position] {
    return Seek(fd, kind, position);
  };
  return StorageWork::Start(info.Env(), std::move(operation));
}

// sync(fd)
Napi::Value SyncLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  if (!fd) {
    ThrowType(info.Env(), "sync: expected (fd)");
    return info.Env().Undefined();
  }
  return StorageWork::Start(info.Env(), [fd = static_cast<int>(*fd)] { return SyncData(fd); });
}

// syncFileSystem(fd)
Napi::Value SyncFileSystemLater(const Napi::CallbackInfo& info) {
  const std::optional<uint32_t> fd = ToUint32(info[0], INT32_MAX);
  if (!fd) {
    ThrowType(info.Env(), "syncFileSystem: expected (fd)");
    return info.Env().Undefined();
  }
  return StorageWork::Start(info.Env(), [fd = static_cast<int>(*fd)] { return SyncFileSystem(fd); });
}

}  // namespace

Napi::Object InitStorage(Napi::Env env, Napi::Object exports) {
  Napi::Object storage = Napi::Object::New(env);
  storage.Set("checksum", Napi::Function::New<ChecksumNow>(env, "checksum"));
  storage.Set("checksumAsync", Napi::Function::New<ChecksumLater>(env, "checksumAsync"));
  storage.Set("readv", Napi::Function::New<Transfer<ReadSegments, ReadCached>>(env, "readv"));
  storage.Set("writev", Napi::Function::New<Transfer<WriteSegments, WriteCached>>(env, "writev"));
  storage.Set("checksumRanges", Napi::Function::New<ChecksumRangesLater>(env, "checksumRanges"));
  storage.Set("allocate", Napi::Function::New<AllocateLater>(env, "allocate"));
  storage.Set("seek", Napi::Function::New<SeekLater>(env, "seek"));
  storage.Set("sync", Napi::Function::New<SyncLater>(env, "sync"));
  storage.Set("syncFileSystem", Napi::Function::New<SyncFileSystemLater>(env, "syncFileSystem"));
  exports.Set("storage", storage);
  return exports;
}

}  // namespace lustre
