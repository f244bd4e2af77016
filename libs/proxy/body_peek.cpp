#include "proxy/body_peek.hpp"

#include "proxy/json_reader.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace herd::proxy {
namespace {

using Kind = JsonReader::Kind;

constexpr std::size_t tags_max = 16;
constexpr std::size_t tag_bytes_max = 64;
constexpr std::size_t blobs_max = 256;
constexpr std::size_t key_bytes_max = 24; ///< longer keys are none of ours
constexpr std::array<std::string_view, 7> load_options{"num_ctx",  "num_batch",  "num_gpu",          "main_gpu",
                                                       "use_mmap", "num_thread", "draft_num_predict"};

std::optional<double> number(std::string_view text)
{
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<int> integer(std::string_view text)
{
    const auto value = number(text);
    if (!value || std::abs(*value) > 2e9) {
        return std::nullopt;
    }
    return static_cast<int>(*value);
}

/// A Go duration such as "0s" or "0h0m0.0s" that is nothing; its sign does not matter.
bool zero_duration(std::string_view text)
{
    if (text.starts_with('-') || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return true;
    }
    bool digits = false;
    bool unit = false;
    for (const char c : text) {
        if (c >= '1' && c <= '9') {
            return false;
        }
        digits = digits || c == '0';
        unit = unit || c == 's' || c == 'm' || c == 'h';
    }
    return digits && unit && text.find_first_not_of("0.nsuµmh") == text.npos;
}

/// FNV-1a, carried on.
std::uint64_t hash(std::uint64_t seed, std::string_view text)
{
    for (const char c : text) {
        seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    return (seed ^ 0xff) * 0x100000001b3U;
}

class Peeker {
public:
    explicit Peeker(std::string_view body) : reader_(body), body_(body) {}

    BodyPeek run()
    {
        peek_.empty = body_.find_first_not_of(" \t\r\n") == body_.npos;
        if (reader_.kind() != Kind::object || !reader_.enter()) {
            peek_.broken = !peek_.empty;
            return std::move(peek_);
        }
        while (const auto key = reader_.next_key()) {
            member(*key);
        }
        peek_.object = !reader_.broken();
        peek_.broken = peek_.broken || reader_.broken();
        finish();
        return std::move(peek_);
    }

private:
    /// One member of the body: taken note of, measured, or stepped over.
    void member(std::string_view written)
    {
        std::array<char, key_bytes_max> space{};
        const auto key = JsonReader::lower_key(written, space);
        if (key == "model") {
            text(peek_.model);
        } else if (key == "messages") {
            messages();
        } else if (key == "prompt") {
            const auto next = reader_.kind();
            const auto raw = reader_.skip_counting(peek_.prompt_bytes);
            peek_.prompt_empty = next == Kind::null || raw == "\"\"";
        } else if (key == "input" || key == "system" || key == "tools" || key == "instructions" || key == "suffix") {
            reader_.skip_counting(peek_.prompt_bytes);
        } else if (key == "options") {
            options();
        } else if (key == "stream") {
            boolean(peek_.stream);
        } else if (key == "keep_alive") {
            keep_alive();
        } else if (key == "max_tokens" || key == "max_output_tokens") {
            tokens(reader_.skip());
        } else if (key == "shift") {
            boolean(shift_);
        } else if (key == "metadata") {
            metadata();
        } else if (key == "files" || key == "adapters") {
            blobs();
        } else if (key == "name") {
            text(peek_.name);
        } else if (key == "from") {
            text(peek_.from);
        } else if (key == "source") {
            text(peek_.source);
        } else if (key == "destination") {
            text(peek_.destination);
        } else {
            reader_.skip();
        }
    }

    void text(std::string& into)
    {
        switch (reader_.kind()) {
        case Kind::string:
            if (!JsonReader::unescape(reader_.string(), into)) {
                peek_.broken = true;
            }
            break;
        case Kind::null: reader_.skip(); break; // Go leaves the field as it was
        default:
            reader_.skip();
            peek_.broken = true;
        }
    }

    void boolean(std::optional<bool>& into)
    {
        const auto kind = reader_.kind();
        const auto raw = reader_.skip();
        if (kind == Kind::boolean) {
            into = raw == "true";
        }
    }

    void tokens(std::string_view raw)
    {
        if (const auto value = integer(raw); value && *value > 0) {
            peek_.output_tokens_max = value;
        }
    }

    void keep_alive()
    {
        const auto kind = reader_.kind();
        const auto raw = reader_.skip();
        if (kind == Kind::number) {
            const auto value = number(raw);
            peek_.keep_alive_zero = value && *value == 0;
        } else if (kind == Kind::string && raw.size() < 64) {
            peek_.keep_alive_zero = zero_duration(raw.substr(1, raw.size() - 2));
        } else {
            peek_.keep_alive_zero = false;
        }
    }

    void options()
    {
        if (reader_.kind() != Kind::object) {
            reader_.skip();
            return;
        }
        reader_.enter();
        while (const auto key = reader_.next_key()) {
            const auto raw = reader_.skip();
            if (*key == "num_predict") {
                tokens(raw);
            }
            for (std::size_t i = 0; i < load_options.size(); ++i) {
                if (*key == load_options[i]) {
                    load_values_[i] = raw == "null" ? std::string_view{} : raw;
                }
            }
        }
    }

    void messages()
    {
        const auto kind = reader_.kind();
        const auto raw = reader_.skip_counting(peek_.prompt_bytes);
        if (kind != Kind::array) {
            peek_.messages_empty = true;
            return;
        }
        JsonReader inner(raw);
        peek_.messages_empty = !(inner.enter() && inner.next_element());
    }

    void blobs()
    {
        if (reader_.kind() != Kind::object) {
            reader_.skip();
            return;
        }
        reader_.enter();
        while (reader_.next_key()) {
            if (reader_.kind() != Kind::string) {
                reader_.skip();
                continue;
            }
            std::string digest;
            if (JsonReader::unescape(reader_.string(), digest, 128) && peek_.blobs.size() < blobs_max) {
                peek_.blobs.push_back(std::move(digest));
            }
        }
    }

    void metadata()
    {
        if (reader_.kind() != Kind::object) {
            reader_.skip();
            return;
        }
        reader_.enter();
        while (const auto key = reader_.next_key()) {
            std::array<char, key_bytes_max> space{};
            if (JsonReader::lower_key(*key, space) != "tags" || reader_.kind() != Kind::array) {
                reader_.skip();
                continue;
            }
            reader_.enter();
            while (reader_.next_element()) {
                std::string tag;
                if (reader_.kind() != Kind::string) {
                    reader_.skip();
                } else if (JsonReader::unescape(reader_.string(), tag, tag_bytes_max) && !tag.empty()
                           && peek_.tags.size() < tags_max) {
                    peek_.tags.push_back(std::move(tag));
                }
            }
        }
    }

    void finish()
    {
        std::uint64_t value = 0xcbf29ce484222325U;
        bool any = false;
        for (std::size_t i = 0; i < load_options.size(); ++i) {
            const auto given = load_values_[i];
            if (given.empty() || (load_options[i] == "num_gpu" && given.starts_with('-'))) {
                continue;
            }
            any = true;
            value = hash(hash(value, load_options[i]), given);
        }
        if (shift_ == false) {
            any = true;
            value = hash(value, "no shift");
        }
        peek_.options_class = any ? (value == 0 ? 1 : value) : 0;
        if (!load_values_[0].empty()) {
            if (const auto context = integer(load_values_[0]); context && *context > 0) {
                peek_.num_ctx = context;
            }
        }
    }

    JsonReader reader_;
    std::string_view body_;
    BodyPeek peek_{};
    std::array<std::string_view, load_options.size()> load_values_{};
    std::optional<bool> shift_{};
};

} // namespace

BodyPeek peek_json(std::string_view body) { return Peeker(body).run(); }

} // namespace herd::proxy
