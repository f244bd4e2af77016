#include "herd-node/backend.hpp"

#include "base/log.hpp"
#include "fleet/model_name.hpp"
#include "herd-node/probes/ollama_api.hpp"
#include "http/fetch.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

constexpr std::size_t small_body_max = 64 * 1024;
constexpr std::size_t list_body_max = 16 * 1024 * 1024;
constexpr int shown_first = 4; // models whose metadata are read before the first READY
constexpr base::Duration short_life = std::chrono::seconds{1}; // of a canary

} // namespace

std::string_view to_string(BackendState state)
{
    switch (state) {
    case BackendState::unknown: return "unknown";
    case BackendState::down: return "down";
    case BackendState::refused: return "refused";
    case BackendState::up: return "up";
    }
    return "unknown";
}

bool has_model(const std::vector<discovery::ModelFacts>& models, std::string_view key)
{
    return std::ranges::any_of(models, [key](const discovery::ModelFacts& model) { return fleet::ModelName::parse(model.name).key == key; });
}

Backend::Backend(net::Loop& loop, net::Network& network, http::Pool& pool, BackendOptions options,
                 net::Callback on_change)
    : loop_(loop),
      network_(network),
      pool_(pool),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      timer_(loop),
      wake_(loop),
      version_timer_(loop),
      version_wake_(loop),
      tasks_(loop, "backend")
{
}

Backend::~Backend() = default;

void Backend::start()
{
    tasks_.spawn("run", run());
    tasks_.spawn("watch_version", watch_version());
}

net::Task<void> Backend::stop()
{
    stopping_ = true;
    if (canary_) {
        canary_->close();
    }
    timer_.cancel();
    version_timer_.cancel();
    wake_.notify();
    version_wake_.notify();
    tasks_.cancel();
    co_await tasks_.join();
    canary_.reset();
}

void Backend::refresh_loaded()
{
    loaded_at_ = std::min(loaded_at_, loop_.now() + options_.settle);
    wake_.notify();
}

void Backend::refresh_models()
{
    models_at_ = loop_.now();
    wake_.notify();
}

void Backend::suspect()
{
    look_at_ = loop_.now();
    version_at_ = loop_.now();
    wake_.notify();
    version_wake_.notify();
}

net::Task<void> Backend::run()
{
    while (!stopping_) {
        co_await step();
        if (stopping_) {
            break;
        }
        if (const auto due = next_due(); due != base::Instant::max()) {
            timer_.call_at(due, [this] { wake_.notify(); });
        }
        co_await wake_.wait();
        timer_.cancel();
    }
}

base::Instant Backend::next_due() const
{
    if (!canary_ || !canary_->is_open() || !inspected_) {
        return look_at_;
    }
    if (view_.state != BackendState::up) {
        return base::Instant::max(); // watch_version() tells
    }
    const auto lists = std::min(loaded_at_, models_at_);
    return without_cache() != nullptr ? std::min(lists, caches_at_) : lists;
}

/// Each second: does it still live? Beside whatever else is asked, for a list that nobody answers is waited for ten times
/// as long.
net::Task<void> Backend::watch_version()
{
    while (!stopping_) {
        const bool there = inspected_ && canary_ && canary_->is_open();
        if (there && loop_.now() >= version_at_) {
            co_await ask_version();
            continue;
        }
        if (there) {
            version_timer_.call_at(version_at_, [this] { version_wake_.notify(); });
        }
        co_await version_wake_.wait();
        version_timer_.cancel();
    }
}

/// Does what is due, one thing after the other.
net::Task<void> Backend::step()
{
    if (!canary_ || !canary_->is_open() || !inspected_) {
        if (loop_.now() < look_at_) {
            co_return;
        }
        const bool connected = (canary_ && canary_->is_open()) || co_await connect_canary();
        if (connected && !stopping_) {
            co_await inspect();
        }
        co_return;
    }
    if (view_.state == BackendState::up && !stopping_ && loop_.now() >= loaded_at_) {
        const bool news = co_await ask_loaded();
        if (news && view_.state == BackendState::up) {
            on_change_();
        }
    }
    if (view_.state == BackendState::up && !stopping_ && loop_.now() >= models_at_) {
        const bool news = co_await ask_models();
        if (news && view_.state == BackendState::up) {
            on_change_();
        }
    }
    if (view_.state == BackendState::up && !stopping_ && loop_.now() >= caches_at_ && without_cache() != nullptr) {
        const bool news = co_await ask_cache();
        if (news && view_.state == BackendState::up) {
            on_change_();
        }
    }
}

