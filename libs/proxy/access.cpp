#include "proxy/access.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace herd::proxy {
namespace {

constexpr std::string_view dashboard_field = "X-Herd-Dashboard"; // a page of another origin cannot set it unasked
constexpr base::Duration minute = std::chrono::minutes{1};
constexpr base::Duration parallel_retry = std::chrono::seconds{2}; // parity.md 1.5

/// "Bearer x" → x. Nothing: another scheme, or no token.
std::optional<std::string_view> bearer(std::string_view value)
{
    constexpr std::string_view scheme = "Bearer ";
    if (value.size() <= scheme.size() || !base::iequals(value.substr(0, scheme.size()), scheme)) {
        return std::nullopt;
    }
    const auto token = base::trim(value.substr(scheme.size()));
    return token.empty() ? std::nullopt : std::optional(token);
}

/// The only id that is shown; nothing: none, and empty: several, or none that could be one.
std::optional<std::string_view> shown_device(const http::RequestHead& head)
{
    std::optional<std::string_view> id;
    for (const auto field : head.fields) {
        if (base::iequals(field.name, device_field)) {
            id = id ? std::string_view{} : field.value;
        }
    }
    return id;
}

Problem busy(std::string message, base::Duration wait) { return {429, "busy", std::move(message), wait}; }

} // namespace

bool Key::may_use_model(std::string_view model_key) const
{
    return models.empty() || std::ranges::find(models, model_key) != models.end();
}

bool Key::may_use_frontend(std::string_view frontend) const
{
    return frontends.empty() || std::ranges::any_of(frontends, [=](const std::string& one) { return base::iequals(one, frontend); });
}

// ---- failures --------------------------------------------------------------------------------------------

base::Duration FailureCounts::failed(const base::IpAddress& address, base::Instant now)
{
    const std::scoped_lock lock(mutex_); // tidy: allow(banned-call) see above
    if (entries_.size() >= addresses_max && !entries_.contains(address)) {
        std::erase_if(entries_, [now](const auto& one) { return one.second->last + each * at_once < now; });
        if (entries_.size() >= addresses_max) {
            entries_.clear(); // a flood from more addresses than can be remembered
        }
    }
    auto& entry = entries_[address];
    if (!entry) {
        entry = std::make_unique<Entry>();
    }
    entry->last = now;
    return entry->bucket.take(now, each, at_once);
}

base::Duration FailureCounts::wait(const base::IpAddress& address, base::Instant now)
{
    const std::scoped_lock lock(mutex_); // tidy: allow(banned-call) see above
    const auto found = entries_.find(address);
    return found == entries_.end() ? base::Duration{} : found->second->bucket.wait(now, each, at_once);
}

std::size_t FailureCounts::addresses() const
{
    const std::scoped_lock lock(mutex_); // tidy: allow(banned-call) see above
    return entries_.size();
}

// ---- Access ----------------------------------------------------------------------------------------------

std::size_t Access::DigestHash::operator()(const net::Digest& digest) const
{
    std::size_t first = 0; // of a cryptographic hash: as good as any
    std::memcpy(&first, digest.data(), sizeof first);
    return first;
}

Access::Access(AccessRules rules, std::shared_ptr<AccessMemory> memory) : rules_(std::move(rules)), memory_(std::move(memory))
{
    std::unordered_map<std::string_view, KeyPtr> by_id;
    for (const KeyPtr& key : rules_.keys) {
        by_hash_.emplace(key->hash, key);
        by_id.emplace(key->id, key);
        if (key->admin && !key->revoked) {
            admins_.push_back(key);
        }
    }
    for (const Session& session : rules_.sessions) {
        if (const auto owner = by_id.find(session.key_id); owner != by_id.end()) {
            sessions_.emplace(session.hash, std::pair{owner->second, session.expires});
        }
    }
    for (const Device& device : rules_.devices ? rules_.devices->allowed : std::vector<Device>{}) {
        const auto key = by_id.find(device.key_id);
        devices_.emplace(net::sha256(device.id), KnownDevice{!device.key_id.empty(), key != by_id.end() ? key->second : nullptr});
    }
}

DeviceSaid Access::device(const http::RequestHead& head, base::WallTime now) const
{
    const auto id = shown_device(head);
    if (!id) {
        return DeviceSaid::nothing;
    }
    const auto known = devices_.find(net::sha256(*id));
    if (known == devices_.end()) {
        return DeviceSaid::refused;
    }
    const KeyPtr& key = known->second.key;
    const bool key_wanted = known->second.has_key || rules_.require_key;
    // An admin's key stands for a person: a device never is one.
    return key_wanted && (!key || !key->lives(now) || key->admin) ? DeviceSaid::refused : DeviceSaid::allowed;
}

KeyPtr Access::key_of_device(const http::RequestHead& head) const
{
    const auto id = shown_device(head);
    const auto known = id ? devices_.find(net::sha256(*id)) : devices_.end();
    return known != devices_.end() && known->second.key && !known->second.key->admin ? known->second.key : nullptr;
}

