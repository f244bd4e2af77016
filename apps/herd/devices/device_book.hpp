#pragma once
// Which devices a human allowed, which ones knocked, and how that is shown. Values in, values out; its keeper writes
// it down and tells the relay loops.
#include "base/error.hpp"
#include "proxy/access.hpp"
#include "store/device_state.hpp"

#include <functional>
#include <list>
#include <string>
#include <string_view>

namespace herd::app::devices {

/// An id that came and was not allowed.
struct Knock {
    std::string id{};
    base::IpAddress from{};
    base::WallTime last{};
    std::uint64_t count{0};
};

inline constexpr std::size_t knocks_max = 128;
inline constexpr std::size_t knocks_per_address_max = 8;
inline constexpr std::size_t prefix_digits_min = 8; ///< so much of an id names it, if it is the only one

/// What a person named: an id in full, or the beginning of a known one.
struct Named {
    std::string id{};
    std::string problem{}; ///< not found, or not the only one; empty: found
};

/// Thread: one owner.
class DeviceBook {
public:
    explicit DeviceBook(store::DeviceState state = {}) : state_(std::move(state)) {}

    [[nodiscard]] const store::DeviceState& state() const { return state_; }
    [[nodiscard]] const std::string& own_id() const { return state_.own_id; }
    /// Those in use: what is kept of them.
    void set_servers(std::vector<store::KnownServer> servers) { state_.servers = std::move(servers); }
    void set_own_id(std::string id) { state_.own_id = std::move(id); }

    /// An id that is not allowed was shown. What is none is not remembered.
    void knocked(std::string_view id, const base::IpAddress& from, base::WallTime now);
    [[nodiscard]] const std::list<Knock>& knocks() const { return knocks_; }

    /// Of those that are allowed or knocked, or are listed in `more`.
    [[nodiscard]] Named find(std::string_view which, const std::vector<std::string>& more = {}) const;
    /// Allows it, or changes what it acts as. False: there is no room.
    [[nodiscard]] bool allow(const std::string& id, const std::string& key_id, base::WallTime now);
    /// False: it was not allowed.
    bool disable(const std::string& id);
    [[nodiscard]] store::AllowedDevice* allowed(std::string_view id);
    [[nodiscard]] const store::AllowedDevice* allowed(std::string_view id) const;

    /// What the relay loops go by.
    [[nodiscard]] proxy::DeviceRules rules() const;

private:
    store::DeviceState state_;
    std::list<Knock> knocks_; ///< newest last
};

/// A key as the list shows it.
struct KeyShown {
    std::string name{};
    bool good{false}; ///< neither revoked nor expired, and no admin's
};
struct BookScene {
    bool clients{false};     ///< Ollana's clients are served
    bool servers{false};     ///< Ollana's servers are used
    std::string server_list{"[]"}; ///< JSON
    bool require_key{false};
    std::function<KeyShown(const std::string& id)> key{};
};
/// {"device_id", "clients", "servers", "devices":[{id, state, key, usable, advice, from, last_seen, knocks, since}], "ollana_servers"}
[[nodiscard]] std::string book_json(const DeviceBook& book, const BookScene& scene);

/// The body of POST …/allow: {"key": NAME}, or nothing. Errors: bad_config.
[[nodiscard]] base::Result<std::string> parse_allow(std::string_view body);

} // namespace herd::app::devices
