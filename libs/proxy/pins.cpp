#include "proxy/pins.hpp"

#include "base/text.hpp"
#include "proxy/go_json.hpp"
#include "proxy/json_reader.hpp"

#include <algorithm>
#include <optional>

namespace herd::proxy {
namespace {

using Kind = JsonReader::Kind;

constexpr std::size_t text_bytes_max = 64 * 1024;
constexpr int depth_max = 32;

std::unexpected<base::Error> refuse(std::string why)
{
    return base::fail(base::Errc::bad_config, std::move(why));
}

/// What a key between quotes means. No limit: an object's key is as long as it is.
std::string meaning_of(std::string_view written)
{
    if (written.find('\\') == written.npos) {
        return std::string(written);
    }
    std::string out;
    return JsonReader::unescape(written, out, written.size()) ? out : std::string(written);
}

/// As Go's decoder compares keys with field names: ASCII letters regardless of case, and the two others that fold to
/// one of them (long s, and the sign for Kelvin).
std::string folded(std::string_view key)
{
    std::string out;
    out.reserve(key.size());
    for (std::size_t i = 0; i < key.size(); ++i) {
        const auto rest = key.substr(i);
        if (rest.starts_with("\xC5\xBF")) {
            out.push_back('s');
            i += 1;
        } else if (rest.starts_with("\xE2\x84\xAA")) {
            out.push_back('k');
            i += 2;
        } else {
            out.push_back(key[i] >= 'A' && key[i] <= 'Z' ? static_cast<char>(key[i] - 'A' + 'a') : key[i]);
        }
    }
    return out;
}

bool is_object(std::string_view value) { return !value.empty() && value.front() == '{'; }

} // namespace

/// Where the client's object has what is pinned.
struct Pins::Met {
    std::optional<std::size_t> last{};    ///< of those with this key, or one that Ollama takes for it
    std::optional<std::size_t> exactly{}; ///< the last one with this very key
    std::string_view value{};             ///< of that one
};

base::Result<std::vector<Pins::Member>> Pins::members_of(std::string_view object, int depth)
{
    std::vector<Member> members;
    JsonReader reader(object);
    reader.enter();
    while (const auto key = reader.next_key()) {
        Member member;
        member.key = meaning_of(*key);
        member.folded = folded(member.key);
        member.written = "\"" + std::string(*key) + "\"";
        member.value = reader.skip();
        if (std::ranges::find(members, member.folded, &Member::folded) != members.end()) {
            return refuse("\"" + member.key + "\" stands there twice (case does not count)");
        }
        member.object = is_object(member.value);
        if (member.object) {
            if (depth >= depth_max) {
                return refuse("objects are nested too deeply");
            }
            auto inner = members_of(member.value, depth + 1);
            if (!inner) {
                return inner;
            }
            member.members = std::move(*inner);
        }
        members.push_back(std::move(member));
    }
    return members;
}

base::Result<Pins> Pins::compile(std::string_view json)
{
    const auto text = base::trim(json);
    if (text.size() > text_bytes_max) {
        return refuse("longer than 64 KiB");
    }
    if (const auto fault = go_json_fault(text); !fault.empty()) {
        return refuse("no JSON: " + fault);
    }
    if (!is_object(text)) {
        return refuse("must be a JSON object such as {\"options\":{\"num_ctx\":8192}}");
    }
    JsonReader reader(text);
    if (reader.skip().size() != text.size()) {
        return refuse("something follows the JSON object");
    }
    auto members = members_of(text, 0);
    if (!members) {
        return std::unexpected(std::move(members.error()));
    }
    Pins pins;
    pins.text_ = text;
    pins.members_ = std::move(*members);
    return pins;
}

bool Pins::names(std::string_view key) const
{
    return std::ranges::find(members_, folded(key), &Member::folded) != members_.end();
}

std::string Pins::merge_into(std::string_view body) const
{
    std::string out;
    out.reserve(body.size() + text_.size());
    merge(out, body, members_);
    return out;
}

Pins Pins::with(const Pins& later) const
{
    return *compile(later.merge_into(text_)); // two good ones make a good one
}

void Pins::append_value(std::string& out, const Member& pin, std::string_view theirs)
{
    out.append(pin.written).push_back(':');
    if (pin.object) {
        merge(out, is_object(theirs) ? theirs : std::string_view("{}"), pin.members);
    } else {
        out.append(pin.value);
    }
}

void Pins::merge(std::string& out, std::string_view object, const std::vector<Member>& pins)
{
    struct Theirs {
        std::string_view written;
        std::string_view value;
        bool replaced;
    };
    std::vector<Theirs> theirs;
    std::vector<Met> met(pins.size());
    JsonReader reader(object);
    reader.enter();
    while (const auto key = reader.next_key()) {
        theirs.push_back({*key, reader.skip(), false});
        const auto meant = meaning_of(*key);
        const auto as_compared = folded(meant);
        for (std::size_t i = 0; i < pins.size(); ++i) {
            if (pins[i].folded != as_compared) {
                continue;
            }
            met[i].last = theirs.size() - 1;
            if (pins[i].key == meant) {
                met[i].exactly = met[i].last;
                met[i].value = theirs.back().value;
                theirs.back().replaced = true;
            }
        }
    }
    out.push_back('{');
    const auto begin = out.size();
    const auto separate = [&out, begin] {
        if (out.size() > begin) {
            out.push_back(',');
        }
    };
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        if (!theirs[i].replaced) {
            separate();
            out.append("\"").append(theirs[i].written).append("\":").append(theirs[i].value);
        }
        for (std::size_t pin = 0; pin < pins.size(); ++pin) {
            if (met[pin].exactly && met[pin].last == i) {
                separate();
                append_value(out, pins[pin], met[pin].value);
            }
        }
    }
    for (std::size_t pin = 0; pin < pins.size(); ++pin) {
        if (!met[pin].exactly) {
            separate();
            append_value(out, pins[pin], {});
        }
    }
    out.push_back('}');
}

} // namespace herd::proxy
