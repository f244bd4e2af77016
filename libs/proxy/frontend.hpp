#pragma once
// Virtual endpoints: what a [[frontend]] says, and all of them compiled into one immutable value that every loop
// reads. Finding the frontend of a request is one hash lookup. Without any configured there is no such value at all,
// and an exchange asks for nothing more than a pointer. Pure but for the counters of a frontend's limits.
// Source: reference/parity.md 3.2 to 3.7, design/contract.md 5.
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/units.hpp"
#include "fleet/rules.hpp"
#include "proxy/pins.hpp"
#include "proxy/problem.hpp"
#include "proxy/rate_limit.hpp"
#include "proxy/routes.hpp"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace herd::proxy {

struct ProxyOptions;

/// JSON texts; empty: none. Those for one family are merged after the common one.
struct PinTexts {
    std::string embeddings{};
    std::string embeddings_ollama{};
    std::string embeddings_openai{};
    std::string completions{};
    std::string completions_ollama{};
    std::string completions_openai{};
    [[nodiscard]] bool empty() const
    {
        return embeddings.empty() && embeddings_ollama.empty() && embeddings_openai.empty() && completions.empty()
            && completions_ollama.empty() && completions_openai.empty();
    }
    bool operator==(const PinTexts&) const = default;
};

/// One [[frontend]] as a person wrote it, checked word by word but not against the others.
struct FrontendConfig {
    std::string id{};
    std::string name{};
    std::vector<std::string> hostnames{}; ///< lower case; "*.lan", "*"
    std::optional<std::vector<std::string>> nodes{}; ///< names or ids; nothing: all
    std::vector<std::string> node_labels{};
    std::vector<std::string> labels_required{};
    bool allow_embeddings{true};
    bool allow_completions{true};
    bool allow_model_admin{false};
    bool allow_cloud{false};
    bool allow_retries{true};
    std::optional<std::uint32_t> retries{};
    fleet::Policy policy{fleet::Policy::cost};
    bool sticky{false};
    base::Duration sticky_ttl{std::chrono::minutes{30}};
    std::uint32_t per_minute{0}; ///< 0: no limit
    std::uint32_t burst{0};      ///< 0: as per_minute
    std::uint32_t max_parallel{0};
    std::optional<base::Duration> connect_timeout{};
    std::optional<base::Duration> first_byte_timeout{};
    std::optional<base::Duration> idle_timeout{};
    std::optional<base::Duration> total_timeout{};
    std::optional<base::Bytes> max_body{};
    PinTexts pins{};
    bool active{true};
    bool path_prefix{false}; ///< also under /f/ID/…
};

/// What a person pinned for one node, by its name or id.
struct NodePinConfig {
    std::string node{};
    PinTexts pins{};
};

enum class RequestClass : std::uint8_t { other, embeddings, completions, model_admin };
[[nodiscard]] RequestClass class_of(const Route& route);

/// Compiled: one set for each class and family.
class PinSets {
public:
    /// Errors: bad_config, beginning with the key.
    [[nodiscard]] static base::Result<PinSets> compile(const PinTexts& texts);
    /// Null: nothing is pinned for such a request.
    [[nodiscard]] const Pins* find(RequestClass kind, const Route& route) const;
    /// "pinned_completions" when some set of such pins has that key, in whatever case; empty when none has.
    [[nodiscard]] std::string_view where_named(std::string_view key) const;

private:
    std::array<std::array<Pins, 2>, 2> sets_{}; ///< [completions][of /v1]
};

/// What runs through a frontend now; kept over a reload.
struct FrontendLoad {
    RateBucket rate{};
    std::atomic<std::uint32_t> in_flight{0};
};

/// Thread: any; immutable but for `load`.
struct Frontend {
    FrontendConfig config{};
    std::string use{};                          ///< the node it is switched to; empty: any of its members
    std::shared_ptr<const fleet::Rules> rules{};
    std::vector<std::string> labels{};          ///< required, lower case
    PinSets pins{};
    std::shared_ptr<const ProxyOptions> options{}; ///< the proxy's, with what this one changes
    std::shared_ptr<FrontendLoad> load{};
    bool built_in{false};

    /// Why a request of this kind is refused here; nothing: it is not.
    [[nodiscard]] std::optional<Problem> refusal(RequestClass kind) const;
};

/// All of it.
class Frontends {
public:
    struct Input {
        std::vector<FrontendConfig> frontends{};
        std::vector<NodePinConfig> node_pins{};
        std::map<std::string, std::string> use{}; ///< frontend id → node
    };
    /// `defaults`: the proxy's own options. `before`: whose counters go on. Null when there is nothing to say.
    /// Errors: bad_config, one sentence that names frontend or node, and key.
    [[nodiscard]] static base::Result<std::shared_ptr<const Frontends>> compile(Input input, const ProxyOptions& defaults,
                                                                                const Frontends* before);

    /// `host`: a Host field, port and all. Null: none, and there is no catch-all.
    [[nodiscard]] const Frontend* of_host(std::string_view host) const;
    /// Of "/f/ID/…"; null: no such prefix, or no frontend that has one. `rest` becomes the path behind it.
    [[nodiscard]] const Frontend* of_path(std::string_view path, std::string_view& rest) const;
    /// By id, else by name.
    [[nodiscard]] const Frontend* find(std::string_view id_or_name) const;
    [[nodiscard]] const std::vector<std::unique_ptr<const Frontend>>& all() const { return all_; }
    /// Some node has pins for such requests.
    [[nodiscard]] bool pins_some_node(RequestClass kind, const Route& route) const;
    /// Null: nothing is pinned for that node.
    [[nodiscard]] const PinSets* pins_of(const base::NodeId& id, std::string_view name) const;

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    base::Result<void> add(FrontendConfig config, const Input& input, const ProxyOptions& defaults,
                           const Frontends* before);
    base::Result<void> add_hosts(const Frontend& frontend);

    std::vector<std::unique_ptr<const Frontend>> all_{};
    std::unordered_map<std::string, const Frontend*, Hash, std::equal_to<>> by_host_{};
    std::vector<std::pair<std::string, const Frontend*>> by_suffix_{}; ///< ".lan", longest first
    const Frontend* catch_all_{nullptr};
    bool prefixes_{false};
    std::vector<std::pair<base::NodeId, PinSets>> pins_by_id_{};
    std::vector<std::pair<std::string, PinSets>> pins_by_name_{}; ///< lower case
};

/// One sentence when `text` is no host name that a frontend can have; else empty.
[[nodiscard]] std::string hostname_fault(std::string_view text);
/// [A-Za-z0-9._-]{1,128}
[[nodiscard]] bool fit_for_frontend_id(std::string_view text);

} // namespace herd::proxy
