#include "herd-node/serve.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "common/read_fleet_keys.hpp"
#include "herd-node/node_app.hpp"
#include "net/process.hpp"
#include "net/service.hpp"
#include "net/signals.hpp"
#include "net/task_group.hpp"
#include "store/certificate.hpp"
#include "store/identity.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::node {

namespace {

constexpr std::size_t token_bytes_max = 4096;

/// One sentence on standard error, and the exit code of a failure at run time or of bad configuration.
int fail_with(const base::Error& error)
{
    std::string sentence = error.context.empty() ? error.message() : error.context;
    if (error.code == base::Errc::in_use) {
        sentence = "cannot listen on " + error.context + ": another program does";
    } else if (error.code == base::Errc::io) {
        sentence = error.message();
    }
    fmt::print(stderr, "herd-node: {}\n", sentence);
    return error.code == base::Errc::bad_config ? 2 : 1;
}

/// Who has a key speaks with those alone who have it, too.
base::Result<discovery::Authenticator> load_keys(const NodeOptions& options)
{
    const auto& discovery = options.discovery;
    if (discovery.fleet_key.empty() && discovery.fleet_key_file.empty()) {
        return discovery::Authenticator{};
    }
    const auto keys = app::read_fleet_keys(discovery.fleet_key, discovery.fleet_key_file, options.places);
    if (!keys) {
        return std::unexpected(keys.error());
    }
    return discovery::Authenticator::make(discovery::AuthMode::require, *keys);
}

/// What the speech service wants to see.
base::Result<void> read_token(MediaOptions& media)
{
    auto& speech = media.transcription;
    if (speech.token_file.empty()) {
        return {};
    }
    auto text = store::read_secret_file(speech.token_file, token_bytes_max);
    if (!text) {
        return base::fail(base::Errc::bad_config, "media.transcription.token_file: " + text.error().context);
    }
    speech.token = base::trim(*text);
    const bool fit = std::ranges::all_of(speech.token, [](char c) { return c > 0x20 && c < 0x7f; });
    return fit && !speech.token.empty() ? base::Result<void>{}
                                        : base::fail(base::Errc::bad_config, "media.transcription.token_file: a line of letters without blanks is expected");
}

store::IdentityOptions identity_options(const NodeOptions& options, std::uint16_t port)
{
    std::array<char, 256> host{};
    (void)::gethostname(host.data(), host.size() - 1);
    return {.path = options.state_dir + "/herd-node.id",
            .machine_id = store::read_machine_id(),
            .host_name = host.data(),
            .api_port = port,
            .now = base::SystemClock{}.wall()};
}

base::Result<std::shared_ptr<const net::TlsContext>> gateway_tls(const NodeOptions& options)
{
    if (!options.tls || !options.gateway) {
        return nullptr;
    }
    auto own = store::own_certificate(options.state_dir, base::SystemClock{}.wall());
    if (!own) {
        return std::unexpected(own.error());
    }
    return net::TlsContext::server({own->certificate_file, own->key_file, {}});
}

/// The lines scripts wait for, before the program reports ready.
void print_addresses(const std::vector<base::Endpoint>& addresses)
{
    for (const auto& at : addresses) {
        fmt::print("herd-node listening on http://{}\n", at.text());
    }
    std::fflush(stdout);
}

/// SIGHUP: what can change while running is the log level, the log file, the fleet keys and the named herds.
void reload(NodeApp& app, const ServeOptions& serve)
{
    auto line = parse_command_line(serve.arguments, config::system_environment(), serve.options.directory);
    const auto* fresh = std::get_if<ServeOptions>(&line);
    if (fresh == nullptr) {
        const auto* refused = std::get_if<ExitNow>(&line);
        log::error("config", "reload_refused",
                   {{"why", refused != nullptr ? refused->text : "the command line changed"}});
        return;
    }
    auto keys = load_keys(fresh->options);
    if (!keys) {
        log::error("config", "reload_refused", {{"why", keys.error().context}});
        return;
    }
    app.set_authenticator(std::move(*keys));
    app.set_herds(fresh->options.herds);
    log::set_level(fresh->options.log.level);
    log::reopen();
    for (const auto& key : restart_differences(serve.options, fresh->options)) {
        log::warn("config", "restart_needed", {{"key", key}});
    }
    log::info("config", "reloaded", {});
}

enum class Ended : std::uint8_t {
    stopped,      ///< as told
    duplicate_id, ///< another live node has our id
    failed,
};

/// One life of the agent, until a signal ends it.
class Life {
public:
    Life(const ServeOptions& serve, const store::Identity& identity, discovery::Authenticator keys,
         NodeSockets sockets, std::shared_ptr<const net::TlsContext> tls)
        : serve_(serve),
          network_(net::make_network(loop_)),
          tasks_(loop_, "serve"),
          app_(loop_, *network_, serve.options, {identity.id, identity.boot_id, identity.ephemeral},
               std::move(keys), std::move(sockets), {.tls = std::move(tls), .on_duplicate_id = [this] { end(Ended::duplicate_id); }})
    {
    }

