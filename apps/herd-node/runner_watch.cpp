#include "herd-node/runner_watch.hpp"

#include "base/log.hpp"
#include "http/fetch.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace herd::node {

namespace {

constexpr std::size_t blobs_max = 64; // remembered answers of /api/show
constexpr std::size_t show_bytes_max = 1024 * 1024;
constexpr std::size_t slots_bytes_max = 1024 * 1024;

http::RequestHead request(const char* method, const char* target, const base::Endpoint& to,
                          std::size_t body_bytes)
{
    http::RequestHead head;
    head.method = method;
    head.target = target;
    head.fields.add("Host", to.text());
    if (body_bytes > 0) {
        head.fields.add("Content-Type", "application/json");
        head.framing = http::Framing::length;
        head.content_length = body_bytes;
    }
    return head;
}

} // namespace

RunnerWatch::RunnerWatch(net::Loop& loop, http::Pool& pool, RunnerWatchOptions options,
                         net::Callback on_change)
    : loop_(loop),
      pool_(pool),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      timer_(loop),
      wake_(loop),
      tasks_(loop, "runner_watch")
{
}

RunnerWatch::~RunnerWatch() = default;

void RunnerWatch::start() { tasks_.spawn("run", run()); }

net::Task<void> RunnerWatch::stop()
{
    stopping_ = true;
    timer_.cancel();
    wake_.notify();
    tasks_.cancel();
    co_await tasks_.join();
    worker_.reset();
}

void RunnerWatch::loaded(std::optional<base::Endpoint> ollama,
                         const std::vector<discovery::LoadedFacts>& models)
{
    std::vector<Key> keys;
    for (const auto& model : models) {
        keys.push_back({model.name, model.digest, model.context_length, model.size});
    }
    if (ollama == ollama_ && keys == keys_) {
        return;
    }
    ollama_ = ollama;
    keys_ = std::move(keys);
    look_now_ = true;
    wake_.notify();
}

net::Task<void> RunnerWatch::run()
{
    while (!stopping_) {
        if (ollama_) {
            co_await refresh();
        } else {
            look_now_ = false;
            if (view_ != RunnerView{}) {
                view_ = {};
                on_change_();
            }
        }
        if (stopping_ || look_now_) {
            continue;
        }
        if (ollama_ && !keys_.empty()) {
            const bool has_slots = std::ranges::any_of(view_.runners, &Runner::llama_server);
            timer_.call_after(has_slots ? options_.slots_every : options_.look_every,
                              [this] { wake_.notify(); });
        } else if (ollama_) { // settings and disk change also while nothing is loaded
            timer_.call_after(10 * options_.look_every, [this] { wake_.notify(); });
        }
        co_await wake_.wait();
        timer_.cancel();
    }
}

net::Task<void> RunnerWatch::refresh()
{
    const base::Endpoint ollama = *ollama_;
    RunnerView next = view_;
    if (std::exchange(look_now_, false) || loop_.now() - looked_at_ >= options_.look_every) {
        looked_at_ = loop_.now();
        co_await look(ollama.port, next);
        if (needs_blobs(next)) {
            co_await ask_blobs(ollama, next);
        }
    }
    co_await ask_slots(next);
    if (!stopping_ && ollama_ == ollama && next != view_) {
        view_ = std::move(next);
        on_change_();
    }
}

net::Task<void> RunnerWatch::look(std::uint16_t port,
                                  RunnerView& into) // NOLINT: `into` is refresh()'s, which awaits
{
    if (!worker_) {
        worker_ = std::make_unique<net::Blocking>("proc", 4);
    }
    auto found =
        co_await worker_->ask(loop_, [port, root = options_.root] { return find_ollama(port, root); });
    if (!found || stopping_) {
        co_return;
    }
    const auto process = std::move(*found);
    into.settings = process ? process->settings : std::nullopt;
    into.disk = process ? process->disk : std::nullopt;
    into.runners = process ? process->runners : std::vector<Runner>{};
}

net::Task<void> RunnerWatch::ask_blobs(base::Endpoint ollama, RunnerView& into) // NOLINT: as above
{
    const auto keys = keys_;
    std::set<std::string> wanted;
    for (const auto& key : keys) {
        wanted.insert(key.digest);
    }
    std::erase_if(into.blobs, [&](const auto& entry) { return !wanted.contains(entry.first); });
    for (const auto& key : keys) {
        if (stopping_ || into.blobs.contains(key.digest) || into.blobs.size() >= blobs_max) {
            continue;
        }
        const std::string body = nlohmann::json{{"model", key.name}}.dump(
            -1, ' ', false, nlohmann::json::error_handler_t::replace);
        const http::FetchOptions limits{options_.ask_timeout, show_bytes_max, false};
        const auto answer = co_await http::fetch(
            loop_, pool_, ollama, request("POST", "/api/show", ollama, body.size()), body, limits);
        if (answer && answer->head.status == 200) {
            if (auto blob = parse_show_blob(answer->body)) {
                into.blobs.emplace(key.digest, std::move(*blob));
            }
        }
    }
}

net::Task<void> RunnerWatch::ask_slots(RunnerView& into) // NOLINT: as above
{
    std::map<int, Slots> answers;
    const auto runners = into.runners;
    for (const auto& runner : runners) {
        if (stopping_ || !runner.llama_server || runner.port == 0) {
            continue;
        }
        const base::Endpoint at{base::IpAddress::loopback(), runner.port};
        const http::FetchOptions limits{options_.ask_timeout, slots_bytes_max, false};
        const auto answer =
            co_await http::fetch(loop_, pool_, at, request("GET", "/slots", at, 0), "", limits);
        if (answer && answer->head.status == 200) {
            if (const auto slots = parse_slots(answer->body)) {
                answers.emplace(runner.pid, *slots);
            }
        }
    }
    int busy = 0;
    for (const auto& [pid, slots] : answers) {
        busy += slots.busy;
    }
    // Both counted at one moment: a request of ours that ended since must not look like somebody else's.
    into.foreign = std::max(0, busy - (options_.own ? options_.own() : 0));
    into.slots = std::move(answers);
}

} // namespace herd::node
