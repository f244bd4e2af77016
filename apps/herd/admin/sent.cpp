#include "herd/admin/sent.hpp"

#include "proxy/sent.hpp"

#include <nlohmann/json.hpp>

namespace herd::app::admin {

namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

} // namespace

std::vector<Sent> sent_of(const proxy::ProxyOptions& options, const proxy::Key* key)
{
    std::vector<Sent> all;
    if (options.frontends == nullptr) {
        return all;
    }
    for (const auto& frontend : options.frontends->all()) {
        const auto& config = frontend->config;
        if (!frontend->use.empty() && (key == nullptr || key->may_use_frontend(config.id) || key->may_use_frontend(config.name))) {
            all.push_back({config.id, frontend->use});
        }
    }
    return all;
}

std::string with_use(std::string status, const fleet::Snapshot& snapshot, const std::vector<Sent>& sent)
{
    if (sent.empty()) {
        return status;
    }
    Json json = Json::parse(status);
    for (const Sent& one : sent) {
        const fleet::NodeView* view = snapshot.find(std::string_view{one.node});
        json["use"].push_back({{"frontend", one.frontend},
                               {"node", view != nullptr ? view->name : one.node},
                               {"state", view != nullptr ? fleet::to_string(view->state) : "unknown"}});
    }
    return dumped(json);
}

std::string with_sent(std::string decision, const fleet::Snapshot& snapshot, const proxy::Frontend* frontend)
{
    const std::string words = proxy::sent_words(frontend, snapshot);
    if (words.empty()) {
        return decision;
    }
    Json json = Json::parse(decision);
    json["sent"] = words;
    for (Json& candidate : json["candidates"]) {
        const fleet::NodeView* view = snapshot.find(std::string_view{candidate["id"].get_ref<const std::string&>()});
        if (candidate.value("reason", "") == "not_member" && view != nullptr && proxy::is_passed_by(*frontend, *view)) {
            candidate["reason"] = "sent_elsewhere";
        }
    }
    return dumped(json);
}

} // namespace herd::app::admin
