// Bulk checksums of the T10 kind (guide 12 §6.2): the Adler-32 of the guard tags of sectors. Unlike those of
// checksum.h they do not follow from the checksums of parts, and depend on where in a page the bytes begin.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace lustre {

// Whether `value` is one of T10 in obd_cksum_types.
bool IsT10Type(uint32_t value);

// Whether `value` is one of T10 or of checksum.h, none included.
bool IsBulkChecksumType(uint32_t value);

// Of either kind, as o_cksum carries it; `type` as above. `page_offset` is where in a page the first byte
// lies.
uint32_t BulkChecksumOf(uint32_t type, std::span<const iovec> segments, uint32_t page_offset);

// Guard tags of one sector.
uint16_t CrcGuard(const uint8_t* data, size_t length);
uint16_t IpGuard(const uint8_t* data, size_t length);

}  // namespace lustre
