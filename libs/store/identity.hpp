#pragma once
// Who this installation is (lana.md 7): a random id made once, and a boot id that only grows. The id is kept
// with a hash of the machine's own id, so that a cloned disk image does not bring two nodes with one identity.
#include "base/ids.hpp"
#include "base/time.hpp"
#include "net/socket.hpp"

#include <cstdint>
#include <string>

namespace herd::store {

struct Identity {
    base::Uuid id{};
    std::uint64_t boot_id{0}; ///< larger than in any earlier life: max(stored + 1, unix time in µs)
    bool ephemeral{false};    ///< derived, because nothing could be stored (flag EPHEMERAL_ID)
    std::string warning{};    ///< one sentence for the log; empty when all is well
    net::Fd lock{};           ///< keeps a second process from using the same file; survives forks
    std::string holder{};     ///< who else holds the file: "process 4711", "another process"; empty: nobody
};

struct IdentityOptions {
    std::string path{};       ///< the file, for example STATE_DIR/herd-node.id
    std::string machine_id{}; ///< content of /etc/machine-id; may be empty
    std::string host_name{};
    std::uint16_t api_port{0};
    base::WallTime now{};
};

/// Reads or makes the identity and stores it. Never fails: without storage, or when another process holds the
/// file, the id is derived from machine, host name and port. Blocks (fsync).
[[nodiscard]] Identity load_identity(const IdentityOptions& options);

/// A new random id in place of `old` (another node has the same): stored when that is possible.
[[nodiscard]] Identity renew_identity(const IdentityOptions& options, Identity old);

/// Says in the lock which process holds the file, for the sentence of a second one. Call it again after a fork.
void sign_lock(const Identity& identity);

/// The machine's own id as the operating system keeps it; empty when there is none.
[[nodiscard]] std::string read_machine_id();

} // namespace herd::store