KeyPtr Access::find(std::string_view secret) const
{
    const auto hash = net::sha256(secret);
    const auto found = by_hash_.find(hash);
    // What the table compares are hashes of what was shown: their bytes cannot be steered towards those of a key. The
    // last word is nevertheless one that takes the same time for every answer.
    return found != by_hash_.end() && net::constant_time_equal(found->second->hash, hash) ? found->second : nullptr;
}

Shown Access::judged(KeyPtr key, base::WallTime now) const
{
    if (!key) {
        return {Shown::What::unknown, nullptr, false};
    }
    if (key->revoked) {
        return {Shown::What::revoked, nullptr, false};
    }
    if (!key->lives(now)) {
        return {Shown::What::expired, nullptr, false};
    }
    return {Shown::What::good, std::move(key), false};
}

std::string_view session_cookie(std::string_view cookies)
{
    while (!cookies.empty()) {
        const auto end = std::min(cookies.find(';'), cookies.size());
        const auto pair = base::trim(cookies.substr(0, end));
        cookies.remove_prefix(std::min(end + 1, cookies.size()));
        const auto equals = pair.find('=');
        if (equals != pair.npos && pair.substr(0, equals) == session_cookie_name) {
            return pair.substr(equals + 1);
        }
    }
    return {};
}

bool from_own_page(const http::RequestHead& head)
{
    const std::string_view site = head.fields.find("Sec-Fetch-Site").value_or("none");
    const auto origin = head.fields.find("Origin");
    const std::string host{head.fields.find("Host").value_or("")};
    const bool same = !origin || base::iequals(*origin, "http://" + host) || base::iequals(*origin, "https://" + host);
    return same && (site == "none" || site == "same-origin");
}

Shown Access::by_session(const http::RequestHead& head, std::string_view cookies, base::WallTime now) const
{
    const auto value = session_cookie(cookies);
    const bool reads = head.method == "GET" || head.method == "HEAD";
    // Cookies come with whatever a browser sends, for whichever page. SameSite keeps those of other sites out, but not
    // a page on another port of this machine; browsers put Origin on everything that is not a plain reading.
    const bool own = from_own_page(head) && (reads || head.fields.find("Origin") || head.fields.find(dashboard_field));
    if (value.empty() || !own) {
        return {};
    }
    const auto hash = net::sha256(value);
    const auto found = sessions_.find(hash);
    if (found == sessions_.end() || !net::constant_time_equal(found->first, hash) || now >= found->second.second) {
        return {}; // as if it were not there: the page shows the login form
    }
    auto shown = judged(found->second.first, now);
    shown.by_cookie = true;
    return shown;
}

Shown Access::look(const http::RequestHead& head, base::WallTime now) const
{
    std::optional<std::string_view> token;
    std::optional<std::string_view> other;
    std::optional<std::string_view> cookies;
    for (const auto field : head.fields) {
        if (base::iequals(field.name, "Authorization")) {
            if (token) {
                return {Shown::What::ambiguous, nullptr, false};
            }
            token = field.value;
        } else if (base::iequals(field.name, "x-api-key")) {
            if (other) {
                return {Shown::What::ambiguous, nullptr, false};
            }
            other = field.value;
        } else if (!cookies && base::iequals(field.name, "Cookie")) {
            cookies = field.value;
        }
    }
    if (const auto secret = token ? bearer(*token) : std::nullopt) {
        return judged(find(*secret), now);
    }
    if (const auto secret = other ? base::trim(*other) : std::string_view(); !secret.empty()) {
        return judged(find(secret), now);
    }
    if (cookies && !sessions_.empty()) {
        if (auto shown = by_session(head, *cookies, now); shown.what != Shown::What::nothing) {
            return shown;
        }
    }
    if (auto key = devices_.empty() ? nullptr : key_of_device(head)) {
        return judged(std::move(key), now);
    }
    return {};
}

Problem Access::refusal(const Shown& shown, const base::IpAddress& peer, base::Instant now) const
{
    switch (shown.what) {
    case Shown::What::ambiguous: return bad_request("more than one key is shown: send one Authorization or one x-api-key field");
    case Shown::What::good: return {403, "not_allowed", "this key may not do that"};
    case Shown::What::nothing: return {401, "invalid_api_key", "a key is needed: send it as Authorization: Bearer KEY or x-api-key: KEY"};
    case Shown::What::revoked: return {401, "invalid_api_key", "this key was revoked"};
    case Shown::What::expired: return {401, "invalid_api_key", "this key has expired"};
    case Shown::What::unknown: break;
    }
    if (const auto wait = memory_->failures.failed(peer, now); wait > base::Duration::zero()) {
        return busy("too many wrong keys from this address", wait);
    }
    return {401, "invalid_api_key", "this key is not known here"};
}