/// Connects the idle connection; a refusal is the verdict, within the millisecond in which it comes.
net::Task<bool> Backend::connect_canary()
{
    inspected_ = false;
    const auto deadline = loop_.now() + options_.version_timeout;
    const auto addresses = co_await network_.resolve(options_.url.host, deadline);
    base::Error error{};
    if (!addresses) {
        error = addresses.error();
    } else {
        for (const auto& address : *addresses) {
            const base::Endpoint at{address, options_.url.port};
            auto stream = co_await network_.connect(at, deadline);
            if (stopping_) {
                co_return false;
            }
            if (stream) {
                view_.endpoint = at;
                canary_ = std::move(*stream);
                connected_at_ = loop_.now();
                canary_->watch([this] { canary_ended(); });
                co_return true;
            }
            error = stream.error();
        }
    }
    look_at_ = loop_.now() + options_.retry_every;
    fall(BackendState::down, "Ollama at " + options_.url.text() + " cannot be reached: " + error.message());
    co_return false;
}

/// The end, or bytes nobody asked for: either way this is no idle Ollama any more.
void Backend::canary_ended()
{
    canary_->close();
    if (view_.endpoint) {
        pool_.drop(*view_.endpoint);
    }
    // Something that accepts and hangs up at once must not keep us busy.
    const bool short_lived = loop_.now() - connected_at_ < short_life;
    look_at_ = loop_.now() + (short_lived ? short_life / 10 : base::Duration{});
    wake_.notify();
}

/// The first questions to a backend that is new, or was away: is it an Ollama, and none that leads back here?
net::Task<void> Backend::inspect()
{
    const base::Endpoint at = *view_.endpoint;
    const auto loop_reason = co_await find_loop(at);
    if (stopping_) {
        co_return;
    }
    if (!loop_reason) {
        canary_->close();
        look_at_ = loop_.now() + options_.retry_every;
        fall(BackendState::down,
             "Ollama at " + options_.url.text() + " does not answer: " + loop_reason.error().message());
        co_return;
    }
    if (!loop_reason->empty()) {
        fall(BackendState::refused, *loop_reason);
        co_return;
    }
    hangs_ = 0;
    // The lists come first, so that the first READY tells what is there.
    (void)co_await ask_loaded();
    if (!stopping_) {
        (void)co_await ask_models();
    }
    for (int i = 0; i < shown_first && without_cache() != nullptr && !stopping_; ++i) {
        (void)co_await ask_cache(); // so few do not keep a herd waiting; the others follow
    }
    inspected_ = true;
    version_at_ = loop_.now();
    version_wake_.notify();
}

/// A sentence when the backend must not be used, empty when it may; an error when it does not answer.
net::Task<base::Result<std::string>> Backend::find_loop(base::Endpoint at)
{
    const std::string where = options_.url.text();
    if (std::ranges::any_of(options_.own, [&](const base::Endpoint& own) { return own == at; })) {
        co_return where + " is this agent itself; point --ollama at the Ollama behind it";
    }
    const auto node = co_await ask("GET", "/herd/v1/node", at, options_.inspect_timeout, small_body_max);
    if (!node) {
        co_return std::unexpected(node.error());
    }
    if (node->head.status != 404) {
        co_return where + " is a herd-node, not an Ollama; point --ollama at the Ollama behind it";
    }
    const auto status = co_await ask("GET", "/herd/v1/status", at, options_.inspect_timeout, small_body_max);
    if (!status) {
        co_return std::unexpected(status.error());
    }
    if (status->head.status != 404) {
        co_return where + " is a herd, not an Ollama; a node behind its own herd would be a loop";
    }
    const auto ollana =
        co_await ask("POST", "/ollana/api/authorize", at, options_.inspect_timeout, small_body_max);
    if (!ollana) {
        co_return std::unexpected(ollana.error());
    }
    if (ollana->head.status == 200 || ollana->head.status == 401) {
        co_return where + " is an Ollana proxy, not an Ollama; requests could go round in circles";
    }
    co_return std::string{};
}

net::Task<void> Backend::ask_version()
{
    version_at_ = loop_.now() + options_.version_every;
    const auto answer =
        co_await ask("GET", "/api/version", *view_.endpoint, options_.version_timeout, small_body_max);
    if (stopping_) {
        co_return;
    }
    if (!answer) {
        // One late answer is a busy box; a refusal or a reset is a verdict.
        const bool hangs = answer.error().code == base::Errc::timed_out;
        if (!hangs || view_.state != BackendState::up || ++hangs_ >= options_.hangs_max) {
            fall(BackendState::down,
                 "Ollama at " + options_.url.text()
                     + (hangs ? std::string{" accepts connections but does not answer"}
                              : " fails: " + answer.error().message()));
        }
        co_return;
    }
    const auto version = parse_version(answer->body);
    if (answer->head.status != 200 || !version) {
        fall(BackendState::refused, options_.url.text() + " does not answer /api/version as an Ollama does");
        co_return;
    }
    hangs_ = 0;
    take_version(*version);
}

void Backend::take_version(std::string version)
{
    const bool was_up = view_.state == BackendState::up;
    if (was_up && view_.version == version) {
        return;
    }
    view_.state = BackendState::up;
    view_.reason.clear();
    view_.version = std::move(version);
    if (!was_up) {
        wake_.notify(); // the lists are asked for again
        log::info("backend", "backend_up", {{"url", options_.url.text()}, {"version", view_.version}});
    }
    on_change_();
}

