#include "store/internal/usage_rows.hpp"

namespace herd::store::internal {

namespace {

std::int64_t us(base::Duration duration) { return std::chrono::duration_cast<std::chrono::microseconds>(duration).count(); }

/// Numbers of seven bits a byte, the sign in the lowest.
class Packer {
public:
    void put(std::int64_t value)
    {
        auto bits = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
        for (; bits >= 0x80; bits >>= 7) {
            bytes_ += static_cast<char>(bits | 0x80);
        }
        bytes_ += static_cast<char>(bits);
    }
    void put(std::uint64_t value) { put(static_cast<std::int64_t>(value)); }
    void put(base::Duration value) { put(us(value)); }
    void put(base::WallTime value) { put(std::int64_t{value.time_since_epoch().count()}); }
    void put(const Spread& spread)
    {
        put(std::uint64_t{spread.steps().size()});
        for (const auto& [step, count] : spread.steps()) {
            put(std::int64_t{step});
            put(std::uint64_t{count});
        }
    }
    [[nodiscard]] std::string take() { return std::move(bytes_); }

private:
    std::string bytes_;
};

class Unpacker {
public:
    explicit Unpacker(std::string_view bytes) : bytes_(bytes) {}
    void get(std::int64_t& value)
    {
        std::uint64_t bits = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (bytes_.empty()) {
                good_ = false;
                return;
            }
            const auto byte = static_cast<unsigned char>(bytes_.front());
            bytes_.remove_prefix(1);
            bits |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) {
                value = static_cast<std::int64_t>(bits >> 1) ^ -static_cast<std::int64_t>(bits & 1);
                return;
            }
        }
        good_ = false;
    }
    void get(std::uint64_t& value)
    {
        std::int64_t number = 0;
        get(number);
        value = static_cast<std::uint64_t>(number);
    }
    void get(base::Duration& value)
    {
        std::int64_t number = 0;
        get(number);
        value = std::chrono::microseconds{number};
    }
    void get(base::WallTime& value)
    {
        std::int64_t number = 0;
        get(number);
        value = base::WallTime{std::chrono::microseconds{number}};
    }
    void get(Spread& spread)
    {
        std::uint64_t steps = 0;
        get(steps);
        for (; good_ && steps > 0; --steps) {
            std::int64_t step = 0;
            std::uint64_t count = 0;
            get(step);
            get(count);
            spread.add_step(static_cast<std::int16_t>(step), static_cast<std::uint32_t>(count));
        }
    }
    [[nodiscard]] bool whole() const { return good_ && bytes_.empty(); }

private:
    std::string_view bytes_;
    bool good_{true};
};

/// All of a cell, in the order in which it lies on the disk.
template <class Cell, class Do>
void each_field(Cell& cell, Do each)
{
    each(cell.requests);
    each(cell.errors);
    each(cell.disconnects);
    each(cell.retries);
    each(cell.cold_loads);
    each(cell.prompt_tokens);
    each(cell.cached_tokens);
    each(cell.output_tokens);
    each(cell.total);
    each(cell.ttft_ms);
    each(cell.tokens_per_s);
    each(cell.completed);
    each(cell.fallbacks);
    each(cell.total_min);
    each(cell.total_max);
    each(cell.ttft);
    each(cell.first);
    each(cell.last);
    each(cell.prompt_lengths);
    each(cell.lengths);
    each(cell.prompt_length_max);
    each(cell.length_max);
}

} // namespace

UsageSample sample_of(const Statement& row)
{
    const auto time = [&](int column) { return base::Duration(std::chrono::microseconds{row.integer(column)}); };
    return {.at = base::WallTime{std::chrono::microseconds{row.integer(0)}},
            .status = static_cast<int>(row.integer(1)),
            .termination = row.text(2),
            .attempts = static_cast<std::uint64_t>(row.integer(3)),
            .prompt_tokens = row.integer(4),
            .cached_tokens = row.integer(5),
            .output_tokens = row.integer(6),
            .load = time(7),
            .ttft = time(8),
            .total = time(9),
            .tokens_per_s = row.number(10),
            .fallback = row.integer(11) != 0};
}

const char* name_column(UsageBy by)
{
    switch (by) {
    case UsageBy::model: return "model";
    case UsageBy::node: return "node";
    case UsageBy::tag: return "tag";
    case UsageBy::key: return "key";
    case UsageBy::client: return "client";
    case UsageBy::model_on_node: return "node || char(10) || model";
    }
    return "model";
}

std::string pack_cell(const UsageCell& cell)
{
    Packer packer;
    each_field(cell, [&packer](const auto& field) { packer.put(field); });
    return packer.take();
}

std::optional<UsageCell> unpack_cell(std::string_view bytes)
{
    UsageCell cell;
    Unpacker unpacker(bytes);
    each_field(cell, [&unpacker](auto& field) { unpacker.get(field); });
    return unpacker.whole() ? std::optional{std::move(cell)} : std::nullopt;
}

} // namespace herd::store::internal
