#include "proxy/merged.hpp"

#include "base/text.hpp"
#include "fleet/called.hpp"
#include "fleet/model_name.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/model_rows.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

namespace herd::proxy {
namespace {

using fleet::Model;
using fleet::NodeState;
using fleet::NodeView;
using fleet::Snapshot;

/// Nodes whose models belong to the fleet: those that serve, or will again in a moment.
bool listed(const NodeView& node, const fleet::Members* members = nullptr)
{
    return node.facts && !node.address.cloud() // what leaves the LAN is nobody's who did not ask for it
           && (members == nullptr || members->admits(node.id, node.name, node.labels))
           && (node.state == NodeState::online || node.state == NodeState::suspect
               || node.state == NodeState::draining);
}

struct Copy {
    std::string_view node; ///< as distinct_names() has it
    const Model* model;
    std::int64_t modified;
};

bool is_model(const Copy& copy) { return fleet::tool_of(copy.model->row) == fleet::Tool::none; }

/// A tool for it, or a model of Ollama's that says so.
bool makes_images(const Copy& copy)
{
    constexpr std::string_view key = R"("capabilities":[)";
    const std::string_view row = copy.model->row;
    const auto at = row.find(key);
    const auto list = at == row.npos ? std::string_view() : row.substr(at + key.size());
    return fleet::tool_of(row) == fleet::Tool::image || list.substr(0, list.find(']')).find(R"("image")") != list.npos;
}

// Which copies of a name a list tells of: its tools only where no node has a model of that name.
void keep_models(std::vector<Copy>& copies)
{
    if (std::ranges::any_of(copies, is_model)) {
        std::erase_if(copies, [](const Copy& copy) { return !is_model(copy); });
    }
}
void keep_listed(std::vector<Copy>& copies)
{
    keep_models(copies);
    std::erase_if(copies, [](const Copy& copy) { return !is_model(copy) && !fleet::is_listed(copy.model->row); });
}
void keep_image_makers(std::vector<Copy>& copies) { std::erase_if(copies, std::not_fn(makes_images)); }

using Names = std::vector<std::string>;

/// The copies of one model that `keep` leaves, the one to show first. `of_openai`: those of servers with only OpenAI's
/// paths too. `names`: of all nodes; they outlive the copies.
std::vector<Copy> copies_of(const Snapshot& snapshot, const Names& names, const std::vector<fleet::Holder>& holders, bool of_openai,
                            const fleet::Members* members, void (*keep)(std::vector<Copy>&))
{
    std::vector<Copy> copies;
    for (const auto& holder : holders) {
        const auto& node = snapshot.nodes[holder.node];
        if (listed(node, members) && (of_openai || node.address.api() == fleet::NodeApi::ollama)) {
            const auto& model = node.facts->models[holder.model];
            copies.push_back({names[holder.node], &model, parse_rfc3339(model.modified_at).value_or(0)});
        }
    }
    keep(copies);
    std::map<std::string_view, int> count;
    for (const auto& copy : copies) {
        ++count[copy.model->digest];
    }
    // What most nodes have, then rows that say more (Ollama 0.30 added capabilities), then the newest.
    const auto better = [&count](const Copy& a, const Copy& b) {
        const auto rank = [&count](const Copy& copy) {
            const bool rich = copy.model->row.find("\"capabilities\"") != std::string::npos;
            return std::tuple(count[copy.model->digest], rich, copy.modified);
        };
        return rank(a) > rank(b);
    };
    const auto best = std::ranges::min_element(copies, better);
    if (best != copies.end()) {
        std::rotate(copies.begin(), best, best + 1);
    }
    return copies;
}

std::string list_of(const std::vector<std::string_view>& names)
{
    std::string out = "[";
    for (const auto name : names) {
        if (out.back() != '[') {
            out.push_back(',');
        }
        append_quoted(out, name);
    }
    return out.append("]");
}

std::vector<std::string_view> names_of(const std::vector<Copy>& copies)
{
    std::vector<std::string_view> names;
    for (const auto& copy : copies) {
        names.push_back(copy.node);
    }
    return names;
}

/// The row with where the model is: "herd":{"nodes":[…],"digests":{…}}, and the names as Ollama Herd's users look for them.
std::string with_places(std::string_view row, const std::vector<Copy>& copies)
{
    std::map<std::string_view, std::vector<std::string_view>> by_digest;
    for (const auto& copy : copies) {
        by_digest[copy.model->digest].push_back(copy.node);
    }
    const auto all = list_of(names_of(copies));
    std::string out = "{\"nodes\":" + all + ",\"digests\":{";
    for (const auto& [digest, nodes] : by_digest) {
        if (out.back() != '{') {
            out.push_back(',');
        }
        append_quoted(out, digest);
        out.append(":").append(list_of(nodes));
    }
    return with_member(with_member_in(row, "details", "fleet_nodes", all), "herd", out.append("}}"));
}

/// A row for a node that told us the fields but not its own bytes.
std::string make_row(const Model& model)
{
    std::string out = "{\"name\":";
    append_quoted(out, model.name);
    out.append(",\"model\":");
    append_quoted(out, model.name);
    out.append(",\"modified_at\":");
    append_quoted(out, model.modified_at.empty() ? "0001-01-01T00:00:00Z" : model.modified_at);
    out.append(",\"size\":").append(std::to_string(model.size)).append(",\"digest\":");
    append_quoted(out, model.digest);
    return out.append(",\"details\":{\"parent_model\":\"\",\"format\":\"\",\"family\":\"\",\"families\":null,"
                      "\"parameter_size\":\"\",\"quantization_level\":\"\"}}");
}

std::string_view owner_of(std::string_view name)
{
    const auto slash = name.rfind('/');
    if (slash == name.npos) {
        return "library";
    }
    const auto before = name.substr(0, slash);
    const auto first = before.rfind('/');
    return first == before.npos ? before : before.substr(first + 1);
}

std::string openai_row(std::string_view id, const Copy& copy)
{
    std::string out = "{\"id\":";
    append_quoted(out, id);
    out.append(",\"object\":\"model\",\"created\":").append(std::to_string(copy.modified / 1'000'000'000));
    out.append(",\"owned_by\":");
    append_quoted(out, owner_of(copy.model->name));
    return out.append("}");
}

/// Every model of the fleet, newest first.
std::vector<std::vector<Copy>> all_models(const Snapshot& snapshot, const Names& names, const ModelFilter& seen, bool of_openai,
                                          const fleet::Members* members)
{
    std::vector<std::vector<Copy>> models;
    for (const auto& [key, holders] : snapshot.models) {
        if (seen && !seen(key)) {
            continue;
        }
        auto copies = copies_of(snapshot, names, holders, of_openai, members, keep_listed);
        if (!copies.empty()) {
            models.push_back(std::move(copies));
        }
    }
    std::ranges::sort(models, [](const auto& a, const auto& b) {
        return std::tie(b.front().modified, a.front().model->key) < std::tie(a.front().modified, b.front().model->key);
    });
    return models;
}

std::vector<std::uint64_t> numbers_of(std::string_view version)
{
    std::vector<std::uint64_t> numbers;
    for (const auto part : base::split_list(version.substr(0, std::min(version.find('-'), version.size())), '.')) {
        numbers.push_back(base::parse_unsigned(part).value_or(0));
    }
    return numbers;
}

bool is_version(std::string_view text) { return !text.empty() && text.front() >= '0' && text.front() <= '9'; }

} // namespace

std::string tags_body(const Snapshot& snapshot, const ModelFilter& seen, const fleet::Members* members)
{
    std::string out = "{\"models\":[";
    const bool several = snapshot.nodes.size() > 1;
    const auto names = fleet::distinct_names(snapshot);
    for (const auto& copies : all_models(snapshot, names, seen, false, members)) {
        if (out.back() != '[') {
            out.push_back(',');
        }
        const auto& model = *copies.front().model;
        const auto row = model.row.empty() ? make_row(model) : model.row;
        out.append(several ? with_places(row, copies) : row);
    }
    return out.append("]}");
}

std::string_view short_name(std::string_view name)
{
    constexpr std::string_view latest = ":latest";
    return name.ends_with(latest) ? name.substr(0, name.size() - latest.size()) : name;
}

std::string image_models_body(const Snapshot& snapshot, const ModelFilter& seen, const fleet::Members* members)
{
    std::string out = "{\"models\":[";
    const auto names = fleet::distinct_names(snapshot);
    for (const auto& [key, holders] : snapshot.models) {
        const auto copies = seen && !seen(key) ? std::vector<Copy>{} : copies_of(snapshot, names, holders, false, members, keep_image_makers);
        if (copies.empty()) {
            continue;
        }
        const auto backend = fleet::backend_of(copies.front().model->row);
        out.append(out.back() == '[' ? "" : ",").append("{\"name\":");
        append_quoted(out, short_name(copies.front().model->name));
        out.append(",\"type\":\"image\",\"backend\":");
        append_quoted(out, backend.empty() ? "ollama" : backend);
        out.append(",\"fleet_nodes\":").append(list_of(names_of(copies))).append("}");
    }
    return out.append("]}");
}

std::string models_body(const Snapshot& snapshot, const ModelFilter& seen, const fleet::Members* members)
{
    const auto names = fleet::distinct_names(snapshot);
    const auto models = all_models(snapshot, names, seen, true, members);
    if (models.empty()) {
        return "{\"object\":\"list\",\"data\":null}\n";
    }
    std::string out = "{\"object\":\"list\",\"data\":[";
    for (const auto& copies : models) {
        if (out.back() != '[') {
            out.push_back(',');
        }
        out.append(openai_row(copies.front().model->name, copies.front()));
    }
    return out.append("]}\n");
}

std::string model_body(const Snapshot& snapshot, std::string_view id, const ModelFilter& seen,
                       const fleet::Members* members)
{
    const auto name = fleet::ModelName::parse(id);
    const auto found = name.valid ? snapshot.models.find(name.key) : snapshot.models.end();
    if (found == snapshot.models.end() || (seen && !seen(found->first))) {
        return {};
    }
    const auto names = fleet::distinct_names(snapshot);
    const auto copies = copies_of(snapshot, names, found->second, true, members, keep_models);
    return copies.empty() ? std::string() : openai_row(id, copies.front()) + "\n";
}

bool version_less(std::string_view a, std::string_view b)
{
    const auto left = numbers_of(a);
    const auto right = numbers_of(b);
    if (left != right) {
        return left < right;
    }
    const bool suffix_a = a.find('-') != a.npos;
    const bool suffix_b = b.find('-') != b.npos;
    return suffix_a != suffix_b ? suffix_a : a < b;
}

std::string version_body(const Snapshot& snapshot)
{
    std::string_view lowest;
    const auto consider = [&lowest](const NodeView& node) {
        const std::string_view version = node.facts ? std::string_view(node.facts->ollama_version) : std::string_view();
        if (is_version(version) && (lowest.empty() || version_less(version, lowest))) {
            lowest = version;
        }
    };
    for (const auto& node : snapshot.nodes) {
        if (listed(node)) {
            consider(node);
        }
    }
    if (lowest.empty()) {
        std::ranges::for_each(snapshot.nodes, consider);
    }
    return "{\"version\":" + json_quoted(lowest.empty() ? "0.0.0" : lowest) + "}";
}

std::string ps_body(const std::vector<NodeLoad>& nodes, bool name_nodes, const ModelFilter& seen)
{
    struct Row {
        std::int64_t expires;
        std::string text;
    };
    std::vector<Row> rows;
    for (const auto& node : nodes) {
        for (const auto& model : node.loaded) {
            if (!model.row.empty() && (!seen || seen(fleet::ModelName::parse(model.name).key))) {
                const auto name = json_quoted(node.node);
                auto text = name_nodes ? with_member(with_member(model.row, "fleet_node", name), "herd", "{\"node\":" + name + "}")
                                       : model.row;
                rows.push_back({parse_rfc3339(model.expires_at).value_or(0), std::move(text)});
            }
        }
    }
    std::ranges::sort(rows, [](const Row& a, const Row& b) {
        return std::tie(b.expires, a.text) < std::tie(a.expires, b.text);
    });
    std::string out = "{\"models\":[";
    for (const auto& row : rows) {
        if (out.back() != '[') {
            out.push_back(',');
        }
        out.append(row.text);
    }
    return out.append("]}");
}

net::Task<std::string> ask_ps(Context& context, std::string own_id, ModelFilter seen,
                               const fleet::Members* members)
{
    const auto snapshot = context.scheduler.snapshot();
    std::vector<Target> targets;
    for (const auto& node : snapshot->nodes) {
        if (listed(node, members) && node.address.api() == fleet::NodeApi::ollama) {
            targets.push_back(target_of(node));
        }
    }
    const auto replies = co_await ask_all(context, std::move(own_id), std::move(targets), {.path = "/api/ps"});
    std::vector<NodeLoad> loads;
    const auto names = fleet::distinct_names(*snapshot);
    for (const auto& reply : replies) {
        const auto* node = snapshot->find(reply.target.id);
        NodeLoad load{node == nullptr ? reply.target.name : names[static_cast<std::size_t>(node - snapshot->nodes.data())], {}};
        auto rows = reply.ok() ? parse_ps(reply.answer->body) : std::nullopt;
        if (rows) {
            load.loaded = *rows;
            context.scheduler.tell(fleet::LoadedRead{reply.target.id, std::move(*rows)});
        } else if (node != nullptr && node->facts) {
            load.loaded = node->facts->loaded; // /api/ps of a busy Ollama may stall for seconds
        }
        std::erase_if(load.loaded, [node](const fleet::LoadedModel& model) { return node != nullptr && !node->allows(model.key); });
        loads.push_back(std::move(load));
    }
    co_return ps_body(loads, snapshot->nodes.size() > 1, seen);
}

net::Task<std::string> ask_status(Context& context, std::string own_id, const fleet::Members* members)
{
    const auto snapshot = context.scheduler.snapshot();
    std::vector<Target> targets;
    for (const auto* node : snapshot->routable()) {
        if (listed(*node, members) && node->address.api() == fleet::NodeApi::ollama) {
            targets.push_back(target_of(*node));
        }
    }
    const auto replies = co_await ask_all(context, std::move(own_id), std::move(targets), {.path = "/api/status"});
    std::string disabled;
    for (const auto& reply : replies) {
        if (!reply.ok()) {
            continue; // silent, or too old to have a switch
        }
        if (replies.size() == 1) {
            co_return reply.answer->body;
        }
        if (reply.answer->body.find("\"disabled\":true") == std::string::npos) {
            co_return reply.answer->body;
        }
        disabled = reply.answer->body;
    }
    co_return disabled.empty() ? "{\"cloud\":{\"disabled\":false,\"source\":\"none\"}}" : disabled;
}

} // namespace herd::proxy
