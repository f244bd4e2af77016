#pragma once
// The local Ollama as this agent knows it: whether it lives, what it is, what it has. One idle connection to
// it is the canary: the kernel closes it in the moment the process dies. A small request each second finds
// the ones that hang. Before anything is believed of a backend that is new or was away, it must show that it
// is no herd, no herd-node and no Ollana proxy, for requests would go round in circles then.
#include "base/error.hpp"
#include "base/ip.hpp"
#include "config/backend_url.hpp"
#include "discovery/node_document.hpp"
#include "http/pool.hpp"
#include "net/network.hpp"
#include "net/task_group.hpp"
#include "net/timer.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::http {
struct Answer;
}

namespace herd::node {

enum class BackendState : std::uint8_t {
    unknown, ///< not looked at yet
    down,    ///< cannot be reached, or does not answer
    refused, ///< answers, but must not be used (see `reason`); asked again now and then
    up,      ///< an Ollama: version, loaded and models are what it said last
};
[[nodiscard]] std::string_view to_string(BackendState state);

struct BackendView {
    BackendState state{BackendState::unknown};
    std::string reason{}; ///< a sentence for people, unless up
    /// Where it was reached last; what requests go to.
    std::optional<base::Endpoint> endpoint{};
    std::string version{};
    std::vector<discovery::LoadedFacts> loaded{};
    std::vector<discovery::ModelFacts> models{};
};

/// A model of fleet::ModelName::key `key` is among them.
[[nodiscard]] bool has_model(const std::vector<discovery::ModelFacts>& models, std::string_view key);

struct BackendOptions {
    config::BackendUrl url{};
    /// Listeners of our own: a backend there is ourselves.
    std::vector<base::Endpoint> own{};
    base::Duration version_every{std::chrono::seconds{1}};
    base::Duration version_timeout{std::chrono::milliseconds{500}};
    int hangs_max{2}; ///< unanswered version requests in a row until it counts as down
    base::Duration ps_every{std::chrono::seconds{2}};
    base::Duration tags_every{std::chrono::seconds{30}};
    base::Duration show_every{std::chrono::milliseconds{50}}; ///< one new model's metadata after the other
    base::Duration inspect_timeout{std::chrono::seconds{1}};    ///< of one question of the loop guard
    base::Duration list_timeout{std::chrono::seconds{5}};       ///< of one /api/ps or /api/tags
    base::Duration retry_every{std::chrono::milliseconds{250}}; ///< while down
    base::Duration refused_every{std::chrono::seconds{5}};
    base::Duration settle{std::chrono::milliseconds{50}}; ///< from refresh_loaded() to asking
};

/// Thread: the loop's.
class Backend {
public:
    /// `on_change` is called whenever view() says something new.
    Backend(net::Loop& loop, net::Network& network, http::Pool& pool, BackendOptions options,
            net::Callback on_change);
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    /// Requires stop() to have ended, unless the loop itself has.
    ~Backend();

    void start();
    [[nodiscard]] net::Task<void> stop();
    [[nodiscard]] const BackendView& view() const { return view_; }
    [[nodiscard]] const config::BackendUrl& url() const { return options_.url; }

    /// A request passed that may have loaded or unloaded a model: asks /api/ps soon.
    void refresh_loaded();
    /// A request passed that changed what is on disk: asks /api/tags soon.
    void refresh_models();
    /// The request path could not reach it: looks at once.
    void suspect();

private:
    net::Task<void> run();
    net::Task<void> step();
    net::Task<bool> connect_canary();
    net::Task<void> watch_version();
    net::Task<void> inspect();
    net::Task<base::Result<std::string>> find_loop(base::Endpoint at);
    net::Task<void> ask_version();
    net::Task<bool> ask_loaded();
    net::Task<bool> ask_models();
    net::Task<bool> ask_cache();
    void unreadable(std::string_view path, bool& told);
    [[nodiscard]] const discovery::ModelFacts* without_cache() const;
    void add_caches(std::vector<discovery::ModelFacts>& models) const;
    net::Task<base::Result<http::Answer>> ask(const char* method, const char* target, base::Endpoint to,
                                              base::Duration timeout, std::size_t body_bytes_max,
                                              std::string body = {});
    void canary_ended();
    void take_version(std::string version);
    void fall(BackendState state, std::string reason);
    [[nodiscard]] base::Instant next_due() const;

    net::Loop& loop_;
    net::Network& network_;
    http::Pool& pool_;
    BackendOptions options_;
    net::Callback on_change_;
    BackendView view_{};
    std::unique_ptr<net::Stream> canary_;
    bool inspected_{false}; ///< since the canary was connected
    int hangs_{0};
    bool ps_unreadable_{false}; ///< and said so, like the next
    bool tags_unreadable_{false};
    base::Instant connected_at_{};
    base::Instant look_at_{}; ///< down or refused: when to try again
    base::Instant version_at_{};
    base::Instant loaded_at_{};
    base::Instant models_at_{};
    base::Instant caches_at_{};
    std::map<std::string, base::Bytes> caches_; ///< by digest: KV bytes per token, 0 when the metadata do not tell
    net::Timer timer_;
    net::Event wake_;
    net::Timer version_timer_;
    net::Event version_wake_;
    net::TaskGroup tasks_;
    bool stopping_{false};
};

} // namespace herd::node
