// What the frontend of a request means for it: which one it is, whether it takes such a request, what it writes into
// the body. Only called where frontends are configured.
#include "proxy/exchange.hpp"

#include "base/text.hpp"
#include "proxy/extras.hpp"
#include "proxy/frontend.hpp"
#include "proxy/go_json.hpp"

#include <algorithm>

namespace herd::proxy {

AtFrontend::~AtFrontend()
{
    if (counted) {
        frontend->load->in_flight.fetch_sub(1, std::memory_order_relaxed);
    }
}

/// "/f/team-a/api/chat" names its frontend; what follows is the path.
void Exchange::strip_prefix()
{
    const auto& head = client_.head();
    std::string_view rest;
    const auto* frontend = settings_->options->frontends->of_path(head.path(), rest);
    if (frontend == nullptr) {
        return;
    }
    visit_.at_ = std::make_unique<AtFrontend>();
    visit_.at_->frontend = frontend;
    visit_.at_->target = rest;
    if (!head.query().empty()) {
        visit_.at_->target.append("?").append(head.query());
    }
    route_ = classify(head.method, rest, head.query());
    if (!route_.location.empty()) {
        route_.location.insert(0, "/f/" + frontend->config.id);
    }
    record_.path = rest.substr(0, 512);
}

/// A key that is for one frontend is at that one whatever the Host; a path names one; else the Host tells.
const Frontend* Exchange::frontend_of_request() const
{
    const auto& all = *settings_->options->frontends;
    if (visit_.caller_ && visit_.caller_->key() != nullptr && visit_.caller_->key()->frontends.size() == 1) {
        if (const auto* bound = all.find(visit_.caller_->key()->frontends.front())) {
            return bound;
        }
    }
    if (visit_.at_ && visit_.at_->frontend != nullptr) {
        return visit_.at_->frontend; // its path said so
    }
    return all.of_host(client_.head().fields.find("Host").value_or(""));
}

std::optional<Problem> Exchange::enter_frontend()
{
    const auto* frontend = frontend_of_request();
    if (frontend == nullptr) {
        return Problem{400, "no_frontend_for_host", "no frontend has the host name asked for"};
    }
    if (!visit_.at_) {
        visit_.at_ = std::make_unique<AtFrontend>();
    }
    auto& at = *visit_.at_;
    at.frontend = frontend;
    options_ = frontend->options.get();
    record_.frontend = frontend->built_in ? std::string() : frontend->config.id;
    const auto kind = class_of(route_);
    if (auto refused = frontend->refusal(kind)) {
        return refused;
    }
    if (!frontend->config.allow_cloud && route_.pattern.starts_with("/api/experimental/web_")) {
        return Problem{403, "not_allowed", "frontend '" + frontend->config.id + "' does not allow the cloud"};
    }
    if (!frontend->built_in) { // what the frontend says, not what the client would like
        wishes_.allow_cloud = frontend->config.allow_cloud;
    }
    wishes_.rules = frontend->rules;
    for (const auto& label : frontend->labels) {
        if (std::ranges::find(wishes_.labels, label) == wishes_.labels.end()) {
            wishes_.labels.push_back(label);
        }
    }
    record_.labels = wishes_.labels;
    return kind == RequestClass::embeddings || kind == RequestClass::completions ? count_at_frontend(at) : std::nullopt;
}

/// One more of those in flight and of this minute, if there may be.
std::optional<Problem> Exchange::count_at_frontend(AtFrontend& at)
{
    const auto& config = at.frontend->config;
    auto& load = *at.frontend->load;
    auto running = load.in_flight.load(std::memory_order_relaxed);
    do { // one that is refused is never counted, not even while it is told so
        if (config.max_parallel != 0 && running >= config.max_parallel) {
            return Problem{429, "busy", "frontend '" + config.id + "' has as many requests running as it may", std::chrono::seconds{1}};
        }
    } while (!load.in_flight.compare_exchange_weak(running, running + 1, std::memory_order_relaxed));
    at.counted = true;
    if (config.per_minute != 0) {
        const auto each = base::Duration(std::chrono::minutes{1}) / config.per_minute;
        const auto wait = load.rate.take(began_, each, config.burst != 0 ? config.burst : config.per_minute);
        if (wait > base::Duration{}) {
            at.counted = false;
            load.in_flight.fetch_sub(1, std::memory_order_relaxed);
            return Problem{429, "busy", "frontend '" + config.id + "' takes no more requests this minute", wait};
        }
    }
    return std::nullopt;
}

/// Which node would carry the model out of this LAN: there it is one of the cloud under another name.
std::vector<base::NodeId> Exchange::stubs_of(const std::string& model_key, bool& elsewhere) const
{
    std::vector<base::NodeId> nodes;
    elsewhere = false;
    const auto snapshot = context_.scheduler.snapshot();
    const auto found = snapshot->models.find(model_key);
    if (found == snapshot->models.end()) {
        return nodes;
    }
    for (const auto& holder : found->second) {
        const auto& node = snapshot->nodes[holder.node];
        if (!node.facts || holder.tool != fleet::Tool::none) {
            continue;
        }
        if (node.facts->models[holder.model].remote) {
            nodes.push_back(node.id);
        } else {
            elsewhere = true;
        }
    }
    return nodes;
}

/// A frontend that keeps everything here: no model of a cloud by its name, as a fallback, as the stub that a copy of one
/// is, or further down in a body of which only the beginning was read.
std::optional<Problem> Exchange::not_for_frontend()
{
    const auto& config = visit_.at_->frontend->config;
    if (config.allow_cloud) {
        return std::nullopt;
    }
    const std::string sentence = "frontend '" + config.id + "' does not allow the cloud";
    const auto kind = class_of(route_);
    const bool runs = kind == RequestClass::embeddings || kind == RequestClass::completions;
    // Of two members the last one counts, of two parts of a form the first one.
    const bool unread = streamed_ && (!route_.multipart || model_.key.empty());
    if (runs && unread) {
        client_.close_after();
        return Problem{413, "too_large", sentence + ", and a body this large cannot be searched for its model: make it smaller than proxy.replay_body"};
    }
    if (runs && unreadable_) {
        return Problem{415, "unsupported", sentence + ", and a body with such a Content-Encoding cannot be searched for its model"};
    }
    bool elsewhere = false;
    const auto stubs = stubs_of(model_.key, elsewhere);
    if (model_.cloud || (!stubs.empty() && !elsewhere)) {
        return Problem{403, "not_allowed", sentence};
    }
    std::erase_if(profile_.fallbacks, [this](const fleet::ModelChoice& choice) {
        const auto model = read_model(choice.model, route_);
        bool real = false;
        return !model || model->cloud || !stubs_of(choice.key, real).empty();
    });
    barred_.insert(barred_.end(), stubs.begin(), stubs.end());
    return std::nullopt;
}

/// Nodes with pins are not for a body that nothing can be written into. Returns whose pins those are.
std::string Exchange::bar_pinned_nodes(RequestClass kind)
{
    std::string names;
    const auto snapshot = context_.scheduler.snapshot();
    for (const auto& node : snapshot->nodes) {
        const auto* sets = settings_->options->frontends->pins_of(node.id, node.name);
        if (sets != nullptr && sets->find(kind, route_) != nullptr) {
            barred_.push_back(node.id);
            names.append(names.empty() ? "'" : ", '").append(node.name).append("'");
        }
    }
    return (barred_.size() == 1 ? "node " : "nodes ") + names;
}

/// Writes the frontend's pins into the body. From then on it is plain JSON, as are bodies that a node's pins may be
/// written into. `unpacked`: what was found inside a compressed one.
std::optional<Problem> Exchange::apply_pins(std::optional<std::string>& unpacked, bool& readable)
{
    const auto kind = class_of(route_);
    const auto* pins = visit_.at_->frontend->pins.find(kind, route_);
    const bool later = settings_->options->frontends->pins_some_node(kind, route_);
    if (pins == nullptr && !later) {
        return std::nullopt;
    }
    model_pinned_ = pins != nullptr && pins->names("model");
    options_pinned_ = pins != nullptr && pins->names("options");
    if (route_.multipart) {
        if (model_pinned_) {
            return bad_request("the model is chosen by the frontend, which cannot change a form: use another path");
        }
        return std::nullopt;
    }
    const auto encoding = client_.head().fields.find("Content-Encoding");
    const bool packed = encoding && !unpacked && *encoding != "identity";
    if (streamed_ || packed) {
        const std::string whose = pins != nullptr ? "this frontend" : bar_pinned_nodes(kind);
        Problem problem = streamed_ ? Problem{413, "too_large", "request body too large for the pinned properties of " + whose}
                                    : Problem{415, "unsupported", "the pinned properties of " + whose + " cannot be written into a body with such a Content-Encoding"};
        if (pins != nullptr) {
            return problem;
        }
        if (!barred_.empty()) {
            problem.message += ", and no other node can serve it";
            unwritable_ = std::move(problem);
        }
        return std::nullopt;
    }
    const std::string_view body = unpacked ? std::string_view(*unpacked) : std::string_view(body_);
    if (base::trim(body).empty()) {
        return std::nullopt; // an empty body is not merged
    }
    if (auto fault = go_json_fault(body); !fault.empty()) {
        return bad_request(std::move(fault));
    }
    if (!base::trim(body).starts_with('{')) {
        return bad_request("the request body must be a JSON object");
    }
    if (pins != nullptr) {
        body_ = pins->merge_into(body);
    } else if (unpacked) {
        body_ = std::move(*unpacked);
    }
    unpacked.reset();
    readable = true;
    rewritten_ = true;
    peek_ = peek_json(body_);
    return std::nullopt;
}

/// The body for the node that the lease is for: the frontend's pins are in it already, its own come last, and what is said to
/// herd goes to nobody who would not pass over it.
std::string_view Exchange::body_for_node()
{
    std::string_view body = body_;
    if (rewritten_ && settings_->options->frontends != nullptr) {
        const auto* sets = settings_->options->frontends->pins_of(granted_->node, granted_->node_name);
        if (const auto* pins = sets == nullptr ? nullptr : sets->find(class_of(route_), route_)) {
            body = node_body_ = pins->merge_into(body);
        }
    }
    const auto& address = granted_->address;
    if (rewritable_ && has_extras(peek_) && (address.api() == fleet::NodeApi::openai || address.cloud())) {
        body = node_body_ = without_extras(body);
    }
    return body;
}

/// Of the nodes: those whose models may be listed; null: all.
const fleet::Members* Exchange::members() const
{
    return wishes_.rules == nullptr || wishes_.rules->members.all() ? nullptr : &wishes_.rules->members;
}

void Visit::limit_total()
{
    if (!at_) { // of no frontend: [proxy] total_timeout
        at_ = std::make_unique<AtFrontend>();
    }
    at_->deadline = std::make_unique<net::Deadline>(context_.loop, [this] {
        at_->late = true;
        if (connection_) {
            connection_->close();
        } else {
            client_.dismiss();
        }
    });
    at_->deadline->set_after(std::max(began_ + options().total_timeout - context_.loop.now(), base::Duration{1}));
}

std::string_view Visit::late_words() const
{
    return at_->frontend != nullptr ? " took longer than the frontend allows" : " took longer than is allowed";
}

} // namespace herd::proxy
