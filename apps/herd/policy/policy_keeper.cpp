#include "herd/policy/policy_keeper.hpp"

#include "base/assert.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "fleet/called.hpp"
#include "herd/herd_app.hpp"
#include "store/state_file.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace herd::app {

namespace {

using What = PolicyChange::What;

constexpr std::string_view file_name = "/managed.json";
constexpr std::size_t changes_waiting_max = 64;

/// Names come from the network and from paths: what is no UTF-8 is replaced.
std::string dumped(const nlohmann::json& json) { return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

std::string error_json(const std::string& why) { return "{\"error\":" + dumped(why) + "}"; }

PolicyAnswer refused(int status, const std::string& why) { return {status, error_json(why), {}}; }
PolicyAnswer refused(const base::Error& error)
{
    return refused(error.code == base::Errc::conflict ? 409 : error.code == base::Errc::not_found ? 404 : 400, error.context);
}

/// A name for these very bytes: FNV-1a, 64 bits.
std::string etag_of(std::string_view text)
{
    std::uint64_t value = 0xcbf29ce484222325;
    for (const char c : text) {
        value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    }
    return fmt::format("\"{:016x}\"", value);
}

bool matches(const std::string& if_match, const std::string& etag)
{
    return if_match.empty() || if_match == "*" || if_match.find(etag) != std::string::npos;
}

std::string text_of(const nlohmann::json& json, const char* key)
{
    const auto at = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && at != json.end() && at->is_string() ? at->get<std::string>() : std::string{};
}

} // namespace

base::Result<Managed> load_managed(const std::string& state_dir)
{
    const std::string path = state_dir + std::string{file_name};
    const auto text = store::read_state_file(path, managed_bytes_max);
    if (!text) {
        if (text.error().code == base::Errc::not_found) {
            return Managed{};
        }
        return base::fail(base::Errc::bad_config, path + ": " + text.error().message());
    }
    auto managed = parse_managed(*text);
    if (!managed) {
        return base::fail(base::Errc::bad_config, path + ": " + managed.error().context);
    }
    return managed;
}

PolicyKeeper::PolicyKeeper(net::Loop& loop, FleetOwner& fleet, const HerdOptions& options, Managed managed,
                           const base::Uuid& id, Publish publish)
    : loop_(loop), fleet_(fleet), id_(id), path_(options.state_dir + std::string{file_name}), options_(options),
      managed_(std::move(managed)), publish_(std::move(publish))
{
    auto policy = prepare(options_, managed_);
    HERD_ASSERT(policy.has_value());
    policy_ = std::move(*policy);
    fleet_.apply(fleet::NodesConfigured{policy_.settings});
}

base::Result<Policy> PolicyKeeper::prepare(const HerdOptions& options, const Managed& managed) const
{
    const auto* before = policy_.proxy == nullptr ? nullptr : policy_.proxy->frontends.get();
    return compile_policy(options, managed, *proxy_options(options, id_), before);
}

void PolicyKeeper::adopt(const HerdOptions& options, Managed managed, Policy policy)
{
    options_ = options;
    managed_ = std::move(managed);
    policy_ = std::move(policy);
    fleet_.apply(fleet::NodesConfigured{policy_.settings});
    publish_(policy_.proxy, [] {});
}

// ---- reading ---------------------------------------------------------------------------------------------

const ConfiguredFrontend* PolicyKeeper::find(const Policy& policy, const std::string& id_or_name) const
{
    for (const auto& field : {&proxy::FrontendConfig::id, &proxy::FrontendConfig::name}) {
        for (const ConfiguredFrontend& one : policy.frontends) {
            if (one.rules.*field == id_or_name) {
                return &one;
            }
        }
    }
    return nullptr;
}

/// Empty: there is no such frontend.
std::string PolicyKeeper::frontend_json(const Policy& policy, const Managed& managed, const std::string& id)
{
    const bool built_in = policy.frontends.empty() && id == "default";
    const auto* configured = find(policy, id);
    if (configured == nullptr && !built_in) {
        return {};
    }
    ConfiguredFrontend shown;
    if (built_in) {
        shown.rules.id = shown.rules.name = "default";
        shown.rules.hostnames = {"*"};
        shown.rules.allow_model_admin = shown.rules.allow_cloud = true;
    } else {
        shown = *configured;
    }
    std::string out = "{" + json_of(shown) + json_of(shown.dates);
    out += fmt::format(",\"source\":\"{}\"", built_in ? "built-in" : policy.managed.contains(shown.rules.id) ? "managed" : "herd.toml");
    const auto snapshot = fleet_.publish();
    const auto use = managed.use.find(shown.rules.id);
    if (use != managed.use.end()) {
        const auto* node = snapshot->find(use->second);
        out += ",\"use\":" + dumped(node != nullptr ? node->name : use->second);
    } else {
        out += ",\"use\":null";
    }
    const auto config = shown.config();
    nlohmann::json missing = nlohmann::json::array();
    for (const std::string& name : config.nodes.value_or(std::vector<std::string>{})) {
        if (snapshot->find(name) == nullptr) {
            missing.push_back(name);
        }
    }
    const fleet::Members members(config.nodes, config.node_labels);
    nlohmann::json have = nlohmann::json::array();
    for (const auto& node : snapshot->nodes) {
        if (members.admits(node.id, node.name, node.labels)) {
            have.push_back(node.name);
        }
    }
    const auto* running = policy.proxy->frontends == nullptr ? nullptr : policy.proxy->frontends->find(shown.rules.id);
    out += ",\"members\":" + dumped(have) + ",\"missing\":" + dumped(missing);
    out += fmt::format(",\"in_flight\":{}}}", running != nullptr ? running->load->in_flight.load() : 0);
    return out;
}

PolicyAnswer PolicyKeeper::frontends()
{
    std::string list;
    std::string bare;
    for (const ConfiguredFrontend& one : policy_.frontends) {
        list += (list.empty() ? "" : ",") + frontend_json(policy_, managed_, one.rules.id);
        bare += json_of(one);
    }
    if (policy_.frontends.empty()) {
        list = frontend_json(policy_, managed_, "default");
    }
    return {200, "{\"frontends\":[" + list + "]}", etag_of(bare)};
}

PolicyAnswer PolicyKeeper::frontend(const std::string& id_or_name)
{
    return shown(Next{.managed = managed_, .frontend = id_or_name}, policy_);
}

ManagedNode PolicyKeeper::node_entry(const Policy& policy, const fleet::NodeView& node) const
{
    const std::string id = node.id.text();
    ManagedNode out;
    for (const ManagedNode& one : policy.nodes) { // by id, else by name
        if (one.node == id) {
            out = one;
            break;
        }
        if (base::iequals(one.node, node.name)) {
            out = one;
        }
    }
    out.node = id;
    return out;
}

std::string PolicyKeeper::node_json(const Policy& policy, const fleet::NodeView& node) const
{
    const bool managed = policy.managed.contains(node.id.text());
    return "{" + json_of(node_entry(policy, node)) + fmt::format(",\"source\":\"{}\"}}", managed ? "managed" : "herd.toml");
}

PolicyAnswer PolicyKeeper::node_settings(const std::string& id_or_name)
{
    const auto snapshot = fleet_.publish();
    const auto* node = snapshot->find(id_or_name);
    return node == nullptr ? refused(404, fleet::why_nobody(*snapshot, id_or_name)) : shown(Next{.node = node->id.text()}, policy_);
}

bool PolicyKeeper::node_matches(const std::string& if_match, const fleet::NodeId& id)
{
    return if_match.empty() || matches(if_match, node_settings(id.text()).etag);
}

std::vector<std::string> PolicyKeeper::users_of(const fleet::NodeId& id) const
{
    std::vector<std::string> frontends;
    for (const auto& [frontend, node] : managed_.use) {
        if (node == id.text()) {
            frontends.push_back(frontend);
        }
    }
    return frontends;
}

std::vector<std::string> PolicyKeeper::naming(const fleet::NodeId& id)
{
    std::vector<std::string> frontends;
    const auto snapshot = fleet_.publish();
    const auto* node = snapshot->find(id);
    for (const ConfiguredFrontend& one : policy_.frontends) {
        const auto nodes = one.config().nodes;
        if (nodes && node != nullptr && fleet::Members(nodes, {}).admits(id, node->name, {})) {
            frontends.push_back(one.rules.id);
        }
    }
    return frontends;
}

/// The object that a change was about, as it is afterwards, with its ETag.
PolicyAnswer PolicyKeeper::shown(const Next& next, const Policy& policy)
{
    if (next.status == 204) {
        return {204, {}, {}};
    }
    if (next.pin) {
        return shown_pin(next);
    }
    if (!next.node.empty()) {
        const auto snapshot = fleet_.publish();
        const auto* node = snapshot->find(next.node);
        if (node == nullptr) {
            return refused(404, fleet::why_nobody(*snapshot, next.node));
        }
        const std::string text = node_json(policy, *node);
        return {next.status, text, etag_of(text), node_entry(policy, *node).dates};
    }
    const auto* frontend = find(policy, next.frontend);
    const std::string text = frontend_json(policy, next.managed, frontend != nullptr ? frontend->rules.id : next.frontend);
    if (text.empty()) {
        return refused(404, "no frontend is called " + next.frontend);
    }
    const auto use = next.managed.use.find(frontend != nullptr ? frontend->rules.id : next.frontend);
    const std::string bare = (frontend != nullptr ? json_of(*frontend) : "default") + (use != next.managed.use.end() ? use->second : "");
    return {next.status, text, etag_of(bare)};
}

/// What a change would do, for ?dry_run=1.
PolicyAnswer PolicyKeeper::difference(const Next& next, const Policy& policy)
{
    const auto before = shown(Next{.managed = managed_, .frontend = next.frontend, .node = next.node}, policy_);
    const auto after = shown(next, policy);
    const auto body = [](const PolicyAnswer& answer) { return answer.status == 200 || answer.status == 201 ? answer.body : "null"; };
    return {200, "{\"dry_run\":true,\"before\":" + body(before) + ",\"after\":" + body(after) + "}", before.etag};
}

// ---- changing --------------------------------------------------------------------------------------------

base::Result<std::string> PolicyKeeper::node_to_use(const std::string& frontend, const std::string& node)
{
    const auto snapshot = fleet_.publish();
    const auto* view = snapshot->find(node);
    if (view == nullptr) {
        return base::fail(base::Errc::not_found, fleet::why_nobody(*snapshot, node));
    }
    if (const auto* configured = find(policy_, frontend)) {
        const auto config = configured->config();
        if (!fleet::Members(config.nodes, config.node_labels).admits(view->id, view->name, view->labels)) {
            return base::fail(base::Errc::conflict, "node " + view->name + " is not one of frontend '" + configured->rules.id + "'");
        }
    }
    return view->id.text();
}

PolicyKeeper::Next PolicyKeeper::apply_use(const PolicyChange& change)
{
    Next next{.managed = managed_};
    const auto json = nlohmann::json::parse(change.body, nullptr, false);
    const std::string node = text_of(json, "node");
    std::string frontend = text_of(json, "frontend");
    if (json.is_object()) {
        for (const auto& [key, value] : json.items()) {
            if ((key != "node" && key != "frontend") || !value.is_string()) {
                next.answer = refused(400, key.substr(0, 100) + ": only \"node\" and \"frontend\" are understood, both texts");
                return next;
            }
        }
    }
    if (node.empty()) {
        next.answer = refused(400, "node: the name or id of a node, or \"auto\", is required");
        return next;
    }
    if (frontend.empty() && policy_.frontends.size() > 1) {
        std::string names;
        for (const ConfiguredFrontend& one : policy_.frontends) {
            names += (names.empty() ? "" : ", ") + one.rules.id;
        }
        next.answer = refused(400, "frontend: which one? There are " + names);
        return next;
    }
    if (frontend.empty()) {
        frontend = policy_.frontends.empty() ? "default" : policy_.frontends.front().rules.id;
    }
    const auto* configured = find(policy_, frontend);
    if (configured == nullptr && (frontend != "default" || !policy_.frontends.empty())) {
        next.answer = refused(404, "no frontend is called " + frontend);
        return next;
    }
    next.frontend = configured != nullptr ? configured->rules.id : frontend;
    if (node == "auto") {
        next.managed.use.erase(next.frontend);
        return next;
    }
    auto id = node_to_use(next.frontend, node);
    if (!id) {
        next.answer = refused(id.error());
        return next;
    }
    next.managed.use[next.frontend] = std::move(*id);
    return next;
}

/// "use" of a frontend's object: a node, or null or "auto" for any.
base::Result<void> PolicyKeeper::take_use(const std::string& body, Next& next)
{
    const auto json = nlohmann::json::parse(body, nullptr, false);
    const auto use = json.is_object() ? json.find("use") : json.end();
    if (!json.is_object() || use == json.end()) {
        return {};
    }
    if (use->is_null() || *use == "auto") {
        next.managed.use.erase(next.frontend);
        return {};
    }
    if (!use->is_string()) {
        return base::fail(base::Errc::bad_config, "use: expected the name or id of a node, or null");
    }
    auto id = node_to_use(next.frontend, use->get<std::string>());
    if (!id) {
        return base::fail(id.error().code, "use: " + id.error().context);
    }
    next.managed.use[next.frontend] = std::move(*id);
    return {};
}

PolicyKeeper::Next PolicyKeeper::apply_to_frontend(const PolicyChange& change)
{
    Next next{.managed = managed_};
    auto& list = next.managed.frontends;
    const auto* before = find(policy_, change.target);
    const bool adds = change.what == What::add_frontend;
    if (before == nullptr && !adds) {
        next.answer = refused(404, "no frontend is called " + change.target);
        return next;
    }
    const auto in_managed = [&](const std::string& id) {
        return std::ranges::find(list, id, [](const ConfiguredFrontend& one) { return one.rules.id; });
    };
    if (change.what == What::remove_frontend) {
        const auto at = in_managed(before->rules.id);
        const bool in_file = std::ranges::find(options_.frontends, before->rules.id, [](const auto& one) { return one.rules.id; })
            != options_.frontends.end();
        if (at == list.end()) {
            next.answer = refused(409, "frontend '" + before->rules.id + "' stands in herd.toml: remove it there, or set active to false");
            return next;
        }
        next.frontend = before->rules.id;
        next.status = in_file ? 200 : 204;
        if (!in_file) {
            next.managed.use.erase(before->rules.id);
        }
        list.erase(at);
        return next;
    }
    ConfiguredFrontend from;
    if (change.what == What::patch_frontend) {
        from = *before;
    } else if (!adds) {
        from.rules.id = before->rules.id;
    }
    auto after = changed(std::move(from), change.body);
    if (!after) {
        next.answer = refused(after.error());
        return next;
    }
    if (!adds && after->rules.id != before->rules.id) {
        next.answer = refused(409, "id: cannot be changed; make another frontend");
        return next;
    }
    if (adds && find(policy_, after->rules.id) != nullptr) {
        next.answer = refused(409, "id: there is a frontend '" + after->rules.id + "' already");
        return next;
    }
    after->dates = base::rewritten(adds ? base::MaybeDates{} : before->dates, adds || json_of(*before) != json_of(*after), loop_.wall());
    next.frontend = after->rules.id;
    next.status = adds ? 201 : 200;
    if (auto used = take_use(change.body, next); !used) {
        next.answer = refused(used.error());
        return next;
    }
    if (const auto at = in_managed(next.frontend); at != list.end()) {
        *at = std::move(*after);
    } else if (adds || json_of(*before) != json_of(*after)) { // else it stays as herd.toml has it
        list.push_back(std::move(*after));
    }
    return next;
}

PolicyKeeper::Next PolicyKeeper::apply_to_node(const PolicyChange& change)
{
    Next next{.managed = managed_};
    const auto snapshot = fleet_.publish();
    const auto* node = snapshot->find(change.target);
    if (node == nullptr) {
        next.answer = refused(404, fleet::why_nobody(*snapshot, change.target));
        return next;
    }
    next.node = node->id.text();
    auto& list = next.managed.nodes;
    const auto at = std::ranges::find(list, next.node, &ManagedNode::node);
    if (change.what == What::reset_node) {
        if (at != list.end()) {
            list.erase(at);
        }
        return next;
    }
    const ManagedNode before = node_entry(policy_, *node);
    auto after = changed(change.what == What::patch_node ? before : ManagedNode{.node = next.node}, change.body);
    if (!after) {
        next.answer = refused(after.error());
        return next;
    }
    after->dates = base::rewritten(before.dates, json_of(before) != json_of(*after), loop_.wall());
    if (at != list.end()) {
        *at = std::move(*after);
    } else if (json_of(before) != json_of(*after)) { // else it stays as herd.toml has it
        list.push_back(std::move(*after));
    }
    return next;
}

PolicyKeeper::Next PolicyKeeper::apply(const PolicyChange& change)
{
    switch (change.what) {
    case What::use: return apply_use(change);
    case What::put_node:
    case What::patch_node:
    case What::reset_node: return apply_to_node(change);
    case What::add_pin: return add_pin(change);
    case What::remove_pin: return remove_pin(change);
    default: return apply_to_frontend(change);
    }
}

void PolicyKeeper::change(PolicyChange change, std::function<void(PolicyAnswer)> done)
{
    if (waiting_.size() >= changes_waiting_max) {
        done(refused(503, "too many changes at once"));
        return;
    }
    waiting_.push_back({std::move(change), std::move(done)});
    if (waiting_.size() == 1) {
        begin();
    }
}

void PolicyKeeper::answer_first(PolicyAnswer answer)
{
    const auto done = std::move(waiting_.front().done);
    waiting_.pop_front();
    done(std::move(answer));
    if (!waiting_.empty()) {
        loop_.post([this] { begin(); });
    }
}

/// Checks the first of those that wait, and has it written.
void PolicyKeeper::begin()
{
    const auto& change = waiting_.front().change;
    const bool of_pin = change.what == What::add_pin || change.what == What::remove_pin;
    if (!change.if_match.empty() && !of_pin) {
        const bool of_node = change.what == What::put_node || change.what == What::patch_node || change.what == What::reset_node;
        Next now{.managed = managed_, .frontend = change.what == What::use ? apply_use(change).frontend : change.target};
        const auto present = of_node ? node_settings(change.target) : shown(now, policy_);
        if (present.status < 400 && !matches(change.if_match, present.etag)) {
            return answer_first({412, error_json("If-Match: it was changed meanwhile"), present.etag});
        }
    }
    auto next = apply(change);
    if (next.answer.status >= 400) {
        return answer_first(std::move(next.answer));
    }
    auto policy = prepare(options_, next.managed);
    if (!policy) {
        return answer_first(refused(policy.error()));
    }
    if (change.dry_run) {
        return answer_first(difference(next, *policy));
    }
    auto write = [path = path_, text = managed_text(next.managed)] { return store::write_state_file(path, text); };
    auto done = [this, next = std::move(next), policy = std::move(*policy)](const base::Result<void>& written) mutable {
        ended(std::move(next), std::move(policy), written);
    };
    if (!files_.run(loop_, std::move(write), std::move(done))) {
        answer_first(refused(503, "too many changes at once"));
    }
}

void PolicyKeeper::ended(Next next, Policy policy, const base::Result<void>& written)
{
    if (!written) {
        log::warn("app", "change_not_written", {{"file", path_}, {"why", written.error().message()}});
        return answer_first(refused(500, "nothing was changed: " + path_ + " cannot be written: " + written.error().message()));
    }
    managed_ = next.managed;
    policy_ = std::move(policy);
    fleet_.apply(fleet::NodesConfigured{policy_.settings});
    log::info("app", "policy_changed", {{"what", next.pin ? "pin" : !next.node.empty() ? "node" : "frontend"},
                                        {"id", next.pin ? next.pin->model : !next.node.empty() ? next.node : next.frontend}});
    publish_(policy_.proxy, [this, next = std::move(next)] { answer_first(shown(next, policy_)); });
}

} // namespace herd::app
