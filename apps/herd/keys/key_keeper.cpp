#include "herd/keys/key_keeper.hpp"

#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "herd/admin/views.hpp"
#include "herd/on_loop.hpp"

#include <algorithm>
#include <array>

namespace herd::app::keys {

namespace {

constexpr base::Duration save_interval = std::chrono::seconds{5};

int status_of(base::Errc code)
{
    switch (code) {
    case base::Errc::conflict:
    case base::Errc::too_large: return 409;
    case base::Errc::bad_config: return 400;
    default: return 500;
    }
}

KeyAnswer refused(const base::Error& error) { return {status_of(error.code), admin::error(error.context)}; }

KeyAnswer unknown(const std::string& which)
{
    const bool secret = which.starts_with("herd_"); // a mistake that must not end up on a screen
    return {404, admin::error(secret ? "no key is called like that; name the key, not its secret" : "no key is called " + which)};
}

KeyAnswer too_busy() { return {503, admin::error("too many changes of keys at once; try again")}; }

} // namespace

KeyKeeper::KeyKeeper(net::Loop& loop, std::string path, KeyRules rules, Publish publish)
    : loop_(loop), rules_(rules), publish_(std::move(publish)), timer_(loop), store_(std::make_shared<store::KeyStore>(std::move(path)))
{
}

base::Result<void> KeyKeeper::load()
{
    auto loaded = store_->load();
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    records_ = std::move(*loaded);
    for (const store::KeyRecord& record : records_) {
        proxy::KeyUse& use = use_of(record.id);
        use.tokens.restore(record.used_day, record.used_tokens);
        if (record.last_used) {
            use.last_used = record.last_used->time_since_epoch().count();
        }
        saved_[record.id] = {record.id, record.last_used, record.used_day, record.used_tokens};
    }
    (void)rebuild();
    return {};
}

proxy::KeyUse& KeyKeeper::use_of(const std::string& id)
{
    auto& use = uses_[id];
    if (!use) {
        use = std::make_shared<proxy::KeyUse>();
    }
    return *use;
}

Published KeyKeeper::current() { return published_; }

Published KeyKeeper::rebuild()
{
    const bool any = std::ranges::any_of(records_, [](const store::KeyRecord& record) { return !record.revoked; });
    ++published_.generation;
    published_.access = nullptr;
    if (any || rules_.require_key || rules_.client_in_flight != 0 || devices_) {
        if (rules_.client_in_flight != 0 && !memory_->addresses) {
            memory_->addresses = std::make_shared<proxy::AddressCounts>(rules_.exchanges_max, base::random_seed());
        }
        proxy::AccessRules rules{.require_key = rules_.require_key, .client_in_flight = rules_.client_in_flight, .sessions = sessions_, .devices = devices_};
        for (const store::KeyRecord& record : records_) {
            (void)use_of(record.id);
            rules.keys.push_back(to_key(record, uses_[record.id]));
        }
        published_.access = std::make_shared<const proxy::Access>(std::move(rules), memory_);
    }
    return published_;
}

void KeyKeeper::set_rules(const KeyRules& rules, const std::function<void(const Published&)>& give)
{
    rules_ = rules;
    give(rebuild());
}

Published KeyKeeper::set_devices(std::optional<proxy::DeviceRules> devices)
{
    devices_ = std::move(devices);
    return rebuild();
}

// ---- questions and changes -------------------------------------------------------------------------------

std::string KeyKeeper::list_json()
{
    std::string body = R"({"keys":[)";
    for (const store::KeyRecord& record : records_) {
        body.append(&record == &records_.front() ? "" : ",").append(key_json(record, use_of(record.id), loop_.wall()));
    }
    return body + "]}";
}

net::Task<KeyAnswer> KeyKeeper::list(net::Loop& asker)
{
    auto work = [this] { return list_json(); };
    std::string body = co_await on_loop(asker, loop_, std::move(work));
    co_return KeyAnswer{200, std::move(body)};
}

/// By id; else by name, where one that is not revoked goes first.
const store::KeyRecord* KeyKeeper::find(std::string_view which) const
{
    const store::KeyRecord* best = nullptr;
    for (const store::KeyRecord& each : records_) {
        if (each.id == which) {
            return &each;
        }
        if (each.name == which && (best == nullptr || best->revoked)) {
            best = &each; // of revoked ones the latest
        }
    }
    return best;
}

net::Task<KeyAnswer> KeyKeeper::show(net::Loop& asker, std::string which)
{
    auto work = [this, which]() -> KeyAnswer {
        const auto* found = find(which);
        return found == nullptr ? unknown(which) : KeyAnswer{200, key_json(*found, use_of(found->id), loop_.wall())};
    };
    co_return co_await on_loop(asker, loop_, std::move(work));
}

net::Task<KeyAnswer> KeyKeeper::add(net::Loop& asker, std::string body)
{
    auto record = parse_new_key(body, asker.wall());
    if (!record) {
        co_return refused(record.error());
    }
    const std::string secret = make_secret();
    seal(*record, secret);
    auto write = [keys = store_, made = *record] { return keys->add(made); };
    const auto written = co_await disk_.ask(asker, std::move(write));
    if (!written) {
        co_return too_busy();
    }
    if (!*written) {
        co_return refused(written->error());
    }
    auto take = [this, made = *record] {
        records_.push_back(made);
        return rebuild();
    };
    Published published = co_await on_loop(asker, loop_, std::move(take));
    co_await publish_(asker, std::move(published));
    log::info("keys", "key_added", {{"name", record->name}, {"id", record->id}, {"scope", record->admin ? "admin" : "user"}});
    co_return KeyAnswer{201, made_json(*record, proxy::KeyUse{}, asker.wall(), secret)};
}

net::Task<KeyAnswer> KeyKeeper::revoke(net::Loop& asker, std::string which)
{
    auto find_it = [this, which]() -> std::optional<store::KeyRecord> {
        const auto* found = find(which);
        return found != nullptr ? std::optional{*found} : std::nullopt;
    };
    const auto record = co_await on_loop(asker, loop_, std::move(find_it));
    if (!record) {
        co_return unknown(which);
    }
    const base::WallTime when = asker.wall();
    auto take = [this, id = record->id, when] {
        for (store::KeyRecord& each : records_) {
            if (each.id == id && !each.revoked) {
                each.revoked = when;
            }
        }
        std::erase_if(sessions_, [&](const proxy::Session& session) { return session.key_id == id; });
        forget_revoked();
        return rebuild();
    };
    Published published = co_await on_loop(asker, loop_, std::move(take));
    co_await publish_(asker, std::move(published));
    auto write = [keys = store_, id = record->id, when] { return keys->revoke(id, when); };
    const auto written = co_await disk_.ask(asker, std::move(write));
    if (!written || !*written) { // it is refused from now on, but not for ever
        co_return KeyAnswer{500, admin::error("the key is revoked until herd restarts, since that could not be written down: "
                                              + (written ? written->error().context : std::string("too many changes at once")))};
    }
    log::info("keys", "key_revoked", {{"name", record->name}, {"id", record->id}});
    auto show = [this, id = record->id] {
        const auto found = std::ranges::find(records_, id, &store::KeyRecord::id);
        return found == records_.end() ? std::string("{}") : key_json(*found, use_of(id), loop_.wall());
    };
    std::string body = co_await on_loop(asker, loop_, std::move(show));
    co_return KeyAnswer{200, std::move(body)};
}

/// As the store does: the latest revoked ones are kept.
void KeyKeeper::forget_revoked()
{
    const auto revoked = [](const store::KeyRecord& record) { return record.revoked.has_value(); };
    while (static_cast<std::size_t>(std::ranges::count_if(records_, revoked)) > store::revoked_keys_kept) {
        const auto oldest = std::ranges::min_element(records_, {}, [](const store::KeyRecord& each) { return each.revoked.value_or(base::WallTime::max()); });
        uses_.erase(oldest->id);
        saved_.erase(oldest->id);
        records_.erase(oldest);
    }
}

// ---- who is logged in ------------------------------------------------------------------------------------

Login KeyKeeper::open_session(const std::string& secret, const base::IpAddress& peer)
{
    const base::Instant now = loop_.now();
    const base::WallTime wall = loop_.wall();
    // A good key is taken from a throttled address too, as by the API (docs/adr/0011-keys.md): it is 160 random bits, which no
    // number of guesses finds, and who shares an address with a guesser is not locked out.
    const auto key = published_.access ? published_.access->find(secret) : nullptr;
    if (!key || !key->lives(wall)) {
        if (const auto wait = memory_->failures.wait(peer, now); wait > base::Duration::zero()) {
            return {.status = 429, .said = "Too many wrong keys came from your address. Wait a few seconds.", .retry_after = wait};
        }
        (void)memory_->failures.failed(peer, now);
        log::warn("keys", "login_failed", {{"client", peer.text()}});
        return {.said = !key ? "This key is not known here." : key->revoked ? "This key was revoked." : "This key has expired."};
    }
    if (!key->admin) {
        return {.status = 403, .said = "This key has no admin scope; the dashboard needs one that has."};
    }
    std::array<std::uint8_t, 32> bytes{};
    net::random_bytes(bytes);
    Login login{.status = 303, .cookie = base::to_hex(bytes)};
    std::erase_if(sessions_, [wall](const proxy::Session& session) { return session.expires <= wall; });
    if (sessions_.size() >= sessions_max) {
        sessions_.erase(sessions_.begin());
    }
    sessions_.push_back({net::sha256(login.cookie), key->id, wall + std::chrono::duration_cast<std::chrono::microseconds>(session_life)});
    key->use->last_used.store(wall.time_since_epoch().count(), std::memory_order_relaxed);
    log::info("keys", "logged_in", {{"name", key->name}, {"client", peer.text()}});
    return login;
}

net::Task<Login> KeyKeeper::log_in(net::Loop& asker, std::string secret, base::IpAddress peer)
{
    using Opened = std::pair<Login, Published>;
    auto work = [this, secret = std::move(secret), peer]() -> Opened {
        Login login = open_session(secret, peer);
        Published published = login.cookie.empty() ? published_ : rebuild();
        return {std::move(login), std::move(published)};
    };
    Opened opened = co_await on_loop(asker, loop_, std::move(work));
    if (!opened.first.cookie.empty()) {
        co_await publish_(asker, std::move(opened.second));
    }
    co_return std::move(opened.first);
}

std::optional<Published> KeyKeeper::end_session(const std::string& cookie)
{
    const auto hash = net::sha256(cookie);
    const auto ended = std::erase_if(sessions_, [&](const proxy::Session& session) { return net::constant_time_equal(session.hash, hash); });
    return ended != 0 ? std::optional{rebuild()} : std::nullopt; // strangers make no work
}

net::Task<void> KeyKeeper::log_out(net::Loop& asker, std::string cookie)
{
    auto work = [this, cookie = std::move(cookie)] { return end_session(cookie); };
    auto published = co_await on_loop(asker, loop_, std::move(work));
    if (published) {
        co_await publish_(asker, std::move(*published));
    }
}

// ---- what was counted ------------------------------------------------------------------------------------

void KeyKeeper::save_use()
{
    std::vector<store::KeyUseRecord> changed;
    for (const auto& [id, use] : uses_) {
        const auto tokens = use->tokens.reading();
        const std::int64_t last = use->last_used.load(std::memory_order_relaxed);
        store::KeyUseRecord now{id, std::nullopt, tokens.day, tokens.amount};
        if (last != 0) {
            now.last_used = base::WallTime{std::chrono::microseconds{last}};
        }
        auto& before = saved_[id];
        if (before.last_used != now.last_used || before.used_day != now.used_day || before.used_tokens != now.used_tokens) {
            before = now;
            changed.push_back(std::move(now));
        }
    }
    if (changed.empty()) {
        return;
    }
    auto write = [keys = store_, changed = std::move(changed)] { return keys->note(changed); };
    const bool taken = disk_.run(loop_, std::move(write), [this](const base::Result<void>& done) {
        if (!done && !save_failed_) {
            log::warn("keys", "use_not_saved", {{"why", done.error().context}});
        }
        save_failed_ = !done;
    });
    if (!taken) {
        saved_.clear(); // all of it next time
    }
}

void KeyKeeper::watch_use()
{
    timer_.call_after(save_interval, [this] {
        save_use();
        warn_of_expiry();
        watch_use();
    });
}

/// What needs an admin key stays shut when the last one expires; somebody has to make a new one on this machine.
void KeyKeeper::warn_of_expiry()
{
    const auto good = [](const store::KeyRecord& record) { return record.admin && !record.revoked; };
    const auto lives = [this, &good](const store::KeyRecord& record) { return good(record) && (!record.expires || loop_.wall() < *record.expires); };
    const bool shut = std::ranges::any_of(records_, good) && std::ranges::none_of(records_, lives);
    if (shut && !told_of_expiry_) {
        log::warn("keys", "admin_keys_expired", {{"advice", "make a new one on this machine: herd key add NAME --admin"}});
    }
    told_of_expiry_ = shut;
}

void KeyKeeper::save_last()
{
    timer_.cancel();
    save_use();
}

} // namespace herd::app::keys
