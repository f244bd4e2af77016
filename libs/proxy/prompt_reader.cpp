#include "proxy/prompt_reader.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace herd::proxy {
namespace {

constexpr std::size_t side_blocks_max = 256; ///< of tools, system and what else stands beside the conversation
constexpr std::size_t image_sample = 256;    ///< bytes of each end of an image that tell it from others

/// What a backslash and this character mean, for those that mean one byte.
constexpr std::array<char, 256> simple_escapes = [] {
    std::array<char, 256> table{};
    table['"'] = '"';
    table['\\'] = '\\';
    table['/'] = '/';
    table['b'] = '\b';
    table['f'] = '\f';
    table['n'] = '\n';
    table['r'] = '\r';
    table['t'] = '\t';
    return table;
}();

constexpr std::uint64_t k1 = 0x9E3779B185EBCA87U;
constexpr std::uint64_t k2 = 0xC2B2AE3D27D4EB4FU;

std::uint64_t mix(std::uint64_t a, std::uint64_t b)
{
    a = (a ^ (b * k1)) * k2;
    return a ^ (a >> 29);
}

std::uint64_t load(const char* at)
{
    std::uint64_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}

/// Two lanes of eight bytes. Made for speed, not against malice: a false match costs a wrong guess, no more.
std::uint64_t hash(std::string_view text, std::uint64_t seed)
{
    std::uint64_t a = seed ^ k1;
    std::uint64_t b = std::rotl(seed, 32) ^ (text.size() * k2);
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= 16; left -= 16, at += 16) {
        a = std::rotl(a ^ (load(at) * k1), 27) * k2;
        b = std::rotl(b ^ (load(at + 8) * k2), 31) * k1;
    }
    std::array<char, 16> rest{};
    if (left > 0) {
        std::memcpy(rest.data(), at, left);
    }
    a = std::rotl(a ^ (load(rest.data()) * k1), 27) * k2;
    b = std::rotl(b ^ (load(rest.data() + 8) * k2), 31) * k1;
    return mix(mix(a, b), a >> 32);
}

/// What a member of a message holds, by its name.
enum class Holds : std::uint8_t { text, nothing, images, perhaps_image, role };

bool is_base64(std::string_view text)
{
    return text.size() >= 64 && std::ranges::all_of(text.substr(0, 64), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/'
               || c == '\\' || c == '-' || c == '_';
    });
}

bool is_data_url(std::string_view text)
{
    return text.starts_with("data:") && text.substr(0, 64).find(";base64,") != text.npos;
}

Holds holds(std::string_view key, std::size_t depth)
{
    static constexpr std::array<std::string_view, 12> no_text{
        "type",  "id",     "tool_call_id", "tool_use_id", "call_id", "cache_control", "signature",
        "index", "detail", "media_type",   "format",      "status"};
    switch (key.size()) {
    case 3: return key == "url" ? Holds::perhaps_image : Holds::text;
    case 4:
        if (key == "role") {
            return depth <= 2 ? Holds::role : Holds::text;
        }
        if (key == "text" || key == "name") {
            return Holds::text;
        }
        if (key == "data") {
            return Holds::perhaps_image;
        }
        break;
    case 7:
        if (key == "content") {
            return Holds::text;
        }
        break;
    default: break;
    }
    if (key == "images") {
        return Holds::images;
    }
    if (key == "image_url") {
        return Holds::perhaps_image;
    }
    return std::ranges::find(no_text, key) == no_text.end() ? Holds::text : Holds::nothing;
}

} // namespace

/// A list of messages, or one text.
class PromptReader::MessageVisitor {
public:
    MessageVisitor(PromptReader& to, std::string_view role) : to_(to), role_(role), default_role_(role) {}

    void key(std::string_view inside, std::size_t depth) { holds_ = holds(inside, depth); }
    void string(std::string_view inside)
    {
        switch (holds_) {
        case Holds::text: is_data_url(inside) ? to_.image(inside) : to_.text(inside); break;
        case Holds::images: to_.image(inside); break;
        case Holds::perhaps_image: // or in the arguments of a tool call
            is_data_url(inside) || is_base64(inside) ? to_.image(inside) : to_.text(inside);
            break;
        case Holds::role: role_ = inside; break;
        case Holds::nothing: break;
        }
    }
    void scalar(std::string_view text)
    {
        if (holds_ == Holds::text && text != "null") {
            to_.put(text);
        }
    }
    void close(std::size_t depth)
    {
        holds_ = Holds::text;
        if (depth == 2) {
            to_.cut(role_);
            role_ = default_role_;
        }
    }
    [[nodiscard]] std::string_view role() const { return role_; }

private:
    PromptReader& to_;
    std::string_view role_;
    std::string_view default_role_;
    Holds holds_{Holds::text};
};

