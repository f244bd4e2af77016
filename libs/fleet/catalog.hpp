#pragma once
// Which nodes have which model. Kept as an index from model to holders, so that a decision costs as much as
// the model has holders, whatever the size of the fleet.
#include "fleet/node_record.hpp"
#include "fleet/step.hpp"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::fleet {

/// A node that has the model. Both live as long as the entry: NodeTable removes a node here first.
struct Holding {
    NodeRecord* node{nullptr};
    ModelOnNode* model{nullptr};
};

class Catalog {
public:
    /// Holders of `key` in the order of ids; empty when nobody known has it.
    [[nodiscard]] const std::vector<Holding>& holders(const std::string& key) const;
    [[nodiscard]] bool knows(const std::string& key) const { return entries_.contains(key); }

    /// Takes `facts` as the node's newest word: its models and what is loaded. Keys that gained or lost this
    /// holder go to step.models_changed; the node goes to step.touched when its slots or loaded list changed.
    void adopt(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step);
    /// Only the list of loaded models is new.
    void adopt_loaded(NodeRecord& node, std::shared_ptr<const NodeFacts> facts, Step& step);
    /// The node answered 404 for a model it lists.
    void mark_missing(NodeRecord& node, const std::string& key, Step& step);
    /// The node is going away.
    void remove(NodeRecord& node, Step& step);
    /// Forgets `key` on the node if it is neither listed nor in use.
    void tidy(NodeRecord& node, const std::string& key);

    [[nodiscard]] const auto& entries() const { return entries_; }

private:
    struct Entry {
        std::vector<Holding> holders{};
    };
    void add_holder(NodeRecord& node, const std::string& key, ModelOnNode& model, Step& step);
    void remove_holder(const NodeRecord& node, const std::string& key, Step& step);
    static void read_loaded(NodeRecord& node);

    std::unordered_map<std::string, Entry> entries_{}; ///< looked up only; what is shown is ordered elsewhere
};

/// ModelName::key of a row: as given, else from its name; empty when the name is not valid.
[[nodiscard]] std::string key_of(const std::string& key, const std::string& name);

} // namespace herd::fleet
