#pragma once
// The models on the simulated disk. Thread: one owner.
#include "options.hpp"

#include <nlohmann/json_fwd.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace herd::sim {

struct StoredModel {
    std::string name{};   ///< as displayed
    std::string digest{}; ///< of the manifest
    std::string blob{};   ///< of the weights: what runners are keyed by
    std::string parent{};
    std::string system{};
    base::Bytes size{0};
    base::WallTime modified{};
    bool embeds{false};
    int num_ctx{0}; ///< PARAMETER num_ctx, 0: none
    std::string family{"llama"};
};

class Store {
public:
    Store(const Options& options, base::WallTime now);

    [[nodiscard]] const StoredModel* find(std::string_view name) const;
    void put(StoredModel model);
    bool remove(std::string_view name);
    /// Newest first, as /api/tags sorts.
    [[nodiscard]] std::vector<const StoredModel*> list() const;
    /// A model as a pull would bring it: digest and size follow from the name.
    [[nodiscard]] static StoredModel fabricate(const ModelSpec& spec, base::WallTime now);

    std::map<std::string, base::Bytes> blobs; ///< by "sha256:…"

private:
    std::map<std::string, StoredModel> models_; // by ModelName::key
};

[[nodiscard]] std::string sha256_hex(std::string_view text);
/// RFC 3339 with nanoseconds, as Go prints it.
[[nodiscard]] std::string go_time(base::WallTime time);
[[nodiscard]] nlohmann::ordered_json details_of(const StoredModel& model, bool with_context);

} // namespace herd::sim
