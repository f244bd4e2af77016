#include "herd/policy/pin_request.hpp"

#include "herd/policy/policy_json.hpp"

#include <cstdint>

#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using Json = nlohmann::ordered_json;

constexpr double wait_max_s = 600;

std::unexpected<base::Error> fault(std::string why) { return base::fail(base::Errc::malformed, std::move(why)); }

} // namespace

base::Result<PinRequest> parse_pin_request(std::string_view body)
{
    const auto json = nested_too_deeply(body) ? Json(Json::value_t::discarded) : Json::parse(body, nullptr, false);
    if (!json.is_object()) {
        return fault("the body must be a JSON object");
    }
    PinRequest request;
    for (const auto& [key, value] : json.items()) {
        if (key == "model" || key == "node_id") {
            if (!value.is_string() && !value.is_null()) {
                return fault(key + " must be a string");
            }
            (key == "model" ? request.model : request.node) = value.is_null() ? std::string{} : value.get<std::string>();
        } else if (key == "wait" || key == "force" || key == "pinned") {
            if (!value.is_boolean()) {
                return fault(key + " must be true or false");
            }
            (key == "wait" ? request.wait : key == "force" ? request.force : request.pinned) = value.get<bool>();
        } else if (key == "timeout_s") {
            const double seconds = value.is_number() ? value.get<double>() : -1; // Python writes 30.0 for 30
            if (!value.is_null() && !(seconds >= 0 && seconds <= wait_max_s)) {
                return fault("timeout_s must be a number from 0 to 600");
            }
            if (!value.is_null()) {
                request.timeout = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
            }
        }
    }
    return request;
}

std::string native_body(const PinRequest& request)
{
    Json body{{"model", request.model}, {"force", request.force}};
    if (!request.node.empty()) {
        body["node"] = request.node;
    }
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

} // namespace herd::app