Admission Access::admit(const http::RequestHead& head, const base::IpAddress& peer, base::Instant now, base::WallTime wall) const
{
    Shown shown = look(head, wall);
    if (shown.what != Shown::What::good) {
        // Clients that think they need a key send any: where none is needed a wrong one is none (parity.md 1.3).
        if (rules_.require_key || shown.what == Shown::What::ambiguous) {
            return {.problem = refusal(shown, peer, now)};
        }
        return admit_address(peer);
    }
    Admission admission{.key = std::move(shown.key)};
    admission.problem = count(*admission.key, now, wall);
    if (!admission.problem) {
        admission.caller = std::make_unique<Caller>(admission.key, nullptr, std::nullopt);
    }
    return admission;
}

Admission Access::admit_address(const base::IpAddress& peer) const
{
    if (rules_.client_in_flight == 0 || !memory_->addresses) {
        return {};
    }
    const auto place = memory_->addresses->enter(peer, rules_.client_in_flight);
    if (!place) {
        return {.problem = busy("too many requests of this client at once", parallel_retry)};
    }
    return {.caller = std::make_unique<Caller>(nullptr, memory_->addresses, place)};
}

/// Takes a place among its exchanges in flight, which its Caller gives back, and one of its minute; or neither.
std::optional<Problem> Access::count(const Key& key, base::Instant now, base::WallTime wall) const
{
    KeyUse& use = *key.use;
    if (key.tokens_per_day != 0 && use.tokens.today(wall) >= key.tokens_per_day) {
        return busy("the key " + key.name + " has used its " + std::to_string(key.tokens_per_day)
                        + " tokens of today; the next day begins at 00:00 UTC",
                    DayCount::rest_of_day(wall));
    }
    const std::uint32_t own = key.max_parallel;
    const std::uint32_t all = rules_.client_in_flight;
    const std::uint32_t parallel = own != 0 && (all == 0 || own < all) ? own : all;
    const auto leave = [&use] { use.in_flight.fetch_sub(1, std::memory_order_relaxed); };
    std::uint32_t running = use.in_flight.load(std::memory_order_relaxed);
    do { // never counted in passing: another loop would refuse somebody for it
        if (parallel != 0 && running >= parallel) {
            break;
        }
    } while (!use.in_flight.compare_exchange_weak(running, running + 1, std::memory_order_relaxed));
    if (parallel != 0 && running >= parallel) {
        return busy("the key " + key.name + " has " + std::to_string(parallel) + " requests running, as many as it may", parallel_retry);
    }
    if (key.rpm != 0) {
        const auto wait = use.rate.take(now, minute / key.rpm, key.rpm);
        if (wait > base::Duration::zero()) {
            leave();
            return busy("the key " + key.name + " may send " + std::to_string(key.rpm) + " requests a minute", wait);
        }
    }
    use.last_used.store(wall.time_since_epoch().count(), std::memory_order_relaxed);
    return std::nullopt;
}

bool Access::has_admin(base::WallTime now) const
{
    return std::ranges::any_of(admins_, [now](const KeyPtr& key) { return key->lives(now); });
}

// ---- Caller ----------------------------------------------------------------------------------------------

void Caller::leave()
{
    if (std::exchange(left_, true)) {
        return;
    }
    if (key_) {
        key_->use->in_flight.fetch_sub(1, std::memory_order_relaxed);
    } else if (place_) {
        addresses_->leave(*place_);
    }
}

void Caller::mark(fleet::Profile& profile, bool said) const
{
    if (!key_) {
        return;
    }
    profile.client = key_->fair;
    if (key_->priority) {
        profile.priority = said ? std::max(profile.priority, *key_->priority) : *key_->priority;
    }
    std::erase_if(profile.fallbacks, [this](const fleet::ModelChoice& choice) { return !key_->may_use_model(choice.key); });
}

void Caller::spent(const ExchangeRecord& record, bool inference, base::WallTime now) const
{
    constexpr std::uint64_t text_bytes = 4;    // a token, about
    constexpr std::uint64_t piece_bytes = 128; // a token too: a piece of a stream is wrapped in JSON
    constexpr std::uint64_t prompt_max = std::uint64_t{1} << 20U; // images are longer than they cost
    if (!key_) {
        return;
    }
    const auto part = [](std::int64_t count) { return static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0)); };
    std::uint64_t tokens = part(record.timings.prompt_tokens) + part(record.timings.output_tokens);
    const bool ran = record.status < 300 || record.status == 499;
    if (tokens == 0 && inference && ran && !record.node.empty()) {
        tokens = std::min(record.bytes_in, prompt_max) / text_bytes + record.bytes_out / (record.stream ? piece_bytes : text_bytes);
    }
    if (tokens > 0) {
        key_->use->tokens.add(now, tokens);
    }
}

// ---- words -----------------------------------------------------------------------------------------------

Problem forbidden_model(std::string_view model)
{
    if (model.empty()) {
        return {403, "not_allowed", "this key is for certain models only, and the request names none that can be checked"};
    }
    return {403, "not_allowed", "this key may not use model '" + std::string(model) + "'"};
}

Problem forbidden_frontend(std::string_view frontend)
{
    return {403, "not_allowed", frontend.empty() ? std::string("this key is for certain frontends only") : "this key may not use the frontend " + std::string(frontend)};
}

} // namespace herd::proxy