/// Everything counts: names, descriptions, structure.
class PromptReader::ToolVisitor {
public:
    explicit ToolVisitor(PromptReader& to) : to_(to) {}
    void key(std::string_view inside, std::size_t /*depth*/) { say(inside); }
    void string(std::string_view inside) { say(inside); }
    void scalar(std::string_view text) { say(text); }
    void close(std::size_t depth)
    {
        if (depth > 1) {
            to_.put("}");
        }
        if (depth == 2) {
            to_.cut("tool");
        }
    }

private:
    void say(std::string_view inside)
    {
        to_.text(inside);
        to_.put(",");
    }
    PromptReader& to_;
};

void PromptReader::tools(JsonReader& json)
{
    open(of_tools);
    ToolVisitor visitor(*this);
    if (json.kind() == JsonReader::Kind::null) {
        json.skip();
    } else {
        json.walk(visitor);
    }
    close("tool");
}

void PromptReader::instructions(JsonReader& json) { take_messages(json, of_system, "system"); }
void PromptReader::messages(JsonReader& json) { take_messages(json, of_messages, "user"); }
void PromptReader::prompt(JsonReader& json) { take_messages(json, of_prompt, "user"); }
void PromptReader::input(JsonReader& json) { take_messages(json, of_input, "user"); }
void PromptReader::suffix(JsonReader& json) { take_messages(json, of_suffix, "suffix"); }

void PromptReader::images(JsonReader& json)
{
    struct Visitor {
        PromptReader& to;
        void key(std::string_view /*inside*/, std::size_t /*depth*/) {}
        void string(std::string_view inside) { to.image(inside); }
        void scalar(std::string_view /*text*/) {}
        void close(std::size_t /*depth*/) {}
    } visitor{*this};
    open(of_images);
    json.walk(visitor);
    close("image");
}

void PromptReader::take_messages(JsonReader& json, Kind kind, std::string_view role)
{
    open(kind);
    MessageVisitor visitor(*this, role);
    json.walk(visitor);
    close(visitor.role());
}

void PromptReader::open(Kind kind)
{
    section_ = &sections_[kind];
    if (section_->end == blocks_.size()) {
        blocks_.resize(section_->begin); // read again: what came first does not count
    }
    const bool spent = blocks_.size() >= 2 * blocks_max; // of members that came again and again
    *section_ = {blocks_.size(), blocks_.size()};
    salt_ = 0;
    filled_ = 0;
    limit_ = room();
    if (spent) {
        section_ = nullptr;
    }
}

void PromptReader::close(std::string_view role)
{
    if (section_ != nullptr) {
        if (filled_ > 0 || salt_ != 0) {
            note(role);
            flush();
        }
        section_->end = blocks_.size();
        section_ = nullptr;
    }
}

/// Bytes that the next block may have; 0: this section has all the blocks it gets.
std::size_t PromptReader::room() const
{
    const bool side = section_ == &sections_[of_tools] || section_ == &sections_[of_system]
                      || section_ == &sections_[of_images] || section_ == &sections_[of_suffix];
    const auto limit = side ? side_blocks_max : blocks_max - 2 * side_blocks_max;
    const auto used = blocks_.size() - section_->begin;
    return used >= limit ? 0 : used < limit / 2 ? block_bytes : long_block_bytes;
}

void PromptReader::text(std::string_view written)
{
    if (section_ == nullptr) {
        return;
    }
    if (limit_ == 0) {
        put(written);
        return;
    }
    const char* at = written.data();
    const char* const end = at + written.size();
    while (at < end) {
        if (filled_ == limit_) {
            flush();
            if (limit_ == 0) {
                put({at, end});
                return;
            }
        }
        at = copy_plain(at, end);
        if (at == end || *at != '\\') {
            continue;
        }
        const char meant = at + 1 < end ? simple_escapes[static_cast<unsigned char>(at[1])] : '\0';
        if (meant != '\0' && filled_ < limit_) {
            buffer_[filled_++] = meant;
            ++section_->bytes;
            at += 2;
        } else if (filled_ < limit_) {
            std::array<char, 4> space{};
            std::size_t used = 0;
            const auto character = JsonReader::escape({at, end}, used, space);
            if (character.empty()) {
                return; // no JSON; whoever gets it will say so
            }
            put(character);
            at += used;
        }
    }
}

