// What strangers show of themselves: credentials in header fields, the login form, the body of a new key. The first
// byte chooses. Whatever is let in must have shown a secret that is known; what is accepted as a key must be usable.
#include "base/assert.hpp"
#include "base/text.hpp"
#include "herd/admin/gate.hpp"
#include "herd/devices/door.hpp"
#include "herd/devices/ollana_call.hpp"
#include "herd/keys/login_page.hpp"
#include "herd/keys/new_key.hpp"

#include <string>

using namespace herd;

namespace {

constexpr std::string_view secret = "herd_0123456789abcdef0123456789abcdef01234567";
constexpr std::string_view cookie = "c00c1e";
const base::WallTime wall{std::chrono::hours{500'000}};

const proxy::Access& access()
{
    static const proxy::Access one = [] {
        auto key = std::make_shared<proxy::Key>();
        key->id = "key-1";
        key->name = "ops";
        key->admin = true;
        key->hash = net::sha256(secret);
        key->use = std::make_shared<proxy::KeyUse>();
        proxy::AccessRules rules{.require_key = true, .keys = {key}, .sessions = {{net::sha256(cookie), "key-1", wall + std::chrono::hours{1}}}};
        return proxy::Access(std::move(rules), std::make_shared<proxy::AccessMemory>());
    }();
    return one;
}

/// Lines "name:value", the method first.
void head_of(std::string_view text)
{
    http::RequestHead head;
    head.method = "POST";
    head.target = "/herd/v1/stop";
    bool known = false;
    for (std::size_t at = 0; at < text.size() && head.fields.size() < 64;) {
        const auto end = std::min(text.find('\n', at), text.size());
        const auto line = text.substr(at, end - at);
        at = end + 1;
        const auto colon = line.find(':');
        if (colon == line.npos || colon == 0 || line.find_first_of(std::string_view("\r\0", 2)) != line.npos) {
            continue;
        }
        const auto value = base::trim(line.substr(colon + 1));
        head.fields.add(line.substr(0, colon), value);
        known = known || value.find(secret) != value.npos || value.find(cookie) != value.npos;
    }
    const auto shown = access().look(head, wall);
    HERD_ASSERT(shown.what != proxy::Shown::What::good || known);
    HERD_ASSERT((shown.what == proxy::Shown::What::good) == (shown.key != nullptr));
    const auto verdict = app::admin::judge(head, {base::IpAddress::loopback(), 1}, &access(), {}, base::Instant{std::chrono::seconds{1}}, wall);
    HERD_ASSERT(verdict.refused.has_value() == (shown.what != proxy::Shown::What::good));
    if (verdict.refused) {
        HERD_ASSERT(verdict.refused->message.find(secret) == std::string::npos);
    }
}

/// Lines "name:value" before the door for Ollana's clients.
void door(std::string_view text)
{
    static const std::string id(64, 'a');
    static const proxy::Access with_devices({.devices = proxy::DeviceRules{std::string(64, 'f'), {{id, {}}}}}, std::make_shared<proxy::AccessMemory>());
    http::RequestHead head;
    head.method = "POST";
    head.target = "/ollana/api/authorize";
    int ids = 0;
    bool known = false;
    for (std::size_t at = 0; at < text.size() && head.fields.size() < 64;) {
        const auto end = std::min(text.find('\n', at), text.size());
        const auto line = text.substr(at, end - at);
        at = end + 1;
        const auto colon = line.find(':');
        if (colon == line.npos || colon == 0 || line.find_first_of(std::string_view("\r\0", 2)) != line.npos) {
            continue;
        }
        const auto value = base::trim(line.substr(colon + 1));
        head.fields.add(line.substr(0, colon), value);
        ids += base::iequals(line.substr(0, colon), proxy::device_field) ? 1 : 0;
        known = known || value == id;
    }
    const auto verdict = app::devices::judge_door(head, with_devices, wall);
    HERD_ASSERT(verdict == app::devices::Door::welcome || verdict == app::devices::Door::refused);
    HERD_ASSERT(verdict != app::devices::Door::welcome || (known && ids == 1));
    app::devices::DeviceBook book;
    book.knocked(app::devices::shown_id(head), {}, wall);
    HERD_ASSERT(book.knocks().empty() || store::is_device_id(book.knocks().front().id));
}

/// What an Ollana server answers to the handshake.
void handshake(std::string_view text)
{
    const auto read = app::devices::read_handshake(200, text);
    HERD_ASSERT((read.end == app::devices::Handshake::End::welcome) == store::is_device_id(read.device));
    HERD_ASSERT(read.end == app::devices::Handshake::End::welcome || !read.why.empty());
}

void new_key(std::string_view text)
{
    auto record = app::keys::parse_new_key(text, wall);
    if (!record) {
        HERD_ASSERT(!record.error().context.empty());
        return;
    }
    const auto made = app::keys::make_secret();
    app::keys::seal(*record, made);
    const auto key = app::keys::to_key(*record, std::make_shared<proxy::KeyUse>());
    HERD_ASSERT(key->lives(wall) && key->models.size() == record->models.size());
    HERD_ASSERT(app::keys::key_json(*record, *key->use, wall).find(made) == std::string::npos);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    const std::string text(data + 1, data + size);
    switch (data[0]) {
    case 'h': head_of(text); break;
    case 'k': new_key(text); break;
    case 'o': door(text); break;
    case 's': handshake(text); break;
    case 'a': (void)app::devices::parse_allow(text); break;
    case 'f': (void)app::keys::key_of_form(text); break;
    case 'p': HERD_ASSERT(app::keys::login_page(text).find("<script") == std::string::npos); break;
    case 'r': HERD_ASSERT(app::admin::own_route("POST", text).changes || app::admin::own_route("POST", text).scope != app::admin::Scope::admin || text == "/herd/v1/route"); break;
    default: break;
    }
    return 0;
}
