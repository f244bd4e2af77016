#include "herd/serve.hpp"

#include "base/log.hpp"
#include "herd/admin/surface.hpp"
#include "herd/configured_nodes.hpp"
#include "herd/fleet_keys.hpp"
#include "herd/herd_app.hpp"
#include "herd/tls.hpp"
#include "net/process.hpp"
#include "net/service.hpp"
#include "net/signals.hpp"
#include "store/identity.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

namespace herd::app {

namespace {

/// One sentence on standard error, and the exit code of a failure at run time or of bad configuration.
int fail_with(const base::Error& error)
{
    fmt::print(stderr, "herd: {}\n", error.context.empty() ? error.message() : error.context);
    return error.code == base::Errc::bad_config ? 2 : 1;
}

std::string host_name()
{
    std::array<char, 256> buffer{};
    (void)::gethostname(buffer.data(), buffer.size() - 1);
    return buffer.data();
}

store::Identity identity_of(const HerdOptions& options, std::uint16_t port)
{
    return store::load_identity({.path = options.state_dir + "/herd.id",
                                 .machine_id = store::read_machine_id(),
                                 .host_name = host_name(),
                                 .api_port = port,
                                 .now = base::SystemClock{}.wall()});
}

Reload reload_with(const ServeOptions& serve)
{
    return [arguments = serve.arguments](const HerdOptions& running) -> base::Result<ServeOptions> {
        auto fresh = reload_serve_options(arguments, config::system_environment(), running);
        auto managed = fresh ? load_managed(fresh->options.state_dir) : base::Result<Managed>{};
        if (!managed) {
            return std::unexpected(std::move(managed.error()));
        }
        if (fresh) {
            fresh->managed = std::move(*managed);
        }
        return fresh;
    };
}

/// The one line scripts wait for, before the program reports ready.
void announce_addresses(const std::vector<base::Endpoint>& addresses, const HerdOptions::Tls& tls)
{
    for (const bool secure : {false, true}) {
        if (secure ? !tls.enabled() : tls.only) {
            continue;
        }
        for (base::Endpoint endpoint : addresses) {
            if (endpoint.address.is_unspecified()) {
                endpoint.address = endpoint.address.is_v6() ? endpoint.address : base::IpAddress{};
            }
            fmt::print("herd listening on {}://{}\n", secure ? "https" : "http", endpoint.text());
        }
    }
    std::fflush(stdout);
}

/// What the process holds by the time it may be a daemon.
struct Holdings {
    HerdSockets sockets{};
    discovery::Authenticator keys{};
    std::shared_ptr<const net::TlsContext> tls{};
    store::Identity identity{};
    std::optional<net::PidFile> pid_file{};
    net::Startup startup{};
};

/// Ends without unwinding: tasks are in the middle of something, and nothing waits for them.
[[noreturn]] void leave_at_once(Holdings& holdings, int code)
{
    log::stop();
    holdings.pid_file.reset();
    std::_Exit(code);
}

/// Tells whoever started us, through the pipe of a daemon or on standard error.
int give_up(Holdings& holdings, bool daemon, const base::Error& error)
{
    if (!daemon) {
        return fail_with(error);
    }
    holdings.startup.failed(error.context);
    return 1;
}

int run(ServeOptions serve, Holdings& holdings)
{
    HerdOptions options = serve.options;
    options.log.journal = net::stderr_is_journal(config::lookup(config::system_environment(), "JOURNAL_STREAM"));
    if (!log::start(options.log)) {
        return give_up(holdings, options.daemon,
                       {base::Errc::io, base::Source::self, base::Retry::never, "cannot open the log file " + options.log.file, {}});
    }
    for (const std::string& warning : options.warnings) {
        log::warn("config", "setting_ignored", {{"what", warning}});
    }
    if (!holdings.identity.warning.empty()) {
        log::warn("store", "identity_not_kept", {{"what", holdings.identity.warning}});
    }
    const std::vector<base::Endpoint> addresses = holdings.sockets.local;
    const Reload reload = [&holdings, read = reload_with(serve)](const HerdOptions& running) {
        holdings.startup.reopen_stderr(); // log rotation: the log itself follows
        return read(running);
    };
    {
        HerdApp app(std::move(serve), std::move(holdings.sockets), std::move(holdings.keys),
                    {holdings.identity.id, holdings.identity.boot_id}, reload, std::move(holdings.tls));
        const auto environment = config::system_environment();
        net::ServiceNotifier notifier(config::lookup(environment, "NOTIFY_SOCKET"),
                                      config::lookup(environment, "WATCHDOG_USEC"),
                                      config::lookup(environment, "WATCHDOG_PID"));
        net::SignalHandlers handlers;
        handlers.graceful = [&] {
            notifier.stopping();
            app.request_stop();
        };
        handlers.now = [&] { app.stop_now(); };
        handlers.reload = [&] {
            notifier.reloading();
            app.request_reload();
            notifier.ready("serving");
        };
        const net::Signals signals(app.main_loop(), std::move(handlers));
        if (const auto started = app.start(); !started) {
            leave_at_once(holdings, give_up(holdings, options.daemon, started.error()));
        }
        log::info("app", "started",
                  {{"version", version()}, {"id", holdings.identity.id.text()}, {"listen", addresses.front().text()}});
        announce_addresses(addresses, options.tls);
        notifier.start_watchdog(app.main_loop());
        notifier.ready("serving");
        holdings.startup.ready();
        app.run();
        if (app.stopped_now()) {
            leave_at_once(holdings, 0);
        }
    }
    log::info("app", "stopped", {});
    log::stop();
    return 0;
}

} // namespace

base::Result<void> check_serve(const HerdOptions& options)
{
    if (const auto keys = load_fleet_keys(options); !keys) {
        return std::unexpected(keys.error());
    }
    const auto managed = load_managed(options.state_dir);
    if (!managed) {
        return std::unexpected(managed.error());
    }
    if (const auto policy = compile_policy(options, *managed, *proxy_options(options, {}), nullptr); !policy) {
        return std::unexpected(policy.error());
    }
    if (!options.tls.self_signed) { // that one is made when it is needed
        if (const auto tls = listener_tls(options); !tls) {
            return std::unexpected(tls.error());
        }
    }
    const auto nodes = configured_nodes(options, surroundings_of({}));
    return nodes ? base::Result<void>{} : std::unexpected(nodes.error());
}

int serve(ServeOptions serve)
{
    const HerdOptions& options = serve.options;
    if (options.dump_routes) {
        fmt::print("{}", admin::routes_text());
        return 0;
    }
    if (const auto made = config::make_private_dir(options.state_dir); !made) {
        return fail_with(made.error());
    }
    auto keys = load_fleet_keys(options);
    if (!keys) {
        return fail_with(keys.error());
    }
    auto managed = load_managed(options.state_dir);
    if (!managed) {
        return fail_with(managed.error());
    }
    serve.managed = std::move(*managed);
    if (const auto policy = compile_policy(options, serve.managed, *proxy_options(options, {}), nullptr); !policy) {
        return fail_with(policy.error());
    }
    auto tls = listener_tls(options);
    if (!tls) {
        return fail_with(tls.error());
    }
    Holdings holdings{.keys = std::move(*keys), .tls = std::move(*tls)};
    if (!options.pid_file.empty()) {
        auto taken = net::PidFile::take(options.pid_file);
        if (!taken) {
            return fail_with(taken.error());
        }
        holdings.pid_file.emplace(std::move(*taken));
    }
    auto sockets = bind_herd(options, relay_loops(options));
    if (!sockets) {
        return fail_with(sockets.error());
    }
    holdings.sockets = std::move(*sockets);
    holdings.identity = identity_of(options, holdings.sockets.local.front().port);
    if (!holdings.identity.holder.empty()) { // each would write over what the other was told: nodes, settings, revoked keys
        return fail_with({base::Errc::conflict, base::Source::self, base::Retry::never,
                          fmt::format("{} holds the state of a herd that runs already ({}): give this one its own with --state-dir",
                                      options.state_dir, holdings.identity.holder),
                          {}});
    }
    if (options.daemon) {
        auto forked = net::daemonize({.program = "herd", .stderr_file = options.log.file},
                                     holdings.pid_file ? &*holdings.pid_file : nullptr);
        if (!forked) {
            return fail_with(forked.error());
        }
        holdings.startup = std::move(*forked);
        store::sign_lock(holdings.identity); // as the process that it is now
    }
    return run(std::move(serve), holdings);
}

} // namespace herd::app
