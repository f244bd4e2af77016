// What people and disks hand to us at start: a TOML file, an address, a saved pool. The first byte chooses.
// What is accepted must be shown in a form that is accepted again and means the same.
#include "base/assert.hpp"
#include "config/backend_url.hpp"
#include "config/show.hpp"
#include "config/sources.hpp"
#include "config/values.hpp"
#include "store/device_state.hpp"
#include "store/fleet_state.hpp"

#include <string>
#include <vector>

using namespace herd;

namespace {

struct Item {
    std::string name{};
    std::vector<std::string> labels{};
};

struct Settings {
    std::vector<base::Endpoint> listen{};
    bool on{true};
    std::uint16_t port{1};
    base::Duration patience{std::chrono::seconds{1}};
    base::Bytes size{1};
    std::string word{};
    log::Options log{};
    std::vector<Item> items{};
};

void item_rows(config::Table& table, Item& item)
{
    config::add_name(table, {.key = "name"}, item.name);
    config::add_labels(table, {.key = "labels"}, item.labels);
}

config::Table table_of(Settings& s)
{
    config::Table table{"T_"};
    config::add_listen(table, {.key = "listen"}, s.listen, 1);
    table.boolean({.key = "a.on"}, s.on);
    table.number({.key = "a.port"}, s.port);
    table.duration({.key = "a.patience"}, s.patience);
    table.bytes({.key = "size"}, s.size);
    table.text({.key = "word"}, s.word);
    config::add_log_rows(table, s.log);
    auto& items = table.repeated("item", "", s.items, item_rows);
    items.required = {"name"};
    items.unique = {"name"};
    return table;
}

void toml(std::string_view document)
{
    Settings s;
    config::Table table = table_of(s);
    if (!config::read_toml(table, document, "f")) {
        return;
    }
    const std::string shown = config::effective_toml(table);
    Settings again;
    config::Table second = table_of(again);
    HERD_ASSERT(config::read_toml(second, shown, "g").has_value());
    HERD_ASSERT(again.listen == s.listen && again.on == s.on && again.port == s.port && again.patience == s.patience);
    HERD_ASSERT(again.size == s.size && again.word == s.word && again.items.size() == s.items.size());
}

void address(std::string_view text)
{
    (void)config::parse_ollama_host(text).text();
    if (const auto url = config::parse_backend_url(text)) {
        const auto again = config::parse_backend_url(url->text());
        HERD_ASSERT(again && *again == *url);
    }
    if (const auto endpoint = config::parse_listen(text, 1)) {
        const auto again = config::parse_listen(endpoint->text(), 2);
        HERD_ASSERT(again && *again == *endpoint);
    }
}

void pool(std::string_view text)
{
    if (const auto state = store::parse_fleet_state(text)) {
        const auto again = store::parse_fleet_state(store::to_json(*state));
        HERD_ASSERT(again && again->nodes.size() == state->nodes.size());
    }
}

void devices(std::string_view text)
{
    if (const auto state = store::parse_device_state(text)) {
        HERD_ASSERT(store::parse_device_state(store::to_json(*state)) == *state);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    const std::string text(data + 1, data + size);
    switch (data[0]) {
    case 't': toml(text); break;
    case 'u': address(text); break;
    case 'p': pool(text); break;
    case 'd': devices(text); break;
    default: break;
    }
    return 0;
}
