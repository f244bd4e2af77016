#include "proxy/body_peek.hpp"

#include "base/text.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/prompt_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

namespace herd::proxy {
namespace {

using Kind = JsonReader::Kind;

constexpr std::size_t tags_max = 16;
constexpr std::size_t tag_bytes_max = 64;
constexpr std::size_t blobs_max = 256;
constexpr std::size_t fallbacks_max = 8;
constexpr std::size_t name_bytes_max = 350;
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
    if (!value || !(std::abs(*value) <= 2e9)) { // nor is NaN a number to cast
        return std::nullopt;
    }
    return static_cast<int>(*value);
}

constexpr double duration_most = 9.2e9; ///< seconds: what Go's 64 bits of nanoseconds hold

/// Such as "1h30m", "-1m", "0"; as Go reads it.
std::optional<base::Duration> go_duration(std::string_view text)
{
    static constexpr std::array<std::pair<std::string_view, double>, 8> units{
        {{"ns", 1e-9}, {"us", 1e-6}, {"\u00B5s", 1e-6}, {"\u03BCs", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
    const bool negative = text.starts_with('-');
    if (negative || text.starts_with('+')) {
        text.remove_prefix(1);
    }
    if (text == "0") {
        return base::Duration{};
    }
    double seconds = 0;
    if (text.empty()) {
        return std::nullopt;
    }
    while (!text.empty()) {
        const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
        double count = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + digits, count, std::chars_format::fixed);
        if (error != std::errc{} || end != text.data() + digits) {
            return std::nullopt;
        }
        text.remove_prefix(digits);
        const auto* const unit = std::ranges::find_if(units, [text](const auto& each) { return text.starts_with(each.first); });
        if (unit == units.end()) {
            return std::nullopt;
        }
        seconds += count * unit->second;
        text.remove_prefix(unit->first.size());
    }
    if (seconds > duration_most) {
        return std::nullopt;
    }
    return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(negative ? -seconds : seconds));
}

/// FNV-1a, carried on.
std::uint64_t hash(std::uint64_t seed, std::string_view text)
{
    for (const char c : text) {
        seed = (seed ^ static_cast<unsigned char>(c)) * fleet::hash_step;
    }
    return (seed ^ 0xff) * fleet::hash_step;
}

class Peeker {
public:
    Peeker(std::string_view body, BodyPeek& peek) : reader_(body), body_(body), peek_(peek) {}

    void run()
    {
        peek_.empty = body_.find_first_not_of(" \t\r\n") == body_.npos;
        if (reader_.kind() != Kind::object || !reader_.enter()) {
            peek_.broken = !peek_.empty;
            return;
        }
        while (const auto key = reader_.next_key()) {
            member(*key);
        }
        peek_.object = !reader_.broken();
        peek_.broken = peek_.broken || reader_.broken();
        finish();
    }

private:
    /// One member of the body: taken note of, measured, or stepped over.
    void member(std::string_view written)
    {
        std::array<char, key_bytes_max> space{};
        const auto key = JsonReader::lower_key(written, space);
        if (key == "model") {
            const bool given = reader_.kind() != Kind::null;
            const auto at = reader_.position();
            ++peek_.model_members;
            peek_.model_exact = written == key;
            text(peek_.model);
            peek_.model_at = given ? Place{at, reader_.position() - at} : peek_.model_at;
        } else if (key == "messages") {
            messages();
        } else if (key == "prompt") {
            const auto from = reader_.position();
            const auto next = reader_.kind();
            prompt_.prompt(reader_);
            peek_.prompt_empty = next == Kind::null || base::trim(body_.substr(from, reader_.position() - from)) == "\"\"";
        } else if (key == "system" || key == "instructions") {
            prompt_.instructions(reader_);
        } else if (key == "tools") {
            prompt_.tools(reader_);
        } else if (key == "input") {
            prompt_.input(reader_);
        } else if (key == "suffix") {
            prompt_.suffix(reader_);
        } else if (key == "images") {
            prompt_.images(reader_);
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
        } else if (key == "user") {
            peek_.user.clear();
            short_text(peek_.user);
        } else if (key == "fallback_models") {
            peek_.fallback_models.clear();
            words(peek_.fallback_models, fallbacks_max, name_bytes_max);
        } else if (key == "fallback") {
            const auto raw = reader_.skip();
            peek_.no_fallback = raw == "false";
            peek_.prefer_loaded = raw == "\"prefer_loaded\"";
        } else if (key == "force") {
            peek_.force = reader_.skip() == "true";
        } else if (key == "name") {
            const bool given = reader_.kind() != Kind::null;
            const auto at = reader_.position();
            text(peek_.name);
            peek_.name_at = given ? Place{at, reader_.position() - at} : peek_.name_at;
        } else if (key == "from") {
            text(peek_.from);
        } else if (key == "source") {
            text(peek_.source);
        } else if (key == "destination") {
            text(peek_.destination);
        } else if (key == "node_id" || key == "nodes") {
            nodes(key == "nodes");
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
        peek_.keep_alive_given = kind != Kind::null;
        peek_.keep_alive.reset();
        if (kind == Kind::string && raw.size() < 64) {
            peek_.keep_alive = go_duration(raw.substr(1, raw.size() - 2));
        } else if (const auto seconds = kind == Kind::number ? number(raw) : std::nullopt) {
            const auto most = std::clamp(*seconds, -duration_most, duration_most); // nor is NaN a number to clamp
            peek_.keep_alive = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(most));
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
        const auto from = reader_.position();
        prompt_.messages(reader_);
        const auto inside = base::trim(body_.substr(from, reader_.position() - from));
        peek_.messages_empty = kind != Kind::array || base::trim(inside.substr(std::min<std::size_t>(1, inside.size()))) == "]";
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
            peek_.tags.clear();
            words(peek_.tags, tags_max, tag_bytes_max);
        }
    }

    /// A list of strings: those that are not empty and not too long, as many as there may be.
    void words(std::vector<std::string>& into, std::size_t count_max, std::size_t bytes_max)
    {
        if (reader_.kind() != Kind::array) {
            reader_.skip();
            return;
        }
        reader_.enter();
        while (reader_.next_element()) {
            std::string word;
            if (reader_.kind() != Kind::string) {
                reader_.skip();
            } else if (JsonReader::unescape(reader_.string(), word, bytes_max) && !word.empty() && into.size() < count_max) {
                into.push_back(std::move(word));
            }
        }
    }

    /// What names no node is told apart from saying nothing: that would mean any of them, or all.
    void nodes(bool list)
    {
        if (list && reader_.kind() == Kind::array) {
            const auto before = peek_.nodes.size();
            words(peek_.nodes, fallbacks_max, name_bytes_max);
            peek_.nodes_bad = peek_.nodes_bad || peek_.nodes.size() == before;
        } else if (reader_.kind() == Kind::string) {
            auto& name = list ? peek_.nodes_word : peek_.nodes.emplace_back();
            peek_.nodes_bad = !JsonReader::unescape(reader_.string(), name, name_bytes_max) || name.empty() || peek_.nodes_bad;
        } else {
            peek_.nodes_bad = reader_.skip() != "null" || peek_.nodes_bad;
        }
    }

    void short_text(std::string& into)
    {
        if (reader_.kind() != Kind::string) {
            reader_.skip();
        } else if (!JsonReader::unescape(reader_.string(), into, tag_bytes_max)) {
            into.clear();
        }
    }

    void finish()
    {
        std::uint64_t value = fleet::hash_start;
        bool any = false;
        for (std::size_t i = 1; i < load_options.size(); ++i) {
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
        const auto given = load_values_[0]; // num_ctx
        if (const auto context = given.empty() ? std::nullopt : integer(given); context && *context > 0) {
            peek_.num_ctx = context;
            peek_.num_ctx_at = {static_cast<std::size_t>(given.data() - body_.data()), given.size()};
        } else if (!given.empty()) {
            any = true;
            value = hash(value, given);
        }
        peek_.options_rest = any ? std::max<std::uint64_t>(value, 1) : 0;
        peek_.options_class = fleet::options_class_of(peek_.options_rest, peek_.num_ctx);
        peek_.prompt_bytes = prompt_.bytes();
        peek_.images = prompt_.images();
        peek_.prompt = prompt_.chain();
    }

    JsonReader reader_;
    std::string_view body_;
    BodyPeek& peek_;
    PromptReader prompt_; // (braces would clear its buffer)
    std::array<std::string_view, load_options.size()> load_values_{};
    std::optional<bool> shift_{};
};

} // namespace

BodyPeek peek_json(std::string_view body)
{
    BodyPeek peek;
    peek_json(body, peek);
    return peek;
}

void peek_json(std::string_view body, BodyPeek& peek) { Peeker(body, peek).run(); }

} // namespace herd::proxy
