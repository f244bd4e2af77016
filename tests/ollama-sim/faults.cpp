#include "faults.hpp"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

namespace herd::sim {

base::Result<void> Faults::add(std::string_view text)
{
    constexpr std::array<std::string_view, 8> kinds{"status", "reset", "hang",  "die",
                                                    "error",  "truncate", "stall", "slow"};
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return base::fail(base::Errc::bad_config, "a fault is a JSON object with a \"kind\"");
    }
    Fault fault;
    try {
        fault.kind = json.value("kind", "");
        fault.path = json.value("path", "");
        fault.error = json.value("error", fault.error);
        fault.status = json.value("status", fault.status);
        fault.after = json.value("after", fault.after);
        fault.factor = json.value("factor", fault.factor);
        fault.count = json.value("count", fault.count);
    } catch (const nlohmann::json::exception&) {
        return base::fail(base::Errc::bad_config, "a field of the fault has the wrong type");
    }
    if (std::ranges::find(kinds, fault.kind) == kinds.end()) {
        return base::fail(base::Errc::bad_config, "unknown kind of fault: " + fault.kind);
    }
    faults_.push_back(std::move(fault));
    return {};
}

std::optional<Fault> Faults::take(std::string_view path)
{
    for (auto it = faults_.begin(); it != faults_.end(); ++it) {
        if (!path.starts_with(it->path)) {
            continue;
        }
        const Fault fault = *it;
        if (it->count > 0 && --it->count == 0) {
            faults_.erase(it);
        }
        return fault;
    }
    return std::nullopt;
}

} // namespace herd::sim
