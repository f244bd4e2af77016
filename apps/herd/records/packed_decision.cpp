#include "herd/records/packed_decision.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace herd::app {

namespace {

// Little-endian, in the order of the calls below; a text is its length and its bytes. A change is a new version.
constexpr std::string_view mark = "HD\x01";
constexpr std::size_t text_max = 512;
constexpr std::size_t candidates_limit = 64;
static_assert(std::endian::native == std::endian::little);

enum Flag : std::uint8_t { loaded = 1, same_class = 2 };

/// Where bytes go: first it is seen how many there are, then they are written, each in its place.
struct Counted {
    std::size_t size{0};
    void bytes(const void*, std::size_t count) { size += count; }
};
struct Written {
    char* at;
    void bytes(const void* from, std::size_t count)
    {
        std::memcpy(at, from, count);
        at += count;
    }
};

template <class Into>
class Packer {
public:
    explicit Packer(Into& into) : into_(into) {}
    template <class T>
    void put(T value)
    {
        static_assert(std::is_arithmetic_v<T>);
        into_.bytes(&value, sizeof value);
    }
    void text(std::string_view words)
    {
        words = words.substr(0, text_max);
        put(static_cast<std::uint16_t>(words.size()));
        into_.bytes(words.data(), words.size());
    }
    void id(const base::NodeId& id) { into_.bytes(id.bytes.data(), id.bytes.size()); }

private:
    Into& into_;
};

/// Anybody may have edited the file: whatever does not fit makes it bad, and zeros from there on.
class Unpacker {
public:
    explicit Unpacker(std::string_view bytes) : left_(bytes) {}
    [[nodiscard]] bool good() const { return good_; }
    [[nodiscard]] bool at_end() const { return left_.empty(); }
    template <class T>
    T get()
    {
        T value{};
        const auto bytes = take(sizeof value);
        std::ranges::copy(bytes, reinterpret_cast<char*>(&value));
        if constexpr (std::is_floating_point_v<T>) {
            return std::isfinite(value) ? value : T{};
        }
        return value;
    }
    std::string text() { return std::string(take(get<std::uint16_t>())); }
    base::NodeId id()
    {
        base::NodeId id;
        const auto bytes = take(id.bytes.size());
        std::ranges::copy(bytes, reinterpret_cast<char*>(id.bytes.data()));
        return id;
    }

private:
    std::string_view take(std::size_t count)
    {
        if (count > left_.size()) {
            good_ = false;
            left_ = {};
            return {};
        }
        const auto taken = left_.substr(0, count);
        left_.remove_prefix(count);
        return taken;
    }
    std::string_view left_;
    bool good_{true};
};

template <class Into>
void pack(Packer<Into>& to, const fleet::Weighed& one)
{
    to.id(one.node);
    to.text(one.name);
    to.put(static_cast<std::uint8_t>(one.exclusion));
    to.put(static_cast<std::uint8_t>((one.loaded ? loaded : 0) | (one.same_class ? same_class : 0)));
    to.put(static_cast<std::int32_t>(one.free_slots));
    to.put(static_cast<std::int32_t>(one.slots));
    for (const double part : {one.cost.wait_s, one.cost.load_s, one.cost.prefill_s, one.cost.decode_s, one.cost.risk_s,
                              one.cached_tokens, one.prefill_rate, one.decode_rate}) {
        to.put(part);
    }
}

template <class Into>
void pack(Into& into, const fleet::Decision& decision, std::size_t kept)
{
    into.bytes(mark.data(), mark.size());
    Packer to(into);
    to.text(decision.model);
    to.put(static_cast<std::uint8_t>(decision.chosen ? 1 : 0));
    if (decision.chosen) {
        to.id(*decision.chosen);
    }
    to.put(decision.prompt_tokens);
    to.put(decision.output_tokens);
    to.put(decision.predicted_s);
    to.put(static_cast<std::int32_t>(decision.ahead));
    to.text(decision.note);
    to.put(static_cast<std::uint32_t>(decision.left_out + decision.candidates.size() - kept));
    to.put(static_cast<std::uint8_t>(kept));
    for (std::size_t i = 0; i < kept; ++i) {
        pack(to, decision.candidates[i]);
    }
}

fleet::Weighed unpack_one(Unpacker& from)
{
    fleet::Weighed one;
    one.node = from.id();
    one.name = from.text();
    one.exclusion = static_cast<fleet::Exclusion>(
        std::min(from.get<std::uint8_t>(), static_cast<std::uint8_t>(fleet::Exclusion::model_not_allowed)));
    const auto flags = from.get<std::uint8_t>();
    one.loaded = (flags & loaded) != 0;
    one.same_class = (flags & same_class) != 0;
    one.free_slots = from.get<std::int32_t>();
    one.slots = from.get<std::int32_t>();
    for (double* const part : {&one.cost.wait_s, &one.cost.load_s, &one.cost.prefill_s, &one.cost.decode_s, &one.cost.risk_s,
                               &one.cached_tokens, &one.prefill_rate, &one.decode_rate}) {
        *part = from.get<double>();
    }
    return one;
}

} // namespace

std::string pack_decision(const fleet::Decision& decision, std::size_t candidates_max)
{
    const std::size_t kept = std::min({decision.candidates.size(), candidates_max, candidates_limit});
    Counted counted;
    pack(counted, decision, kept);
    std::string out;
    out.resize_and_overwrite(counted.size, [&](char* begin, std::size_t size) {
        Written written{begin};
        pack(written, decision, kept);
        return size;
    });
    return out;
}

std::optional<fleet::Decision> unpack_decision(std::string_view bytes)
{
    if (!bytes.starts_with(mark)) {
        return std::nullopt;
    }
    Unpacker from(bytes.substr(mark.size()));
    fleet::Decision decision;
    decision.model = from.text();
    if (from.get<std::uint8_t>() != 0) {
        decision.chosen = from.id();
    }
    decision.prompt_tokens = from.get<double>();
    decision.output_tokens = from.get<double>();
    decision.predicted_s = from.get<double>();
    decision.ahead = from.get<std::int32_t>();
    decision.note = from.text();
    decision.left_out = from.get<std::uint32_t>();
    const auto count = std::min<std::size_t>(from.get<std::uint8_t>(), candidates_limit);
    for (std::size_t i = 0; i < count && from.good(); ++i) {
        decision.candidates.push_back(unpack_one(from));
    }
    if (!from.good() || !from.at_end()) {
        return std::nullopt;
    }
    return decision;
}

} // namespace herd::app
