// The second phase: which model is meant, which place it needs, or which answer there is right away.
#include "proxy/exchange.hpp"

#include "fleet/called.hpp"
#include "fleet/model_name.hpp"

#include <utility>

namespace herd::proxy {
namespace {

bool is_tool(const fleet::Snapshot& snapshot, std::string_view name)
{
    return !snapshot.tools.empty() && snapshot.tools.contains(fleet::ModelName::parse(name).key);
}

} // namespace

Exchange::Next Exchange::refused(Problem problem)
{
    problem_ = std::move(problem);
    return Next::refuse;
}

/// The body as herd can read it: as it came, out of its packing, or as a form.
Exchange::Seen Exchange::look_into_body()
{
    const auto& fields = client_.head().fields;
    const auto encoding = fields.find("Content-Encoding");
    const bool plain_after_all = route_.dialect == Dialect::ollama && !peek_.empty && !peek_.broken;
    Seen seen{.readable = !route_.multipart && (!encoding || plain_after_all)};
    if (route_.multipart) {
        auto form = peek_multipart(body_, fields.find("Content-Type").value_or(""));
        seen.name = std::move(form.model).value_or("");
        peek_.model_at = form.at;
        one_model_ = form.plain && form.models == 1 && fields.count("Content-Type") == 1;
    } else if (encoding && route_.dialect != Dialect::ollama && *encoding == "zstd" && !streamed_) {
        seen.unpacked = unpack_zstd(body_);
        seen.readable = seen.unpacked.has_value();
        peek_ = seen.readable ? peek_json(*seen.unpacked) : BodyPeek{};
    } else if (encoding && *encoding == "identity") {
        seen.readable = true;
        peek_ = peek_json(body_);
    }
    unreadable_ = encoding && !seen.readable && !route_.multipart;
    return seen;
}

/// What the route alone decides. Nothing: the model does; `need` tells in which way.
std::optional<Exchange::Next> Exchange::settled_by_route(const fleet::Snapshot& snapshot, Seen& seen, fleet::Need& need)
{
    need = fleet::Need::slot;
    switch (route_.handling) {
    case Handling::blob:
    case Handling::account:
    case Handling::any_node: ask_anyone(); return Next::ask;
    case Handling::copy: return Next::copy;
    case Handling::unknown_post:
        if (peek_.model.empty() || (peek_.broken && !streamed_)) {
            return Next::not_found;
        }
        break;
    case Handling::model_lookup:
        seen.name = route_.parameter;
        if (looks_up_alias(snapshot) || is_tool(snapshot, seen.name) || seen.name.find('/') != seen.name.npos) { // Ollama's own router does not take a slash
            return Next::local;
        }
        need = fleet::Need::model;
        break;
    case Handling::show:
    case Handling::push: need = fleet::Need::model; break;
    case Handling::pull:
    case Handling::create: need = fleet::Need::any; break;
    default: break;
    }
    return std::nullopt;
}

void Exchange::ask_anyone()
{
    fill_profile(profile_, route_, fleet::Need::any, {}, peek_, wishes_, record_.client, began_ + patience_of(*options_, wishes_));
}

/// "node_id" and "nodes" of a pull or a deletion: a wish like X-Herd-Node, but of a node that is known.
std::optional<Problem> Exchange::take_nodes(const fleet::Snapshot& snapshot)
{
    const bool pull = route_.handling == Handling::pull;
    if (!pull && route_.handling != Handling::remove) {
        return std::nullopt;
    }
    const auto& word = peek_.nodes_word;
    const std::string several = pull ? "one request pulls to one node: send one for each, as \"herd pull MODEL --all\" does"
                                     : "a deletion is on every node that has the model, or on one: send one for each";
    if (pull && word == "all") {
        return bad_request(several);
    }
    if (peek_.nodes_bad || (!word.empty() && word != (pull ? "best" : "all"))) {
        return bad_request(std::string("\"node_id\" must be a node's name or id, \"nodes\" ") + (pull ? "\"best\"" : "\"all\"")
                           + " or a list of such");
    }
    for (const auto& name : peek_.nodes) {
        const auto* node = pull ? fleet::find_distinct(snapshot, name) : snapshot.find(std::string_view(name)); // a deletion is no guess
        if (node == nullptr) {
            return Problem{404, "not_found", fleet::why_nobody(snapshot, name)};
        }
        if (members() != nullptr && !members()->admits(node->id, node->name, node->labels)) { // as if it were not there
            return Problem{404, "not_found", fleet::why_nobody(name, {})};
        }
        if (!wishes_.node.empty() && snapshot.find(std::string_view(wishes_.node)) != node) {
            return bad_request(several);
        }
        wishes_.node = node->id.text();
    }
    return std::nullopt;
}

Exchange::Next Exchange::understand()
{
    Seen seen = look_into_body();
    if (visit_.at_) {
        if (auto problem = apply_pins(seen.unpacked, seen.readable)) {
            return refused(std::move(*problem));
        }
    }
    if (!route_.multipart) {
        one_model_ = peek_.model_members == 1 && peek_.model_exact;
    }
    record_.tags = all_tags(peek_, wishes_);
    if (record_.session.empty()) {
        record_.session = session_of(record_.tags);
    }
    record_.stream = peek_.stream.value_or(route_.streams_by_default);
    const auto snapshot = context_.scheduler.snapshot();
    auto need = fleet::Need::slot;
    if (const auto settled = settled_by_route(*snapshot, seen, need)) {
        return *settled;
    }
    if (auto problem = take_any_tool(seen, *snapshot)) {
        return refused(std::move(*problem));
    }
    const std::string_view json = seen.unpacked ? std::string_view(*seen.unpacked) : std::string_view(body_);
    auto reading = read_request(route_, peek_, json, seen.readable && !streamed_, seen.name);
    model_ = std::move(reading.model);
    record_.requested_model = model_.text.empty() ? peek_.model_or_name().substr(0, 256) : model_.text;
    const bool any_will_do = reading.then == Reading::Then::any
                             || (reading.then == Reading::Then::refuse && route_.handling == Handling::create
                                 && !peek_.empty && !peek_.broken);
    const bool unseen = streamed_ && seen.readable && seen.name.empty() && peek_.model_or_name().empty();
    if ((reading.then == Reading::Then::refuse || any_will_do) && unseen) { // it may stand behind what was read
        client_.close_after();
        return refused({413, "too_large", "no model is named in the first part of so large a request"});
    }
    if (reading.then == Reading::Then::refuse && !any_will_do) {
        return refused(std::move(reading.problem));
    }
    if (auto problem = take_nodes(*snapshot)) {
        return refused(std::move(*problem));
    }
    if (any_will_do && (route_.handling == Handling::count_tokens || route_.tools_only)) {
        return refused(bad_request("a JSON object with a model is needed"));
    }
    if (any_will_do) {
        ask_anyone();
        return Next::ask;
    }
    if (options_->aliases != nullptr) {
        if (auto problem = resolve_alias(seen.unpacked, *snapshot)) {
            return refused(std::move(*problem));
        }
    }
    if (auto problem = not_for_tool(*snapshot)) {
        return refused(std::move(*problem));
    }
    if (reading.then == Reading::Then::unload) {
        return Next::unload;
    }
    if (route_.handling == Handling::remove) {
        return Next::remove;
    }
    if (model_.cloud && need == fleet::Need::slot) { // costs no slot, and need not be installed to run
        need = snapshot->models.contains(model_.key) ? fleet::Need::model : fleet::Need::any;
    }
    fit_to_model(need, seen, *snapshot);
    return route_.handling == Handling::count_tokens ? Next::count : Next::ask;
}

/// The question to the fleet is about this model, and the body may have to say it in other words.
void Exchange::fit_to_model(fleet::Need need, const Seen& seen, const fleet::Snapshot& snapshot)
{
    record_.num_ctx = peek_.num_ctx;
    fit_body(seen.readable && !seen.unpacked && !streamed_ && peek_.model_at.size > 0);
    names_model_ = need != fleet::Need::any;
    fill_profile(profile_, route_, need, model_, peek_, wishes_, record_.client, began_ + patience_of(*options_, wishes_));
    if (!rewritable_ || model_pinned_) { // the name of another model could not be written into it
        profile_.fallbacks.clear();
    }
    model_written_ = profile_.model;
    record_.model = as_listed(snapshot, model_.key, model_.display);
}

} // namespace herd::proxy
