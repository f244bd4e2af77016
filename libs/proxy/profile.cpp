#include "proxy/profile.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "fleet/selection.hpp"
#include "proxy/go_json.hpp"
#include "proxy/proxy.hpp"

#include <algorithm>

namespace herd::proxy {

namespace {

constexpr std::size_t list_max = 16;
constexpr std::size_t word_bytes_max = 128;
constexpr std::size_t tags_max = 16;
constexpr std::size_t tag_bytes_max = 64;
constexpr std::size_t product_bytes_max = 32;
constexpr std::size_t fallbacks_max = 8;

void take_word(std::string_view word, std::vector<std::string>& into)
{
    if (std::ranges::find(into, word) == into.end()) {
        into.emplace_back(word);
    }
}

void take_words(const http::Fields& fields, std::string_view name, std::vector<std::string>& into)
{
    for (const auto word : fields.list(name)) {
        if (!word.empty() && word.size() <= word_bytes_max && into.size() < list_max) {
            take_word(word, into);
        }
    }
}

/// A label is a demand: one that is not looked at is one that is not met.
void take_labels(const http::Fields& fields, std::string_view name, Wishes& wishes)
{
    for (const auto word : fields.list(name)) {
        if (word.size() > word_bytes_max) {
            wishes.fault = std::string(name) + ": a label has at most " + std::to_string(word_bytes_max) + " bytes";
        } else if (!word.empty()) {
            take_word(base::lower(word), wishes.labels);
        }
        if (wishes.labels.size() > list_max) {
            wishes.fault = std::string(name) + ": at most " + std::to_string(list_max) + " labels can be asked for";
        }
        if (!wishes.fault.empty()) {
            return;
        }
    }
}

std::string text_of(const http::Fields& fields, std::string_view name)
{
    const auto value = fields.find(name);
    return value && value->size() <= 256 ? std::string(*value) : std::string();
}

std::string session_of(const http::Fields& fields, std::span<const std::string> names)
{
    auto session = text_of(fields, "X-Herd-Session");
    for (std::size_t i = 0; session.empty() && i < names.size(); ++i) {
        session = text_of(fields, names[i]);
    }
    return session;
}

/// Looked for even where no other wish can be.
bool named_otherwise(std::span<const std::string> names)
{
    return std::ranges::any_of(names, [](const std::string& name) { return !name.starts_with('x') && !name.starts_with('X'); });
}

bool fit_for_id(std::string_view text)
{
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'
               || c == '.';
    });
}