    Ended run(net::Startup& startup, bool first)
    {
        const auto environment = config::system_environment();
        net::ServiceNotifier notifier(config::lookup(environment, "NOTIFY_SOCKET"),
                                      config::lookup(environment, "WATCHDOG_USEC"),
                                      config::lookup(environment, "WATCHDOG_PID"));
        net::SignalHandlers handlers;
        handlers.graceful = [&] {
            notifier.stopping();
            end(Ended::stopped);
        };
        handlers.now = [&] { app_.hurry(); };
        handlers.reload = [&] {
            notifier.reloading();
            startup.reopen_stderr(); // log rotation: the log itself follows
            reload(app_, serve_);
            notifier.ready("serving");
        };
        const net::Signals signals(loop_, std::move(handlers));
        if (const auto started = app_.start(); !started) {
            startup.failed(started.error().context);
            (void)fail_with(started.error());
            loop_.stop();
            return Ended::failed;
        }
        if (first) {
            print_addresses(app_.listening());
        }
        notifier.start_watchdog(loop_);
        notifier.ready("serving");
        startup.ready();
        loop_.run();
        return ended_;
    }

private:
    void end(Ended why)
    {
        if (!ending_) {
            ending_ = true;
            ended_ = why;
            tasks_.spawn("stop", stop());
        }
    }
    net::Task<void> stop()
    {
        co_await app_.stop(serve_.options.relay.shutdown_grace);
        loop_.stop();
    }

    const ServeOptions& serve_;
    net::Loop loop_;
    std::unique_ptr<net::Network> network_;
    net::TaskGroup tasks_;
    NodeApp app_;
    Ended ended_{Ended::stopped};
    bool ending_{false};
};

/// From here on the process may be a daemon.
int run(ServeOptions serve, NodeSockets sockets, discovery::Authenticator keys, store::Identity identity,
        std::shared_ptr<const net::TlsContext> tls, net::Startup startup)
{
    serve.options.log.journal = net::stderr_is_journal(config::lookup(config::system_environment(), "JOURNAL_STREAM"));
    if (!log::start(serve.options.log)) {
        const std::string sentence = "cannot open the log file " + serve.options.log.file;
        startup.failed(sentence);
        return fail_with({base::Errc::io, base::Source::self, base::Retry::never, sentence, {}});
    }
    for (const std::string& warning : serve.options.warnings) {
        log::warn("config", "setting_ignored", {{"what", warning}});
    }
    if (!identity.warning.empty()) {
        log::warn("store", "identity_not_kept", {{"what", identity.warning}});
    }
    // A second life keeps the ports of the first.
    serve.options.listen.clear();
    for (const auto& socket : sockets.http) {
        serve.options.listen.push_back(socket.local);
    }
    const std::uint16_t port = serve.options.listen.front().port;
    log::info("app", "started",
              {{"version", version()}, {"id", identity.id.text()}, {"ollama", serve.options.ollama.text()}});
    auto ended = Life(serve, identity, keys, std::move(sockets), tls).run(startup, true);
    if (ended == Ended::duplicate_id) {
        // Once: who is doubled again after that has a problem that no new id solves.
        identity = store::renew_identity(identity_options(serve.options, port), std::move(identity));
        log::warn("store", "identity_renewed", {{"id", identity.id.text()}});
        auto again = bind_node(serve.options);
        if (!again) {
            log::error("app", "restart_failed", {{"why", again.error().message()}});
            ended = Ended::failed;
        } else {
            ended = Life(serve, identity, std::move(keys), std::move(*again), tls).run(startup, false);
        }
    }
    log::info("app", "stopped", {});
    log::stop();
    return ended == Ended::stopped ? 0 : 1;
}

} // namespace

base::Result<void> check_serve(const NodeOptions& options)
{
    const auto keys = load_keys(options);
    MediaOptions media = options.media;
    return keys ? read_token(media) : std::unexpected(keys.error());
}

int serve(ServeOptions serve)
{
    const NodeOptions& options = serve.options;
    if (const auto made = config::make_private_dir(options.state_dir); !made) {
        // Without a place to write the node still works, under an id derived from the machine.
        serve.options.warnings.push_back(made.error().context);
    }
    auto keys = load_keys(options);
    if (!keys) {
        return fail_with(keys.error());
    }
    if (const auto read = read_token(serve.options.media); !read) {
        return fail_with(read.error());
    }
    auto tls = gateway_tls(options);
    if (!tls) {
        return fail_with(tls.error());
    }
    std::optional<net::PidFile> pid_file;
    if (!options.pid_file.empty()) {
        auto taken = net::PidFile::take(options.pid_file);
        if (!taken) {
            return fail_with(taken.error());
        }
        pid_file.emplace(std::move(*taken));
    }
    auto sockets = bind_node(options);
    if (!sockets) {
        return fail_with(sockets.error());
    }
    auto identity = store::load_identity(identity_options(options, sockets->http.front().local.port));
    net::Startup startup;
    if (options.daemon) {
        auto forked = net::daemonize({.program = "herd-node", .stderr_file = options.log.file},
                                     pid_file ? &*pid_file : nullptr);
        if (!forked) {
            return fail_with(forked.error());
        }
        startup = std::move(*forked);
    }
    return run(std::move(serve), std::move(*sockets), std::move(*keys), std::move(identity), std::move(*tls),
               std::move(startup));
}

} // namespace herd::node
