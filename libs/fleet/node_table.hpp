#pragma once
// The nodes themselves, with the indexes that keep every question cheap: by id, by name (a label, not an
// identity: two nodes may share one), by source address, and through the catalog by model.
#include "fleet/catalog.hpp"

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace herd::fleet {

class NodeTable {
public:
    [[nodiscard]] NodeRecord* find(const NodeId& id);
    [[nodiscard]] const NodeRecord* find(const NodeId& id) const;

    struct Named {
        NodeRecord* node{nullptr};     ///< null: nobody, or more than one
        std::vector<NodeId> several{}; ///< then those that may be meant
    };
    /// By id text, by exact name, else by the only name equal but for case, by name and number, or by the beginning of one id.
    /// Of several the only one that is there.
    [[nodiscard]] Named find(std::string_view name_or_id);

    [[nodiscard]] bool shares_name(const NodeRecord& node) const;

    /// A new record; the id must be free. It counts against the source address of `agent`.
    NodeRecord& add(const NodeId& id, NodeSource source, const base::Endpoint& agent);
    void remove(NodeRecord& node, Step& step);
    void rename(NodeRecord& node, const std::string& name);
    /// Whether a name came, went or changed since the last call: what a pin means may have changed.
    [[nodiscard]] bool take_names_changed() { return std::exchange(names_changed_, false); }
    /// Replaces all settings. Returns the nodes for which they differ now.
    std::vector<NodeRecord*> set_settings(const SettingsOf& settings);
    void set_agent(NodeRecord& node, const base::Endpoint& agent);

    [[nodiscard]] int ids_from(const base::IpAddress& address) const;
    [[nodiscard]] std::size_t size() const { return nodes_.size(); }
    [[nodiscard]] const auto& all() const { return nodes_; }
    [[nodiscard]] auto& all() { return nodes_; }
    [[nodiscard]] Catalog& catalog() { return catalog_; }
    [[nodiscard]] const Catalog& catalog() const { return catalog_; }

private:
    [[nodiscard]] NodeRecord* numbered(std::string_view word) const;
    bool apply_settings(NodeRecord& node);
    void count_source(const base::IpAddress& address, int by);

    std::map<NodeId, NodeRecord> nodes_{};
    std::multimap<std::string, NodeRecord*> by_name_{}; ///< lower case
    std::unordered_map<base::IpAddress, int> by_source_{};
    std::map<NodeId, std::shared_ptr<const NodeSettings>> settings_by_id_{};
    std::map<std::string, std::shared_ptr<const NodeSettings>> settings_by_name_{}; ///< lower case
    Catalog catalog_{};
    std::uint64_t last_serial_{0};
    bool names_changed_{false};
};

} // namespace herd::fleet
