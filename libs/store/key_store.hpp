#pragma once
// API keys on disk: SQLite in a file of its own (keys.db, 0600), made when the first key is. A key's secret is never
// in it, only its SHA-256 (docs/adr/0011-keys.md says why no slower hash). Revoked keys stay for a while, so that
// their owners are told what happened.
#include "base/error.hpp"
#include "base/time.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::store {

struct KeyRecord {
    std::string id{};                     ///< "key-" and 12 hexadecimal digits
    std::string name{};                   ///< unique among keys that are not revoked
    std::string hash{};                   ///< SHA-256 of the secret, hexadecimal
    std::string hint{};                   ///< the secret with its middle left out, for people: "herd_1a2b…9f0e"
    bool admin{false};
    std::vector<std::string> models{};    ///< as written; empty: all
    std::vector<std::string> frontends{}; ///< empty: all
    std::uint32_t rpm{0};                 ///< 0: no limit, like the next two
    std::uint64_t tokens_per_day{0};
    std::uint32_t max_parallel{0};
    std::string priority{};               ///< empty: not said
    base::WallTime created{};
    std::optional<base::WallTime> expires{};
    std::optional<base::WallTime> revoked{};
    std::optional<base::WallTime> last_used{};
    std::uint32_t used_day{0}; ///< days since the epoch
    std::uint64_t used_tokens{0};
};

/// What a running herd counted of a key.
struct KeyUseRecord {
    std::string id{};
    std::optional<base::WallTime> last_used{};
    std::uint32_t used_day{0};
    std::uint64_t used_tokens{0};
};

inline constexpr std::size_t keys_max = 10'000;         ///< that are not revoked
inline constexpr std::size_t revoked_keys_kept = 1'000; ///< the latest

/// Every function blocks for the disk. Thread: one at a time.
class KeyStore {
public:
    explicit KeyStore(std::string path);
    KeyStore(const KeyStore&) = delete;
    KeyStore& operator=(const KeyStore&) = delete;
    ~KeyStore();

    /// All keys, oldest first; none when there is no file. Errors: io, malformed, bad_config (a newer herd wrote it):
    /// one sentence naming the file. Whoever serves must not go on as if there were no keys.
    [[nodiscard]] base::Result<std::vector<KeyRecord>> load();
    /// Errors: as load(); conflict (the name is taken), too_large (keys_max).
    [[nodiscard]] base::Result<void> add(const KeyRecord& key);
    /// Errors: as load().
    [[nodiscard]] base::Result<void> revoke(const std::string& id, base::WallTime when);
    /// Errors: as load().
    [[nodiscard]] base::Result<void> note(const std::vector<KeyUseRecord>& uses);

private:
    struct Open;
    [[nodiscard]] base::Result<Open*> open();
    [[nodiscard]] std::unexpected<base::Error> failure(const base::Error& error) const;

    std::string path_;
    std::unique_ptr<Open> open_;
};

} // namespace herd::store
