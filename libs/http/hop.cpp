#include "http/hop.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>

namespace herd::http {

namespace {

constexpr std::array<std::string_view, 12> hop_by_hop{
    "connection",          "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "proxy-authentication-info", "te",   "trailer",            "transfer-encoding",   "upgrade",
    "content-length",      "expect"};

bool ends_here(std::string_view name)
{
    return std::ranges::any_of(hop_by_hop, [&](std::string_view own) {
        return own.size() == name.size() && base::iequals(own, name);
    });
}

std::string via_name(std::string_view own_id) { return "herd-" + std::string(own_id); }

} // namespace

void copy_end_to_end(const Fields& from, Fields& to, bool (*keep)(std::string_view name))
{
    HERD_ASSERT(&from != &to);
    const auto named = from.list("connection");
    to.reserve(to.bytes() + from.bytes(), to.size() + from.size());
    for (const Field field : from) {
        const bool listed = std::ranges::any_of(named, [&](std::string_view n) { return base::iequals(n, field.name); });
        // Some senders list what they must not: "Connection: host" would strip fields that every hop needs.
        const bool essential = base::iequals(field.name, "host") || base::iequals(field.name, "via");
        if (!ends_here(field.name) && (!listed || essential) && (keep == nullptr || keep(field.name))) {
            to.append(field.name, field.value); // checked when it came into `from`
        }
    }
}

void add_via(Fields& fields, std::string_view own_id) { fields.add("Via", "1.1 " + via_name(own_id)); }

bool via_contains(const Fields& fields, std::string_view own_id)
{
    if (!fields.find("via")) {
        return false; // nearly always
    }
    const std::string own = via_name(own_id);
    return std::ranges::any_of(fields.list("via"), [&](std::string_view entry) {
        // "1.1 name (comment)": the second word is who it was.
        const auto space = entry.find(' ');
        if (space == std::string_view::npos) {
            return false;
        }
        const std::string_view rest = base::trim(entry.substr(space));
        return base::iequals(rest.substr(0, rest.find_first_of(" (")), own);
    });
}

} // namespace herd::http