/// Copies up to the next backslash, the end, or the end of the block. Escapes stand close together or not at all:
/// the first bytes go eight at a time while they are looked at, the others by memchr and memcpy.
const char* PromptReader::copy_plain(const char* at, const char* end)
{
    constexpr std::uint64_t ones = 0x0101010101010101U;
    constexpr std::size_t near = 64;
    char* out = buffer_.data() + filled_;
    std::size_t left = std::min(static_cast<std::size_t>(end - at), limit_ - filled_);
    const std::size_t most = left;
    bool found = false;
    while (std::endian::native == std::endian::little && left >= 8 && most - left < near && !found) {
        const auto eight = load(at);
        std::memcpy(out, &eight, sizeof eight);
        const auto other = eight ^ (ones * '\\');
        const auto hit = (other - ones) & ~other & (ones << 7);
        found = hit != 0;
        const auto step = found ? static_cast<std::size_t>(std::countr_zero(hit)) / 8 : 8;
        at += step;
        out += step;
        left -= step;
    }
    if (!found && left > 0) {
        const void* hit = std::memchr(at, '\\', left);
        const auto step = hit == nullptr ? left : static_cast<std::size_t>(static_cast<const char*>(hit) - at);
        std::memcpy(out, at, step);
        at += step;
        left -= step;
    }
    filled_ += most - left;
    section_->bytes += most - left;
    return at;
}

void PromptReader::put(std::string_view run)
{
    if (section_ == nullptr) {
        return;
    }
    section_->bytes += run.size();
    while (!run.empty()) {
        if (filled_ == limit_ && limit_ > 0) {
            flush();
        }
        if (limit_ == 0) { // the rest belongs to the last block
            auto& last = blocks_.back();
            const auto most = std::numeric_limits<std::uint32_t>::max() - last.bytes;
            last.bytes += static_cast<std::uint32_t>(std::min<std::size_t>(run.size(), most));
            return;
        }
        const auto step = std::min(run.size(), limit_ - filled_);
        std::memcpy(buffer_.data() + filled_, run.data(), step);
        filled_ += step;
        run.remove_prefix(step);
    }
}

void PromptReader::image(std::string_view data)
{
    if (section_ == nullptr || data.empty()) {
        return;
    }
    ++section_->images;
    note(data.substr(0, image_sample));
    note(data.substr(data.size() - std::min(data.size(), image_sample)));
    salt_ = mix(salt_, data.size());
}

void PromptReader::note(std::string_view what)
{
    salt_ = hash(what == "developer" ? std::string_view("system") : what, salt_ + 1);
}

void PromptReader::cut(std::string_view role)
{
    if (section_ == nullptr || (filled_ == 0 && salt_ == 0)) {
        return;
    }
    note(role);
    // Thousands of short messages must not use up the blocks.
    if (limit_ == block_bytes || filled_ >= block_bytes) {
        flush();
    }
}

void PromptReader::flush()
{
    if (limit_ > 0) {
        blocks_.push_back({hash({buffer_.data(), filled_}, salt_), static_cast<std::uint32_t>(filled_)});
    }
    filled_ = 0;
    salt_ = 0;
    limit_ = room();
}

std::size_t PromptReader::bytes() const
{
    std::size_t sum = 0;
    for (const auto& section : sections_) {
        sum += section.bytes;
    }
    return sum;
}

int PromptReader::images() const
{
    int sum = 0;
    for (const auto& section : sections_) {
        sum += section.images;
    }
    return sum;
}

/// The blocks in the order in which a model reads them, and no others. Most requests have them so.
void PromptReader::put_in_order()
{
    std::size_t count = 0;
    bool ordered = true;
    for (const auto& section : sections_) {
        ordered = ordered && (section.begin == section.end || section.begin == count);
        count += section.end - section.begin;
    }
    if (ordered) {
        blocks_.resize(count);
        return;
    }
    std::vector<fleet::PromptBlock> sorted;
    sorted.reserve(count);
    for (const auto& section : sections_) {
        const auto first = blocks_.begin();
        sorted.insert(sorted.end(), first + static_cast<std::ptrdiff_t>(section.begin), first + static_cast<std::ptrdiff_t>(section.end));
    }
    blocks_ = std::move(sorted);
}

fleet::PromptChain PromptReader::chain()
{
    put_in_order();
    if (blocks_.empty()) {
        return nullptr;
    }
    blocks_.resize(std::min(blocks_.size(), blocks_max));
    std::uint64_t so_far = 0;
    for (auto& block : blocks_) {
        so_far = mix(std::rotl(so_far, 17) + k2, block.chain);
        block.chain = so_far;
    }
    return std::make_shared<const std::vector<fleet::PromptBlock>>(std::move(blocks_));
}

} // namespace herd::proxy