/// What is not installed anywhere need not be a name that we can parse, but must look like one.
bool fit_for_cloud(std::string_view text)
{
    return text.size() <= 350 && std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

/// The last part behind a colon is `word`, regardless of case.
bool has_suffix(std::string_view text, std::string_view word)
{
    const auto colon = text.rfind(':');
    return colon != text.npos && base::iequals(text.substr(colon + 1), word);
}

bool printable(std::string_view text)
{
    return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// "Open-WebUI/0.6 (x)" → "open-webui".
std::string product_of(std::string_view agent)
{
    const auto product = agent.substr(0, std::min(agent.find_first_of("/ (;,"), product_bytes_max));
    return printable(product) ? base::lower(product) : std::string();
}

void add_fallbacks(std::vector<fleet::ModelChoice>& into, const std::vector<std::string>& names, const Route& route,
                   const std::string& asked)
{
    for (const auto& name : names) {
        auto model = read_model(name, route);
        if (!model || model->key == asked || into.size() >= fallbacks_max) {
            continue;
        }
        if (std::ranges::find(into, model->key, &fleet::ModelChoice::key) == into.end()) {
            into.push_back({std::move(model->key), name});
        }
    }
}

std::string_view without_suffix(std::string_view text) { return text.substr(0, text.rfind(':')); }

Reading refuse(Problem problem)
{
    Reading reading;
    reading.then = Reading::Then::refuse;
    reading.problem = std::move(problem);
    return reading;
}

Reading let_a_node_answer()
{
    Reading reading;
    reading.then = Reading::Then::any;
    return reading;
}

bool carries(const fleet::NodeView& node, const std::vector<std::string>& labels)
{
    return std::ranges::all_of(labels, [&node](const std::string& label) {
        return std::ranges::any_of(node.labels, [&label](const std::string& own) { return base::iequals(own, label); });
    });
}

/// All fields that carry wishes, but User-Agent, begin so; most clients send none.
bool has_extensions(const http::Fields& fields)
{
    for (const http::Field field : fields) {
        if (field.name.starts_with('X') || field.name.starts_with('x')) {
            return true;
        }
    }
    return false;
}

} // namespace

bool is_spelled(std::string_view text, std::string_view listed)
{
    return listed == text || (listed.starts_with(text) && listed.substr(text.size()) == ":latest");
}

std::string as_listed(const fleet::Snapshot& snapshot, const std::string& key, std::string_view otherwise)
{
    const auto holders = snapshot.models.find(key);
    if (holders == snapshot.models.end() || holders->second.empty()) {
        return base::lower(otherwise);
    }
    const fleet::Holder& first = holders->second.front();
    const auto& facts = snapshot.nodes[first.node].facts;
    return facts ? facts->models[first.model].name : base::lower(otherwise);
}

base::Duration patience_of(const ProxyOptions& options, const Wishes& wishes)
{
    auto patience = std::min(options.queue_timeout, wishes.deadline.value_or(options.queue_timeout));
    return options.total_timeout > base::Duration{} ? std::min(patience, options.total_timeout) : patience;
}

Wishes read_wishes(const http::Fields& fields, std::span<const std::string> sessions)
{
    Wishes wishes;
    wishes.product = product_of(fields.find("User-Agent").value_or(""));
    const bool extended = has_extensions(fields);
    if (extended || named_otherwise(sessions)) {
        wishes.session = session_of(fields, sessions);
    }
    if (!extended) {
        return wishes;
    }
    wishes.node = text_of(fields, "X-Herd-Node");
    take_labels(fields, "X-Herd-Label", wishes);
    take_labels(fields, "X-OllamaFlow-Label", wishes);
    take_words(fields, "X-Herd-Tags", wishes.tags);
    take_words(fields, "X-Herd-Fallback-Models", wishes.fallback_models);
    wishes.allow_cloud = base::iequals(fields.find("X-Herd-Allow-Cloud").value_or(""), "true");
    wishes.no_fallback = base::iequals(fields.find("X-Fleet-No-Fallback").value_or(""), "true");
    if (const auto priority = fields.find("X-Herd-Priority")) {
        if (base::iequals(*priority, "interactive")) {
            wishes.priority = fleet::Priority::interactive;
        } else if (base::iequals(*priority, "batch")) {
            wishes.priority = fleet::Priority::batch;
        }
    }
    if (const auto deadline = fields.find("X-Herd-Deadline")) {
        const auto dot = std::min(deadline->find('.'), deadline->size());
        const auto whole = base::parse_unsigned(deadline->substr(0, dot));
        if (whole && *whole <= 86'400) {
            auto wish = base::Duration(std::chrono::seconds{*whole});
            const auto fraction = deadline->substr(std::min(dot + 1, deadline->size()));
            if (const auto parts = base::parse_unsigned(fraction); parts && fraction.size() <= 9) {
                std::uint64_t scale = 1'000'000'000;
                for (std::size_t i = 0; i < fraction.size(); ++i) {
                    scale /= 10;
                }
                wish += std::chrono::nanoseconds{*parts * scale};
            }
            wishes.deadline = wish;
        }
    }
    if (const auto id = fields.find("X-Request-Id"); id && fit_for_id(*id)) {
        wishes.request_id = *id;
    }
    return wishes;
}

std::expected<ModelReference, Problem> read_model(std::string_view text, const Route& route)
{
    ModelReference model;
    model.text = text;
    auto name = base::trim(text);
    if (name.empty()) {
        if (route.pattern == "/api/embed" || route.pattern == "/api/generate") {
            return std::unexpected(model_not_found(route, ""));
        }
        return std::unexpected(bad_request("model is required"));
    }
    const bool local = has_suffix(name, "local");
    const bool cloud = has_suffix(name, "cloud");
    if (local || cloud) {
        const auto inner = without_suffix(name);
        if (has_suffix(inner, local ? "cloud" : "local")) {
            return std::unexpected(
                bad_request("use either :local or :cloud, not both: \"" + std::string(text) + "\""));
        }
        if (local) {
            name = inner;
        }
    }
    auto parsed = fleet::ModelName::parse(name);
    if (!parsed.valid && !(cloud && fit_for_cloud(name))) {
        return std::unexpected(bad_request("invalid model name"));
    }
    model.cloud = cloud || parsed.cloud;
    if (parsed.valid) {
        model.key = std::move(parsed.key);
        model.display = std::move(parsed.display);
    } else {
        model.key = base::lower(name);
        model.display = text;
    }
    return model;
}

Reading read_request(const Route& route, const BodyPeek& peek, std::string_view body, bool whole,
                     const std::string& name)
{
    if (route.dialect == Dialect::ollama && peek.empty && name.empty()) {
        return refuse(bad_request("missing request body"));
    }
    if (peek.broken && whole) {
        auto fault = go_json_fault(body);
        return fault.empty() ? let_a_node_answer() : refuse(bad_request(std::move(fault)));
    }
    const bool also_name = route.handling == Handling::show || route.handling == Handling::push
                           || route.handling == Handling::pull || route.handling == Handling::create
                           || route.handling == Handling::remove;
    const auto& text = !name.empty() ? name : also_name ? peek.model_or_name() : peek.model;
    auto model = read_model(text, route);
    if (!model) {
        // The compatible routes check other fields first; which of them is at fault only Ollama can say.
        return route.dialect == Dialect::ollama ? refuse(std::move(model.error())) : let_a_node_answer();
    }
    Reading reading;
    reading.model = std::move(*model);
    const bool idle = (route.pattern == "/api/generate" && peek.prompt_empty)
                      || (route.pattern == "/api/chat" && peek.messages_empty);
    if (idle && peek.keep_alive == base::Duration{} && !peek.broken) {
        reading.then = Reading::Then::unload;
    }
    return reading;
}

std::vector<std::string> all_tags(const BodyPeek& peek, const Wishes& wishes)
{
    std::vector<std::string> tags;
    const auto add = [&tags](const std::string& tag) {
        const bool good = !tag.empty() && tag.size() <= tag_bytes_max && printable(tag) && tags.size() < tags_max;
        if (good && std::ranges::find(tags, tag) == tags.end()) {
            tags.push_back(tag);
        }
    };
    std::ranges::for_each(peek.tags, add);
    std::ranges::for_each(wishes.tags, add);
    if (!peek.user.empty()) {
        add("user:" + peek.user);
    }
    return tags;
}

std::string session_of(const std::vector<std::string>& tags)
{
    constexpr std::string_view prefix = "session:";
    for (const auto& tag : tags) {
        if (tag.starts_with(prefix)) {
            return tag.substr(prefix.size());
        }
    }
    return {};
}

fleet::Profile make_profile(const Route& route, fleet::Need need, const ModelReference& model, const BodyPeek& peek,
                            const Wishes& wishes, const base::Endpoint& peer, base::Instant deadline)
{
    fleet::Profile profile;
    fill_profile(profile, route, need, model, peek, wishes, peer, deadline);
    return profile;
}

void fill_profile(fleet::Profile& profile, const Route& route, fleet::Need need, const ModelReference& model,
                  const BodyPeek& peek, const Wishes& wishes, const base::Endpoint& peer, base::Instant deadline)
{
    profile.need = need;
    if (need != fleet::Need::any) {
        profile.model_key = model.key;
    }
    profile.model = model.to_write();
    profile.num_ctx = peek.num_ctx;
    profile.options_class = peek.options_class;
    profile.options_rest = peek.options_rest;
    profile.prompt_bytes = peek.prompt_bytes;
    profile.images = peek.images;
    profile.generates = !route.embedding;
    if (profile.generates) { // an embedding leaves nothing behind that the next could use
        profile.prompt = peek.prompt;
    }
    profile.output_tokens_max = peek.output_tokens_max;
    profile.client = peer.address.text();
    const auto tags = all_tags(peek, wishes);
    const auto kind = std::ranges::find_if(tags, [](const std::string& tag) { return tag.find(':') == tag.npos; });
    profile.tag = kind != tags.end() ? *kind : wishes.product;
    profile.session = wishes.session.empty() ? session_of(tags) : wishes.session;
    profile.priority = wishes.priority;
    profile.labels = wishes.labels;
    profile.node = wishes.node;
    profile.allow_cloud = wishes.allow_cloud;
    profile.tool = route.tool;
    profile.tools_only = route.tools_only;
    profile.openai = route.pattern.starts_with("/v1/");
    profile.rules = wishes.rules;
    profile.deadline = deadline;
    if (need == fleet::Need::slot && !wishes.no_fallback && !peek.no_fallback) {
        add_fallbacks(profile.fallbacks, peek.fallback_models, route, model.key);
        add_fallbacks(profile.fallbacks, wishes.fallback_models, route, model.key);
    }
}

bool allowed(const fleet::NodeView& node, const Wishes& wishes, const fleet::NodeView* pinned)
{
    return (wishes.node.empty() || &node == pinned) && carries(node, wishes.labels)
           && (wishes.rules == nullptr || wishes.rules->members.admits(node.id, node.name, node.labels));
}

void prefer_loaded(fleet::Profile& profile, const Wishes& wishes, const fleet::Snapshot& snapshot)
{
    const auto* pinned = wishes.node.empty() ? nullptr : snapshot.find(std::string_view(wishes.node));
    const auto loaded = [&](const std::string& key) {
        const auto found = snapshot.models.find(key);
        if (found == snapshot.models.end()) {
            return false;
        }
        int tier = fleet::tier_max + 1; // the least that is there: what others have in memory does not count
        bool hot = false;
        for (const auto& holder : found->second) {
            const auto& node = snapshot.nodes[holder.node];
            if (node.takes_requests() && fleet::is_meant_kind(holder.tool, profile) && node.tier() <= tier && allowed(node, wishes, pinned)) {
                hot = holder.loaded || (hot && node.tier() == tier);
                tier = node.tier();
            }
        }
        return hot;
    };
    const auto first = std::ranges::find_if(profile.fallbacks, loaded, &fleet::ModelChoice::key);
    if (first == profile.fallbacks.end() || loaded(profile.model_key)) {
        return;
    }
    std::swap(profile.model_key, first->key);
    std::swap(profile.model, first->model);
    std::rotate(profile.fallbacks.begin(), first, first + 1);
    profile.is_fallback = true;
}

bool round_num_ctx(BodyPeek& peek, const std::vector<int>& buckets)
{
    if (!peek.num_ctx) {
        return false;
    }
    const int rounded = fleet::bucket_of(*peek.num_ctx, buckets);
    if (rounded == *peek.num_ctx) {
        return false;
    }
    peek.num_ctx = rounded;
    peek.options_class = fleet::options_class_of(peek.options_rest, peek.num_ctx);
    return true;
}

} // namespace herd::proxy
