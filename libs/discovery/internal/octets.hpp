#pragma once
// Big-endian integers out of and into bytes. The reader never leaves its span: its callers have checked the
// length of what they take, and asking for more is a programmer's error.
#include "base/assert.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace herd::discovery::internal {

class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    [[nodiscard]] std::size_t left() const { return bytes_.size(); }
    std::span<const std::uint8_t> take(std::size_t count)
    {
        HERD_ASSERT(count <= bytes_.size());
        const auto piece = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return piece;
    }
    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }

private:
    std::uint64_t number(std::size_t count)
    {
        std::uint64_t value = 0;
        for (const std::uint8_t byte : take(count)) {
            value = (value << 8) | byte;
        }
        return value;
    }
    std::span<const std::uint8_t> bytes_;
};

class Writer {
public:
    Writer() { bytes_.reserve(512); }
    [[nodiscard]] std::size_t size() const { return bytes_.size(); }
    void u8(std::uint8_t value) { bytes_.push_back(value); }
    void u16(std::uint16_t value) { number(value, 2); }
    void u32(std::uint32_t value) { number(value, 4); }
    void u64(std::uint64_t value) { number(value, 8); }
    void bytes(std::span<const std::uint8_t> piece) { bytes_.insert(bytes_.end(), piece.begin(), piece.end()); }
    void zeros(std::size_t count) { bytes_.resize(bytes_.size() + count); }
    void put_u16(std::size_t at, std::uint16_t value)
    {
        bytes_[at] = static_cast<std::uint8_t>(value >> 8);
        bytes_[at + 1] = static_cast<std::uint8_t>(value);
    }
    [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(bytes_); }

private:
    void number(std::uint64_t value, int count)
    {
        for (int shift = (count - 1) * 8; shift >= 0; shift -= 8) {
            bytes_.push_back(static_cast<std::uint8_t>(value >> shift));
        }
    }
    std::vector<std::uint8_t> bytes_{};
};

} // namespace herd::discovery::internal
