// The grammar follows reference/ollama-api.md 1.0. Parsing is strict: what Ollama would call an invalid name
// is not looked up, so that a router never invents a model that no node could have.
#include "fleet/model_name.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace herd::fleet {
namespace {

constexpr std::string_view default_host = "registry.ollama.ai";
constexpr std::string_view default_namespace = "library";
constexpr std::string_view default_tag = "latest";
constexpr std::size_t part_length_max = 80;
constexpr std::size_t host_length_max = 350;

enum class Part { host, space, model, tag };

constexpr bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_valid(std::string_view text, Part part)
{
    if (text.empty() || text.size() > (part == Part::host ? host_length_max : part_length_max)) {
        return false;
    }
    if (!is_alnum(text.front()) && text.front() != '_') {
        return false;
    }
    return std::ranges::all_of(text, [part](char c) {
        return is_alnum(c) || c == '_' || c == '-' || (c == '.' && part != Part::space)
            || (c == ':' && part == Part::host);
    });
}

bool ends_with_ignoring_case(std::string_view text, std::string_view end)
{
    return text.size() >= end.size() && base::iequals(text.substr(text.size() - end.size()), end);
}

/// What stands behind the last ':' of the last path part; nothing when there is none.
std::string_view last_colon_part(std::string_view text)
{
    const auto colon = text.rfind(':');
    const auto slash = text.rfind('/');
    if (colon == std::string_view::npos || (slash != std::string_view::npos && slash > colon)) {
        return {};
    }
    return text.substr(colon + 1);
}

enum class Origin { none, cloud, local };

/// Takes one ":cloud", ":local" or "…-cloud" off the end of `text` (the last kind is only looked at).
Origin take_origin(std::string_view& text)
{
    const auto last = last_colon_part(text);
    if (base::iequals(last, "cloud") || base::iequals(last, "local")) {
        text.remove_suffix(last.size() + 1);
        return base::iequals(last, "cloud") ? Origin::cloud : Origin::local;
    }
    return ends_with_ignoring_case(last, "-cloud") ? Origin::cloud : Origin::none;
}

/// "x:cloud" is a name of its own and "x:20b:cloud" an other spelling of "x:20b-cloud": the tag keeps it.
std::string with_cloud_tag(std::string_view text, std::string_view original)
{
    if (text.size() == original.size()) {
        return std::string(text); // "-cloud" stands in the tag already
    }
    return std::string(text) + (last_colon_part(text).empty() ? ":cloud" : "-cloud");
}

struct Parts {
    std::string_view host{default_host};
    std::string_view space{default_namespace};
    std::string_view model{};
    std::string_view tag{default_tag};

    [[nodiscard]] bool valid() const
    {
        return is_valid(host, Part::host) && is_valid(space, Part::space) && is_valid(model, Part::model)
            && is_valid(tag, Part::tag);
    }
};

Parts split(std::string_view text)
{
    Parts parts;
    const auto colon = text.rfind(':');
    const auto slash = text.rfind('/');
    if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
        parts.tag = text.substr(colon + 1);
        text = text.substr(0, colon);
    }
    if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
        text = text.substr(scheme + 3);
    }
    const auto take_last = [&text](std::string_view& part) {
        const auto at = text.rfind('/');
        part = at == std::string_view::npos ? text : text.substr(at + 1);
        const bool more = at != std::string_view::npos;
        text = more ? text.substr(0, at) : std::string_view{};
        return more;
    };
    if (take_last(parts.model) && take_last(parts.space)) {
        parts.host = text; // a further '/' in it is refused by the grammar of a host
    }
    return parts;
}

constexpr auto plain = [] {
    std::array<bool, 256> table{};
    for (int i = 0; i < 256; ++i) {
        const auto c = static_cast<char>(i);
        table[static_cast<std::size_t>(i)] = is_alnum(c) || c == '_' || c == '-' || c == '.';
    }
    return table;
}();

/// "model" or "model:tag", as nearly all names are, in one go: nothing of a host, a namespace or a cloud. False: not
/// one of them (which says nothing about whether it is a good name).
bool parse_plain(std::string_view text, ModelName& name)
{
    const auto colon = std::min(text.find(':'), text.size());
    const auto model = text.substr(0, colon);
    const auto tag = colon < text.size() ? text.substr(colon + 1) : default_tag;
    const auto good = [](std::string_view part) {
        return !part.empty() && part.size() <= part_length_max && (is_alnum(part.front()) || part.front() == '_')
            && std::ranges::all_of(part, [](char c) { return plain[static_cast<unsigned char>(c)]; });
    };
    if (!good(model) || !good(tag) || ends_with_ignoring_case(tag, "cloud") || ends_with_ignoring_case(tag, "local")) {
        return false;
    }
    name.valid = true;
    name.display.reserve(model.size() + 1 + tag.size());
    name.display.append(model).append(1, ':').append(tag);
    constexpr std::string_view place = "registry.ollama.ai/library/";
    name.key.reserve(place.size() + name.display.size());
    name.key.append(place).append(name.display);
    for (char& c : std::span(name.key).subspan(place.size())) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return true;
}

} // namespace

ModelName ModelName::parse(std::string_view text)
{
    ModelName name;
    text = base::trim(text);
    if (parse_plain(text, name)) {
        return name;
    }
    auto bare = text;
    const auto origin = take_origin(bare);
    if (auto rest = bare; origin != Origin::none && bare.size() != text.size() && take_origin(rest) != Origin::none) {
        return name; // "use either :local or :cloud, not both"
    }
    const auto full = origin == Origin::cloud ? with_cloud_tag(bare, text) : std::string(bare);
    const auto parts = split(full);
    if (!parts.valid()) {
        return name;
    }
    name.valid = true;
    name.cloud = origin == Origin::cloud;
    const auto join = [](std::initializer_list<std::string_view> pieces) {
        std::string out;
        for (const auto piece : pieces) {
            out += piece;
        }
        return out;
    };
    name.key = base::lower(join({parts.host, "/", parts.space, "/", parts.model, ":", parts.tag}));
    const auto short_name = join({parts.model, ":", parts.tag});
    if (!base::iequals(parts.host, default_host)) {
        name.display = join({parts.host, "/", parts.space, "/", short_name});
    } else if (!base::iequals(parts.space, default_namespace)) {
        name.display = join({parts.space, "/", short_name});
    } else {
        name.display = short_name;
    }
    return name;
}

} // namespace herd::fleet
