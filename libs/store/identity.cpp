#include "store/identity.hpp"

#include "base/text.hpp"
#include "net/crypto.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

namespace herd::store {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t file_bytes_max = 4096;
constexpr int format_version = 1;

struct Stored {
    base::Uuid id{};
    std::string machine{};
    std::uint64_t boot_id{0};
};

/// The machine's id must not be shown to others (machine-id(5)): a keyed hash of it is kept.
std::string machine_hash(const std::string& machine_id)
{
    const auto digest =
        net::hmac_sha256(net::bytes_of("herd/identity/v1"), net::bytes_of(base::trim(machine_id)));
    return base::to_hex(digest);
}

base::Uuid random_id()
{
    std::array<std::uint8_t, 16> bytes{};
    net::random_bytes(bytes);
    return base::Uuid::from_hash(bytes, 4);
}

base::Uuid derived_id(const IdentityOptions& options)
{
    const auto digest =
        net::sha256(fmt::format("herd/ephemeral/v1\n{}\n{}\n{}", base::trim(options.machine_id),
                                options.host_name, options.api_port));
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(digest.begin(), bytes.size(), bytes.begin());
    return base::Uuid::from_hash(bytes, 5);
}

std::uint64_t next_boot_id(std::uint64_t stored, base::WallTime now)
{
    const auto clock = static_cast<std::uint64_t>(std::max<std::int64_t>(1, now.time_since_epoch().count()));
    return std::max(stored + 1, clock);
}

std::optional<Stored> parse(const std::string& content)
{
    const Json json = Json::parse(content, nullptr, false);
    if (!json.is_object() || !json.contains("id") || !json.contains("machine") || !json.contains("boot_id")) {
        return std::nullopt;
    }
    if (!json["id"].is_string() || !json["machine"].is_string() || !json["boot_id"].is_number_unsigned()) {
        return std::nullopt;
    }
    const auto id = base::Uuid::parse(json["id"].get_ref<const std::string&>());
    const auto boot_id = json["boot_id"].get<std::uint64_t>();
    if (!id || id->is_nil() || boot_id == UINT64_MAX) {
        return std::nullopt;
    }
    return Stored{*id, json["machine"].get<std::string>(), boot_id};
}

base::Result<void> save(const std::string& path, const Stored& stored)
{
    const Json json{{"format", format_version},
                    {"id", stored.id.text()},
                    {"machine", stored.machine},
                    {"boot_id", stored.boot_id}};
    return write_state_file(path, json.dump(2) + "\n");
}

Identity ephemeral(const IdentityOptions& options, std::string why)
{
    return {.id = derived_id(options),
            .boot_id = next_boot_id(0, options.now),
            .ephemeral = true,
            .warning = std::move(why) + "; using an id derived from machine, host name and port"};
}

/// "process 4711"; "another process" when it left no word.
std::string holder_of(const net::Fd& lock)
{
    std::array<char, 32> buffer{};
    const auto got = ::pread(lock.get(), buffer.data(), buffer.size(), 0);
    const auto pid = base::parse_unsigned(base::trim({buffer.data(), static_cast<std::size_t>(std::max<::ssize_t>(got, 0))}));
    const bool lives = pid && *pid > 0 && *pid < INT32_MAX && (::kill(static_cast<::pid_t>(*pid), 0) == 0 || errno == EPERM);
    return lives ? fmt::format("process {}", *pid) : "another process";
}

} // namespace

void sign_lock(const Identity& identity)
{
    if (identity.lock.valid()) { // on a full disk nothing stands there, which is no harm
        const auto text = fmt::format("{}\n", ::getpid());
        (void)!::ftruncate(identity.lock.get(), 0);
        (void)!::pwrite(identity.lock.get(), text.data(), text.size(), 0);
    }
}

Identity load_identity(const IdentityOptions& options)
{
    const std::string lock_path = options.path + ".lock";
    net::Fd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) {
        return ephemeral(options,
                         fmt::format("cannot write {} ({})", lock_path,
                                     std::error_code(errno, std::generic_category()).message()));
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        const std::string holder = holder_of(lock);
        auto other = ephemeral(options, fmt::format("{} is in use by {}: give each its own --state-dir", options.path, holder));
        other.holder = holder;
        return other;
    }
    Identity identity;
    identity.lock = std::move(lock);
    sign_lock(identity);
    std::optional<Stored> stored;
    if (const auto content = read_state_file(options.path, file_bytes_max)) {
        stored = parse(*content);
        if (!stored) {
            set_aside(options.path);
            identity.warning =
                fmt::format("{} made no sense and was set aside as .bad; made a new id", options.path);
        }
    } else if (content.error().code != base::Errc::not_found) {
        return ephemeral(options, content.error().message());
    }
    const std::string machine = machine_hash(options.machine_id);
    if (stored && stored->machine != machine) {
        identity.warning =
            fmt::format("{} was made on another machine (a cloned disk?); made a new id", options.path);
        stored.reset();
    }
    Stored next{stored ? stored->id : random_id(), machine,
                next_boot_id(stored ? stored->boot_id : 0, options.now)};
    if (const auto saved = save(options.path, next); !saved) {
        if (!stored) {
            return ephemeral(options, saved.error().message());
        }
        identity.warning = fmt::format("{}; the id stays, its boot number comes from the clock alone",
                                       saved.error().message());
    }
    identity.id = next.id;
    identity.boot_id = next.boot_id;
    return identity;
}

Identity renew_identity(const IdentityOptions& options, Identity old)
{
    Identity identity = std::move(old);
    identity.id = random_id();
    identity.boot_id = next_boot_id(identity.boot_id, options.now);
    identity.ephemeral = true;
    identity.warning.clear();
    if (identity.lock.valid()) {
        const auto saved =
            save(options.path, {identity.id, machine_hash(options.machine_id), identity.boot_id});
        identity.ephemeral = !saved;
        identity.warning = saved ? std::string{} : saved.error().message();
    }
    return identity;
}

std::string read_machine_id()
{
    for (const char* path : {"/etc/machine-id", "/var/lib/dbus/machine-id"}) {
        if (const auto content = read_state_file(path, file_bytes_max)) {
            return std::string{base::trim(*content)};
        }
    }
    return {};
}

} // namespace herd::store
