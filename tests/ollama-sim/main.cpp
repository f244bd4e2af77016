// ollama-sim: a faithful simulated Ollama, for demos, tests and benchmarks. See README.md beside this file.
#include "base/text.hpp"
#include "box.hpp"
#include "net/network.hpp"
#include "net/socket.hpp"

#include <charconv>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>

#include <asio/signal_set.hpp>

namespace {

using namespace herd;

struct Settings {
    std::string listen{"127.0.0.1:11434"};
    sim::Options box{};
    bool models_given{false};
};

constexpr std::string_view usage = R"(ollama-sim - a simulated Ollama

  --listen HOST:PORT        default 127.0.0.1:11434; port 0 picks a free one
  --models A,B=4GB,...      models on its disk (none: an empty one); size follows from the
                            tag ("8b") unless given
  --prefill N --decode N    tokens per second (default 2000, 60)
  --num-parallel N          slots of a model (default 1)
  --max-queue N             requests before the scheduler of models, beyond that 503 (default 512)
  --memory SIZE             for loaded models (default 16GiB);  --vram SIZE the part on the GPU
  --max-loaded N            models in memory at once (default 3)
  --load-rate SIZE          bytes per second while loading (default 8GB)
  --keep-alive DURATION     default 5m
  --context-length N        default 4096
  --version-string X.Y.Z    what /api/version says (default 0.33.0)
  -h, --help;  -V, --version

Control: GET /sim/state, POST /sim/faults, DELETE /sim/faults (see faults.hpp).
)";

int usage_error(const std::string& sentence)
{
    std::cerr << "ollama-sim: " << sentence << '\n';
    return 2;
}

bool parse_models(std::string_view text, std::vector<sim::ModelSpec>& out)
{
    if (text == "none") {
        return true;
    }
    for (const std::string_view one : base::split_list(text)) {
        const auto equals = std::min(one.find('='), one.size());
        sim::ModelSpec spec{std::string{one.substr(0, equals)}, 0};
        if (equals < one.size()) {
            const auto size = base::parse_bytes(one.substr(equals + 1));
            if (!size) {
                return false;
            }
            spec.size = *size;
        }
        out.push_back(std::move(spec));
    }
    return true;
}

template <class T>
bool number(std::string_view text, T& out)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc{} && end == text.data() + text.size() && out > 0;
}

using Setter = std::function<bool(std::string_view)>;

std::map<std::string_view, Setter> setters(Settings& s)
{
    const auto bytes = [](base::Bytes& out) {
        return [&out](std::string_view v) {
            const auto parsed = base::parse_bytes(v);
            out = parsed.value_or(0);
            return out > 0;
        };
    };
    return {{"--listen", [&](std::string_view v) { s.listen = v; return base::Endpoint::parse(v).has_value(); }},
            {"--models", [&](std::string_view v) { s.models_given = true; return parse_models(v, s.box.models); }},
            {"--prefill", [&](std::string_view v) { return number(v, s.box.prefill_tokens_per_s); }},
            {"--decode", [&](std::string_view v) { return number(v, s.box.decode_tokens_per_s); }},
            {"--num-parallel", [&](std::string_view v) { return number(v, s.box.num_parallel); }},
            {"--max-queue", [&](std::string_view v) { return number(v, s.box.max_queue); }},
            {"--memory", bytes(s.box.memory)},
            {"--vram", bytes(s.box.vram)},
            {"--max-loaded", [&](std::string_view v) { return number(v, s.box.max_loaded); }},
            {"--load-rate", [&](std::string_view v) { const auto b = base::parse_bytes(v); s.box.load_bytes_per_s = static_cast<double>(b.value_or(0)); return s.box.load_bytes_per_s > 0; }},
            {"--keep-alive", [&](std::string_view v) { const auto d = base::parse_duration(v); s.box.keep_alive = d.value_or(base::Duration{}); return d.has_value(); }},
            {"--context-length", [&](std::string_view v) { return number(v, s.box.context_length); }},
            {"--version-string", [&](std::string_view v) { s.box.version = v; return !v.empty(); }}};
}

} // namespace

int main(int argc, char** argv)
{
    Settings settings;
    const auto known = setters(settings);
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        std::string_view name = arguments[i];
        if (name == "--help" || name == "-h") {
            std::cout << usage;
            return 0;
        }
        if (name == "--version" || name == "-V") {
            std::cout << "ollama-sim " HERD_VERSION "\n";
            return 0;
        }
        std::optional<std::string_view> value;
        if (const auto equals = name.find('='); equals != std::string_view::npos) {
            value = name.substr(equals + 1);
            name = name.substr(0, equals);
        }
        const auto setter = known.find(name);
        if (setter == known.end()) {
            return usage_error("unknown option " + std::string{name} + "; see --help");
        }
        if (!value && i + 1 < arguments.size()) {
            value = arguments[++i];
        }
        if (!value || !setter->second(*value)) {
            return usage_error(std::string{name} + ": not a value it can use: " + std::string{value.value_or("")});
        }
    }
    if (!settings.models_given) {
        (void)parse_models("llama3.2:3b,qwen3:8b,nomic-embed-text:latest=274MB", settings.box.models);
    }
    const base::Endpoint at = *base::Endpoint::parse(settings.listen);
    settings.box.on_loopback = at.address.is_loopback();
    auto bound = net::bind_tcp(at, 1);
    if (!bound) {
        std::cerr << "ollama-sim: cannot listen: " << bound.error().message() << '\n';
        return 1;
    }
    net::Loop loop;
    const auto network = net::make_network(loop);
    sim::Box box(loop, settings.box);
    http::ServerOptions options;
    options.keep_alive_timeout = std::chrono::hours{24}; // Go's server has no idle limit
    options.connections_max = 100'000;
    const auto error_body = [](int status, std::string_view reason, std::string_view, std::string& body) {
        http::ResponseHead head;
        head.status = status;
        head.fields.add("Content-Type", "text/plain; charset=utf-8");
        body = std::to_string(status) + ' ' + std::string{reason};
        return head;
    };
    http::Server server(loop, options, [&](http::ServerExchange& exchange) { return box.handle(exchange); }, error_body);
    const base::Endpoint local = bound->front().local;
    auto listener = network->listen(std::move(bound->front()));
    if (!listener) {
        std::cerr << "ollama-sim: cannot listen: " << listener.error().message() << '\n';
        return 1;
    }
    server.serve(std::move(*listener));
    std::cout << "ollama-sim listening on http://" << local.text() << std::endl; // flushed: scripts wait for it
    ::asio::signal_set signals(loop.context(), SIGTERM, SIGINT);
    signals.async_wait([&](std::error_code, int) { loop.stop(); });
    loop.run();
    std::cout.flush();
    std::_Exit(0); // open streams end with the process, as a killed Ollama's do
}
