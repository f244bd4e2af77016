#include "http/hop.hpp"

#include "base/assert.hpp"
#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace herd::http {

namespace {

constexpr std::array<std::string_view, 12> hop_by_hop{
    "connection",          "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "proxy-authentication-info", "te",   "trailer",            "transfer-encoding",   "upgrade",
    "content-length",      "expect"};

bool ends_here(std::string_view name)
{
    constexpr auto lengths = [] {
        std::uint32_t mask = 0;
        for (const auto own : hop_by_hop) {
            mask |= 1U << own.size();
        }
        return mask;
    }();
    static_assert(std::ranges::all_of(hop_by_hop, [](std::string_view own) { return own.size() < 32; }));
    if (name.size() >= 32 || (lengths >> name.size() & 1U) == 0) {
        return false;
    }
    return std::ranges::any_of(hop_by_hop, [&](std::string_view own) {
        return own.size() == name.size() && base::iequals(own, name);
    });
}

/// Some senders list what they must not: "Connection: host" would strip fields that every hop needs.
bool is_listed(const std::vector<std::string_view>& named, std::string_view name)
{
    return std::ranges::any_of(named, [&](std::string_view n) { return base::iequals(n, name); })
           && !base::iequals(name, "host") && !base::iequals(name, "via");
}

std::string via_name(std::string_view own_id) { return "herd-" + std::string(own_id); }

} // namespace

void copy_end_to_end(const Fields& from, Fields& to, bool (*keep)(std::string_view name))
{
    HERD_ASSERT(&from != &to);
    const auto named = from.list("connection");
    to.reserve(to.bytes() + from.bytes(), to.size() + from.size());
    for (const Field field : from) {
        if (!ends_here(field.name) && !is_listed(named, field.name) && (keep == nullptr || keep(field.name))) {
            to.append(field.name, field.value); // checked when it came into `from`
        }
    }
}

void keep_end_to_end(Fields& fields, bool (*keep)(std::string_view name))
{
    if (const auto named = fields.list("connection"); !named.empty()) {
        std::vector<std::string> gone; // whose names lie in what is about to change
        for (const Field field : fields) {
            if (is_listed(named, field.name)) {
                gone.emplace_back(field.name);
            }
        }
        for (const auto& name : gone) {
            fields.remove(name);
        }
    }
    fields.keep_if([](std::string_view name) { return !ends_here(name); });
    if (keep != nullptr) {
        fields.keep_if(keep);
    }
}

void add_via(Fields& fields, std::string_view own_id)
{
    std::array<char, 64> value; // NOLINT: filled below
    constexpr std::string_view before = "1.1 herd-";
    HERD_ASSERT(own_id.size() <= value.size() - before.size());
    auto* const end = std::ranges::copy(own_id, std::ranges::copy(before, value.begin()).out).out;
    fields.append("Via", {value.data(), static_cast<std::size_t>(end - value.data())});
}

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
