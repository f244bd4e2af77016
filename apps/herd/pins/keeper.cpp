#include "herd/pins/keeper.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "http/fetch.hpp"
#include "proxy/heads.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace herd::app::pins {

namespace {

using Json = nlohmann::ordered_json;

constexpr base::Duration connect_patience = std::chrono::seconds{5};
constexpr base::Duration listing_step = std::chrono::milliseconds{50};
constexpr std::size_t answer_bytes_max = 1024 * 1024;
constexpr std::size_t words_max = 300;

std::string body_of(const Request& request, bool embeds)
{
    Json body{{"model", request.model}};
    if (embeds) {
        body["input"] = "";
    } else {
        body["stream"] = false;
    }
    if (request.num_ctx > 0) {
        body["options"] = {{"num_ctx", request.num_ctx}};
    }
    const auto number = Json::parse(request.keep_alive, nullptr, false); // -1; bare seconds of OLLAMA_KEEP_ALIVE
    body["keep_alive"] = number.is_number() ? number : Json(request.keep_alive);
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A node's own words, as far as they fit into a sentence.
std::string words_of(const http::Answer& answer)
{
    const auto json = Json::parse(answer.body, nullptr, false);
    const auto error = json.is_object() ? json.find("error") : json.end();
    if (json.is_object() && error != json.end() && error->is_string()) {
        return std::string{base::cut_text(error->get_ref<const std::string&>(), words_max)};
    }
    return "it answered with status " + std::to_string(answer.head.status);
}

std::string words_of(const base::Error& error)
{
    return error.context.empty() ? std::string{base::to_string(error.code)} : error.context;
}

bool lists(const fleet::Snapshot& snapshot, const Request& request)
{
    const fleet::NodeView* node = snapshot.find(request.node);
    return node != nullptr && node->facts
           && std::ranges::find(node->facts->loaded, request.key, &fleet::LoadedModel::key) != node->facts->loaded.end();
}

} // namespace

Keeper::Keeper(net::Loop& loop, net::Network& network, FleetOwner& fleet, base::Rng rng, KeeperOptions options)
    : loop_(loop), fleet_(fleet), options_(options), pool_(loop, network, http::PoolOptions{.connect_timeout = connect_patience}),
      plan_(rng, options.limits), timer_(loop), tasks_(loop, "pins")
{
}

void Keeper::want(std::vector<Pin> pins)
{
    if (pins == plan_.wanted()) {
        return;
    }
    plan_.want(std::move(pins));
    latest_ = fleet_.publish();
    look();
}

void Keeper::preload(std::vector<Popular> models)
{
    preload_.want(std::move(models));
    if (!preload_.idle() && !stopping_) {
        latest_ = fleet_.publish();
        look();
    }
}

void Keeper::changed(const std::shared_ptr<const fleet::Snapshot>& snapshot)
{
    if (!idle() && !stopping_) {
        latest_ = snapshot;
        arm(std::max(loop_.now(), looked_at_ + options_.at_most_every));
    }
}

void Keeper::arm(base::Instant at)
{
    if (armed_for_ && *armed_for_ <= at) {
        return;
    }
    armed_for_ = at;
    timer_.call_at(at, [this] { look(); });
}

void Keeper::look()
{
    if (stopping_ || !latest_) {
        return;
    }
    timer_.cancel();
    armed_for_.reset();
    looked_at_ = loop_.now();
    for (Request& each : plan_.step(*latest_, loop_.now(), loop_.wall())) {
        start(std::move(each));
    }
    for (Request& each : preload_.step(*latest_, plan_.entries(), loop_.now())) {
        start(std::move(each));
    }
    if (const auto next = plan_.next_look(loop_.now())) {
        arm(std::max(*next, looked_at_ + options_.at_most_every));
    }
    if (idle()) {
        latest_.reset();
    }
}

void Keeper::start(Request request)
{
    log::info("pins", request.lets_go ? "let_go" : request.preloads ? "preload" : "load", {{"model", request.model}, {"node", request.node_name}});
    tasks_.spawn("request", carry_out(std::move(request)));
}

net::Task<void> Keeper::carry_out(Request request)
{
    const std::string error = co_await ask(request);
    if (stopping_) {
        co_return;
    }
    if (error.empty()) {
        co_await until_listed(request);
    } else {
        log::warn("pins", "load_failed", {{"model", request.model}, {"node", request.node_name}, {"why", error}});
    }
    if (!stopping_) {
        if (request.preloads) {
            preload_.ended(request);
        } else {
            plan_.ended(request, error, loop_.now());
        }
        latest_ = fleet_.publish();
        look();
    }
}

/// The node reads its list anew, so that what was loaded is there for the next look.
net::Task<void> Keeper::until_listed(const Request& request)
{
    fleet_.apply(fleet::NodeChanged{request.node});
    const auto deadline = loop_.now() + options_.listing_max;
    while (!stopping_ && loop_.now() < deadline && !lists(*fleet_.publish(), request)) {
        (void)co_await net::sleep_for(loop_, listing_step);
    }
}

/// Why it failed; empty when the node has it in memory.
net::Task<std::string> Keeper::ask(const Request& request)
{
    std::string why;
    for (const bool embeds : {request.embeds, true}) {
        http::RequestHead head;
        head.method = "POST";
        head.target = embeds ? "/api/embed" : "/api/generate";
        head.fields.add("Content-Type", "application/json");
        proxy::address_to(head, request.address);
        const auto answer = co_await http::fetch(loop_, pool_, request.address.endpoint, std::move(head), body_of(request, embeds),
                                                 {.timeout = options_.load_max, .body_bytes_max = answer_bytes_max, .trust = request.address.trust()});
        if (!answer) {
            co_return words_of(answer.error());
        }
        why = answer->head.status == 200 ? std::string{} : words_of(*answer);
        if (embeds || answer->head.status != 400 || why.find("does not support generate") == std::string::npos) {
            break; // else it is one for embeddings, which an old Ollama does not tell
        }
    }
    co_return why;
}

net::Task<void> Keeper::stop()
{
    stopping_ = true;
    timer_.cancel();
    tasks_.cancel();
    co_await tasks_.join();
}

} // namespace herd::app::pins