/// True when something is new. What was known stays when there is no answer; /api/version decides about life.
net::Task<bool> Backend::ask_loaded()
{
    loaded_at_ = loop_.now() + options_.ps_every;
    const auto answer = co_await ask("GET", "/api/ps", *view_.endpoint, options_.list_timeout, list_body_max);
    if (stopping_ || !answer || answer->head.status != 200) {
        co_return false;
    }
    auto loaded = parse_ps(answer->body, loop_.wall());
    if (!loaded) {
        unreadable("/api/ps", ps_unreadable_);
        co_return false;
    }
    ps_unreadable_ = false;
    // A model that runs and is not listed was made behind our back.
    const bool stranger = std::ranges::any_of(*loaded, [&](const discovery::LoadedFacts& model) {
        return std::ranges::find(view_.models, model.digest, &discovery::ModelFacts::digest)
            == view_.models.end();
    });
    if (stranger) {
        models_at_ = std::min(models_at_, loop_.now() + options_.ps_every);
    }
    const bool news = *loaded != view_.loaded;
    view_.loaded = std::move(*loaded);
    co_return news;
}

/// As ask_loaded().
net::Task<bool> Backend::ask_models()
{
    models_at_ = loop_.now() + options_.tags_every;
    const auto answer =
        co_await ask("GET", "/api/tags", *view_.endpoint, options_.list_timeout, list_body_max);
    if (stopping_) {
        co_return false;
    }
    if (!answer || answer->head.status != 200) {
        models_at_ = loop_.now() + options_.ps_every;
        co_return false;
    }
    auto models = parse_tags(answer->body);
    if (!models) {
        unreadable("/api/tags", tags_unreadable_);
        co_return false;
    }
    tags_unreadable_ = false;
    add_caches(*models);
    const bool news = *models != view_.models;
    view_.models = std::move(*models);
    co_return news;
}

/// Said once: it would be again every few seconds. What was known before stays.
void Backend::unreadable(std::string_view path, bool& told)
{
    if (!std::exchange(told, true)) {
        log::warn("backend", "list_unreadable", {{"url", options_.url.text()}, {"path", path}});
    }
}

/// One whose metadata were not looked at yet.
const discovery::ModelFacts* Backend::without_cache() const
{
    const auto at = std::ranges::find_if(view_.models, [this](const discovery::ModelFacts& model) {
        return !model.digest.empty() && !caches_.contains(model.digest);
    });
    return at == view_.models.end() ? nullptr : &*at;
}

void Backend::add_caches(std::vector<discovery::ModelFacts>& models) const
{
    for (auto& model : models) {
        if (const auto at = caches_.find(model.digest); at != caches_.end() && at->second > 0) {
            model.cache_bytes_per_token = at->second;
        }
    }
}

/// Reads one model's metadata. True when all there are have been read now: herds hear of them once.
net::Task<bool> Backend::ask_cache()
{
    caches_at_ = loop_.now() + options_.show_every;
    const std::string digest = without_cache()->digest;
    const std::string body =
        nlohmann::json{{"model", without_cache()->name}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const auto answer = co_await ask("POST", "/api/show", *view_.endpoint, options_.list_timeout, list_body_max, body);
    if (stopping_) {
        co_return false;
    }
    if (!answer) {
        caches_at_ = loop_.now() + options_.tags_every;
        co_return false;
    }
    std::erase_if(caches_, [this](const auto& known) {
        return std::ranges::find(view_.models, known.first, &discovery::ModelFacts::digest) == view_.models.end();
    });
    const auto told = answer->head.status == 200 ? parse_show_cache(answer->body) : std::nullopt;
    caches_.emplace(digest, told.value_or(0));
    add_caches(view_.models);
    co_return without_cache() == nullptr;
}

net::Task<base::Result<http::Answer>> Backend::ask(const char* method, const char* target, base::Endpoint to,
                                                   base::Duration timeout, std::size_t body_bytes_max, std::string body)
{
    http::RequestHead head;
    head.method = method;
    head.target = options_.url.path + target;
    head.fields.add("Host", options_.url.authority());
    if (head.method == "POST") {
        head.framing = http::Framing::length;
        head.content_length = body.size();
    }
    const http::FetchOptions limits{timeout, body_bytes_max, false};
    co_return co_await http::fetch(loop_, pool_, to, std::move(head), body, limits);
}

/// Not up any more, or down for another reason than before.
void Backend::fall(BackendState state, std::string reason)
{
    if (state == BackendState::refused) {
        inspected_ = false;
        look_at_ = loop_.now() + options_.refused_every;
    }
    hangs_ = 0;
    if (view_.state == state && view_.reason == reason) {
        return;
    }
    if (view_.state != state) {
        log::warn("backend", state == BackendState::refused ? "backend_refused" : "backend_down",
                  {{"reason", reason}});
    }
    view_.state = state;
    view_.reason = std::move(reason);
    view_.loaded.clear();
    on_change_();
}

} // namespace herd::node
