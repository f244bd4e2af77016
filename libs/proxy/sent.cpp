#include "proxy/sent.hpp"

namespace herd::proxy {

std::string sent_words(const Frontend* frontend, const fleet::Snapshot& snapshot)
{
    if (frontend == nullptr || frontend->use.empty()) {
        return {};
    }
    const auto* node = snapshot.find(std::string_view(frontend->use));
    const std::string who = frontend->config.id == "default" ? "everything" : "frontend '" + frontend->config.id + "'";
    return who + " is sent to " + (node != nullptr ? node->name : frontend->use + ", which is not known") + " (`herd use`)";
}

bool is_passed_by(const Frontend& frontend, const fleet::NodeView& node)
{
    if (frontend.use.empty() || frontend.rules->members.admits(node.id, node.name, node.labels)) {
        return false;
    }
    auto labels = frontend.config.node_labels;
    labels.insert(labels.end(), frontend.config.labels_required.begin(), frontend.config.labels_required.end());
    return fleet::Members(frontend.config.nodes, labels).admits(node.id, node.name, node.labels);
}

} // namespace herd::proxy
