#include "fleet/snapshot.hpp"

#include "base/text.hpp"
#include "fleet/called.hpp"

#include <algorithm>
#include <set>

namespace herd::fleet {

const NodeView* Snapshot::find(const NodeId& id) const
{
    const auto at = std::ranges::find(nodes, id, &NodeView::id);
    return at == nodes.end() ? nullptr : &*at;
}

namespace {

/// What nodes are called by themselves, whatever the case.
class OwnNames {
public:
    explicit OwnNames(const std::vector<NodeView>& nodes)
    {
        for (const NodeView& node : nodes) {
            lower_.insert(base::lower(node.name));
        }
    }
    bool operator()(const std::string& name) const { return lower_.contains(base::lower(name)); }

private:
    std::set<std::string> lower_;
};

std::vector<const NodeView*> by_id(std::vector<const NodeView*> nodes)
{
    std::ranges::sort(nodes, {}, &NodeView::id);
    return nodes;
}

/// The one of several with one name that has this number; null: there is none.
const NodeView* numbered(const std::vector<NodeView>& nodes, std::string_view word)
{
    const auto asked = parse_numbered(word);
    if (!asked) {
        return nullptr;
    }
    std::vector<const NodeView*> bearers;
    for (const NodeView& node : nodes) {
        if (node.name == asked->name) {
            bearers.push_back(&node);
        }
    }
    const auto place = place_of(*asked, bearers.size(), OwnNames(nodes));
    return place ? by_id(std::move(bearers))[*place] : nullptr;
}

/// All that are meant: those called exactly so, else those that differ in case alone, else one by its number, else those
/// whose id begins so.
std::vector<const NodeView*> called(const std::vector<NodeView>& nodes, std::string_view name)
{
    std::vector<const NodeView*> out;
    const auto take = [&](auto&& fits) {
        for (const auto& node : nodes) {
            if (fits(node)) {
                out.push_back(&node);
            }
        }
        return !out.empty();
    };
    if (name.empty() || take([&](const NodeView& node) { return node.name == name; })
        || take([&](const NodeView& node) { return base::iequals(node.name, name); })) {
        return out;
    }
    if (const NodeView* const one = numbered(nodes, name)) {
        return {one};
    }
    if (may_begin_id(name)) {
        take([&](const NodeView& node) { return node.id.text().starts_with(name); });
    }
    return out;
}

} // namespace

const NodeView* Snapshot::find(std::string_view name_or_id) const
{
    if (const auto id = NodeId::parse(name_or_id)) {
        return find(*id);
    }
    auto all = called(nodes, name_or_id);
    if (all.size() > 1) {
        std::erase_if(all, [](const NodeView* node) { return !is_there(node->state); });
    }
    return all.size() == 1 ? all.front() : nullptr;
}

std::optional<Numbered> parse_numbered(std::string_view word)
{
    constexpr std::size_t digits_most = 4;
    const auto dash = word.rfind('-');
    const auto digits = dash == word.npos ? std::string_view() : word.substr(dash + 1);
    const auto number = digits.size() > digits_most || digits.starts_with('0') ? std::nullopt : base::parse_unsigned(digits);
    return number && dash > 0 ? std::optional(Numbered{word.substr(0, dash), static_cast<std::size_t>(*number)}) : std::nullopt;
}

std::optional<std::size_t> place_of(const Numbered& numbered, std::size_t count, const std::function<bool(const std::string&)>& is_name)
{
    const auto free = [&](std::size_t number) { return !is_name(std::string(numbered.name) + "-" + std::to_string(number)); };
    if (count < 2 || !free(numbered.number)) {
        return std::nullopt;
    }
    std::size_t place = 0;
    for (std::size_t number = 1; number < numbered.number && place < count; ++number) {
        place += free(number) ? 1 : 0;
    }
    return place < count ? std::optional(place) : std::nullopt;
}

std::vector<std::string> distinct_names(const Snapshot& snapshot)
{
    std::map<std::string_view, std::vector<const NodeView*>> bearers;
    for (const NodeView& node : snapshot.nodes) {
        bearers[node.name].push_back(&node);
    }
    std::vector<std::string> names(snapshot.nodes.size());
    const OwnNames is_name(snapshot.nodes);
    for (auto& [name, nodes] : bearers) {
        nodes = by_id(std::move(nodes));
        const auto there = std::ranges::find_if(nodes, [](const NodeView* node) { return is_there(node->state); });
        const NodeView* const first = there == nodes.end() ? nodes.front() : *there;
        std::size_t number = 0;
        for (const NodeView* node : nodes) {
            std::string& text = names[static_cast<std::size_t>(node - snapshot.nodes.data())];
            do {
                text = std::string(name) + "-" + std::to_string(++number);
            } while (is_name(text));
            text = node == first ? std::string(name) : text;
        }
    }
    return names;
}

const NodeView* find_distinct(const Snapshot& snapshot, std::string_view name_or_id)
{
    if (const NodeView* const found = snapshot.find(name_or_id)) {
        return found;
    }
    const auto names = distinct_names(snapshot);
    const auto at = std::ranges::find(names, name_or_id);
    return at == names.end() ? nullptr : &snapshot.nodes[static_cast<std::size_t>(at - names.begin())];
}

bool may_begin_id(std::string_view text)
{
    return text.size() >= short_id_length
        && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
}

std::string word_for(const Snapshot& snapshot, const NodeView& node)
{
    return snapshot.find(std::string_view(node.name)) == &node ? node.name : node.id.text();
}

std::string why_nobody(std::string_view name, const std::vector<NodeId>& ids)
{
    if (ids.size() < 2) {
        return "no node is called " + std::string(name);
    }
    constexpr std::size_t told_most = 8;
    std::string out = std::to_string(ids.size()) + " nodes are called " + std::string(name) + ": use an id (";
    for (std::size_t i = 0; i < std::min(ids.size(), told_most); ++i) {
        out += (i == 0 ? "" : ", ") + ids[i].text().substr(0, short_id_length);
    }
    return out + (ids.size() > told_most ? ", …)" : ")");
}

std::string why_nobody(const Snapshot& snapshot, std::string_view name_or_id)
{
    std::vector<NodeId> ids;
    for (const auto* node : called(snapshot.nodes, name_or_id)) {
        ids.push_back(node->id);
    }
    return why_nobody(name_or_id, ids);
}

std::vector<const NodeView*> Snapshot::routable() const
{
    std::vector<const NodeView*> out;
    for (const auto& node : nodes) {
        if (node.takes_requests()) {
            out.push_back(&node);
        }
    }
    return out;
}

} // namespace herd::fleet
