#include "herd/records/loaded_contexts.hpp"

#include "fleet/model_name.hpp"

namespace herd::app {

namespace {

constexpr base::Duration real_load = std::chrono::milliseconds{100}; ///< a resident model tells some milliseconds too

} // namespace

void LoadedContexts::look(const fleet::Snapshot& snapshot)
{
    contexts_.clear();
    for (const fleet::NodeView& view : snapshot.nodes) {
        if (!view.facts) {
            continue;
        }
        for (const fleet::LoadedModel& loaded : view.facts->loaded) {
            if (loaded.context_length > 0) {
                const auto name = fleet::ModelName::parse(loaded.name);
                contexts_[{view.name, name.valid ? name.display : loaded.name}] = loaded.context_length;
            }
        }
    }
    version_ = snapshot.version;
    looked_ = true;
}

std::optional<std::int64_t> LoadedContexts::used_by(const store::RequestRecord& record, const fleet::Snapshot& snapshot)
{
    if (record.node.empty() || record.model.empty() || record.status >= 400) {
        return std::nullopt;
    }
    if (!looked_ || version_ != snapshot.version) {
        look(snapshot);
    }
    const auto found = contexts_.find(base::TextViews{record.node, record.model});
    if (found == contexts_.end()) {
        return std::nullopt;
    }
    // Who left during the load leaves no word of it.
    const bool loaded_for_it = !record.load || *record.load >= real_load;
    if (loaded_for_it && record.num_ctx_asked && found->second != *record.num_ctx_asked) {
        return std::nullopt; // the node may still tell of the one before
    }
    return found->second;
}

} // namespace herd::app
