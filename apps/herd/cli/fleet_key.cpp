#include "herd/cli/fleet_key.hpp"

#include "base/ip.hpp"
#include "base/text.hpp"
#include "cli/client.hpp"
#include "cli/input.hpp"
#include "config/load.hpp"
#include "config/show.hpp"
#include "herd/cli/answer_json.hpp"
#include "herd/cli/explain.hpp"
#include "net/crypto.hpp"
#include "store/state_file.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::app {

namespace {

using base::Result;

std::unexpected<base::Error> refuse(std::string sentence) { return base::fail(base::Errc::bad_config, std::move(sentence)); }

Result<KeyRing> read_ring(const std::string& file)
{
    auto text = store::read_secret_file(file, discovery::fleet_key_file_bytes_max);
    if (!text) {
        return text.error().code == base::Errc::not_found ? refuse(file + " is not there: make a key with `herd fleet-key new`")
                                                         : std::unexpected(text.error());
    }
    return discovery::parse_fleet_keys(*text);
}

/// Readable by its owner alone; made by root, it belongs to whom the directory (or the file before it) belongs to. A state
/// directory that is not there yet is made, as herd makes it: the key may come first.
Result<void> write_ring(const std::string& file, const KeyRing& ring, const std::string& state_dir)
{
    const std::string directory = std::filesystem::path(file).parent_path().string();
    const bool own = directory == std::filesystem::path(state_dir + "/").parent_path().string();
    if (const auto made = own ? config::make_private_dir(state_dir) : Result<void>{}; !made) {
        return made;
    }
    struct ::stat owner{};
    const bool known = ::stat(file.c_str(), &owner) == 0 || ::stat(directory.c_str(), &owner) == 0;
    if (const auto written = store::write_state_file(file, discovery::format_fleet_keys(ring)); !written) {
        return refuse(written.error().message());
    }
    if (known && ::geteuid() == 0 && ::chown(file.c_str(), owner.st_uid, owner.st_gid) != 0) {
        return refuse(file + " cannot be given to its directory's owner");
    }
    return {};
}

/// What the herd that runs says about its settings and nodes.
class Running {
public:
    Running(const Verb& verb) : verb_(verb) { look(); }

    [[nodiscard]] bool there() const { return config_.has_value(); }
    [[nodiscard]] std::string file() const { return setting("discovery.fleet_key_file"); }
    [[nodiscard]] std::string join() const { return setting("discovery.join"); }
    [[nodiscard]] std::string state_dir() const { return setting("state_dir"); }

    /// Lets it read its settings again. The error is the sentence it answers.
    Result<void> reload()
    {
        const auto answer = cli::ask({verb_.url, verb_.key}, "POST", "/herd/v1/reload");
        if (!answer) {
            return refuse(explain(answer.error(), verb_));
        }
        if (answer->status != 200) {
            return refuse(explain_status(*answer, verb_));
        }
        look();
        return {};
    }

    /// Names of announced nodes for which `is` holds, of the ids of the keys they hold.
    [[nodiscard]] std::vector<std::string> nodes_that(const std::function<bool(const std::vector<std::uint64_t>& keys)>& is) const
    {
        std::vector<std::string> names;
        const auto answer = cli::ask({verb_.url, verb_.key}, "GET", "/herd/v1/nodes");
        const auto json = answer && answer->status == 200 ? answer::parse(answer->body) : refuse("");
        for (const auto& node : json ? answer::list(*json, "nodes") : answer::Json::array()) {
            const std::string state = answer::text(node, "state");
            if (answer::text(node, "trust") != "key" || state == "offline") {
                continue;
            }
            std::vector<std::uint64_t> ids;
            for (const auto& id : answer::list(node, "keys")) {
                ids.push_back(id.is_number_unsigned() ? id.get<std::uint64_t>() : 0);
            }
            if (is(ids)) {
                names.push_back(answer::text(node, "name"));
            }
        }
        return names;
    }

private:
    void look()
    {
        const auto answer = cli::ask({verb_.url, verb_.key}, "GET", "/herd/v1/config", {}, std::chrono::seconds{5});
        auto json = answer && answer->status == 200 ? answer::parse(answer->body) : refuse("");
        config_ = json ? std::optional{std::move(*json)} : std::nullopt;
    }
    [[nodiscard]] std::string setting(const std::string& key) const
    {
        const answer::Json value = config_ ? answer::at(answer::at(*config_, key), "value") : answer::Json{};
        return value.is_string() ? value.get<std::string>() : std::string{}; // whole: a path is compared, not shown
    }

    const Verb& verb_;
    std::optional<answer::Json> config_{};
};

struct Done {
    KeyRing ring{};
    std::string what{}; ///< one sentence
    std::string next{}; ///< what a person does now
};

std::string copying(const std::string& file)
{
    return fmt::format("On every node: copy the file and keep it for the agent's user alone, for example\n"
                       "  scp -p {} NODE:/etc/herd/fleet.key\n",
                       file);
}

Result<Done> make_new(const std::string& file)
{
    if (std::filesystem::exists(file)) {
        return refuse(file + " is there already: `herd fleet-key add` and then `rotate` change the key without losing a node");
    }
    discovery::FleetKey key{1, discovery::Octets(32)};
    net::random_bytes(key.secret);
    std::string next = copying(file) + "or paste its one line into such a file:\n  1 " + base::to_hex(key.secret)
        + "\nand start the agent with it:\n  herd-node --fleet-key-file /etc/herd/fleet.key\n";
    return Done{{std::move(key)}, "the fleet has a key now: " + file, std::move(next)};
}

Result<Done> add(const Verb& verb)
{
    auto ring = read_ring(verb.key_file);
    if (!ring) {
        return std::unexpected(ring.error());
    }
    const std::uint8_t in_use = ring->front().id;
    KeyRing more{{next_id(*ring), discovery::Octets(32)}};
    net::random_bytes(more.front().secret);
    if (verb.words.size() > 1) {
        const auto text = cli::read_input(verb.words[1]);
        auto given = text ? discovery::parse_fleet_keys(*text) : Result<KeyRing>{std::unexpected(text.error())};
        if (!given) {
            return std::unexpected(given.error());
        }
        more = std::move(*given);
    }
    std::vector<std::uint8_t> ids;
    for (discovery::FleetKey& key : more) {
        ids.push_back(key.id);
        ring = with_another(std::move(*ring), std::move(key));
        if (!ring) {
            return std::unexpected(ring.error());
        }
    }
    std::string next = copying(verb.key_file) + "and let each agent read it (systemctl reload herd-node, or SIGHUP). Then: herd fleet-key rotate\n";
    std::string what = fmt::format("key {} is accepted beside key {}, which stays in use", fmt::join(ids, ", "), in_use);
    return Done{std::move(*ring), std::move(what), std::move(next)};
}

/// Nodes that a step would lose; empty when it is safe, or asked for with --force.
Result<void> check_nodes(const Verb& verb, const Running& herd, const std::function<bool(const std::vector<std::uint64_t>&)>& lost, const std::string& why)
{
    const auto names = verb.force || !herd.there() ? std::vector<std::string>{} : herd.nodes_that(lost);
    return names.empty() ? Result<void>{}
                         : refuse(fmt::format("{} {}: copy {} there and let the agent read it first (or --force)", fmt::join(names, ", "), why, verb.key_file));
}

/// 0, which no key has, when it is none.
std::uint8_t id_in(const std::string& word)
{
    const auto id = base::parse_unsigned(word).value_or(0);
    return id <= 255 ? static_cast<std::uint8_t>(id) : std::uint8_t{0};
}

Result<Done> rotate(const Verb& verb, const Running& herd)
{
    auto ring = read_ring(verb.key_file);
    if (!ring) {
        return std::unexpected(ring.error());
    }
    const std::uint8_t old = ring->front().id;
    auto turned = with_first(std::move(*ring), verb.words.size() > 1 ? id_in(verb.words[1]) : std::uint8_t{0});
    if (!turned) {
        return std::unexpected(turned.error());
    }
    const std::uint64_t fresh = turned->front().id;
    const auto lacks = [fresh](const std::vector<std::uint64_t>& keys) { return std::ranges::find(keys, fresh) == keys.end(); };
    if (const auto safe = check_nodes(verb, herd, lacks, fmt::format("would not know key {}", fresh)); !safe) {
        return std::unexpected(safe.error());
    }
    std::string next = copying(verb.key_file)
        + fmt::format("and let each agent read it: it signs with key {} then. After that the old one can go: herd fleet-key remove {}\n", fresh, old);
    return Done{std::move(*turned), fmt::format("key {} is in use; key {} is still accepted", fresh, old), std::move(next)};
}

Result<Done> remove(const Verb& verb, const Running& herd)
{
    const std::uint8_t id = id_in(verb.words[1]);
    auto ring = read_ring(verb.key_file);
    if (!ring) {
        return std::unexpected(ring.error());
    }
    auto left = without(std::move(*ring), id);
    if (!left) {
        return std::unexpected(left.error());
    }
    const auto signs = [id](const std::vector<std::uint64_t>& keys) { return keys.empty() || keys.front() == id; };
    if (const auto safe = check_nodes(verb, herd, signs, fmt::format("still signs with key {}", id)); !safe) {
        return std::unexpected(safe.error());
    }
    return Done{std::move(*left), fmt::format("key {} is accepted no more", id), copying(verb.key_file) + "and let each agent read it, so that it is gone there, too.\n"};
}

Result<Done> change(const Verb& verb, const Running& herd)
{
    const std::string& what = verb.words.front();
    if (what == "new") {
        return make_new(verb.key_file);
    }
    return what == "add" ? add(verb) : what == "rotate" ? rotate(verb, herd) : remove(verb, herd);
}

/// One sentence about the herd that runs, and whether all is well with it.
struct HerdsSide {
    std::string says{};
    bool well{true};
};

/// Whether the herd that runs works with the file now, and if not, what to do.
HerdsSide herds_side(const Verb& verb, Running& herd)
{
    if (!herd.there()) {
        return {fmt::format("no herd answers at {}: the next one that is started with this file asks every node for the key", verb.url.text())};
    }
    if (const auto done = herd.reload(); !done) {
        return {fmt::format("herd at {} did not take it: {}", verb.url.text(), done.error().context), false};
    }
    if (herd.file() != verb.key_file) {
        return {fmt::format("herd at {} does not use this file: start it with --fleet-key-file {}", verb.url.text(), verb.key_file), false};
    }
    if (herd.join() != "key") {
        return {fmt::format("herd at {} accepts nodes without the key, too, since its settings say join = \"{}\": say join = \"key\" there and `herd reload`",
                            verb.url.text(), herd.join())};
    }
    return {fmt::format("herd at {} works with it now; nodes without a key of the file are not admitted", verb.url.text())};
}

/// The herd that runs on this machine knows best where it keeps its key, or would: it may have been started with other
/// flags, or by another user, than this command.
void take_places(Verb& verb, const Running& herd)
{
    const bool here = base::iequals(verb.url.host, "localhost") || base::IpAddress::parse(verb.url.host).value_or(base::IpAddress{}).is_loopback();
    if (verb.key_file_said || !here || herd.state_dir().empty()) {
        return;
    }
    const bool by_default = verb.key_file == default_fleet_key_file(verb.state_dir);
    verb.state_dir = herd.state_dir();
    if (!herd.file().empty() || by_default) {
        verb.key_file = herd.file().empty() ? default_fleet_key_file(verb.state_dir) : herd.file();
    }
}

int fail(const cli::Terminal& terminal, std::string_view sentence)
{
    terminal.err << "herd: " << sentence << '\n';
    return 1;
}

} // namespace

std::string check_fleet_key_words(const std::vector<std::string>& words)
{
    const std::vector<std::string> actions{"new", "add", "rotate", "remove"};
    if (words.empty() || std::ranges::find(actions, words[0]) == actions.end()) {
        return words.empty() ? "fleet-key needs new, add, rotate or remove"
                             : fmt::format("fleet-key does not know \"{}\"{}", words[0], config::suggestion(words[0], actions));
    }
    if (words[0] == "remove" && words.size() < 2) {
        return "fleet-key remove needs the id of a key";
    }
    if ((words[0] == "remove" || words[0] == "rotate") && words.size() == 2 && id_in(words[1]) == 0) {
        return fmt::format("fleet-key {}: a key's id is 1 to 255", words[0]);
    }
    const std::size_t most = words[0] == "new" ? 1 : 2;
    return words.size() > most ? fmt::format("unexpected argument \"{}\"", words[most]) : "";
}

std::uint8_t next_id(const KeyRing& ring)
{
    const auto is_free = [&](int id) { return std::ranges::find(ring, id, &discovery::FleetKey::id) == ring.end(); };
    const int highest = ring.empty() ? 0 : std::ranges::max(ring, {}, &discovery::FleetKey::id).id;
    int id = highest < 255 ? highest + 1 : 1;
    while (!is_free(id)) {
        ++id; // ends: a ring holds 8
    }
    return static_cast<std::uint8_t>(id);
}

Result<KeyRing> with_another(KeyRing ring, discovery::FleetKey key)
{
    if (ring.size() >= discovery::key_ring_limit) {
        return refuse(fmt::format("there are {} keys already: `herd fleet-key remove` one first", ring.size()));
    }
    if (std::ranges::find(ring, key.id, &discovery::FleetKey::id) != ring.end()) {
        return refuse(fmt::format("there is a key {} already", key.id));
    }
    ring.push_back(std::move(key));
    return ring;
}

Result<KeyRing> with_first(KeyRing ring, std::uint8_t id)
{
    if (ring.size() < 2) {
        return refuse("there is only one key: `herd fleet-key add` makes another, which the nodes must hold before it comes into use");
    }
    const auto found = id == 0 ? std::ranges::max_element(ring, {}, &discovery::FleetKey::id) : std::ranges::find(ring, id, &discovery::FleetKey::id);
    if (found == ring.end()) {
        return refuse(fmt::format("there is no key {}", id));
    }
    if (found == ring.begin()) {
        return refuse(fmt::format("key {} is in use already", found->id));
    }
    std::rotate(ring.begin(), found, found + 1); // the others keep their order
    return ring;
}

Result<KeyRing> without(KeyRing ring, std::uint8_t id)
{
    const auto found = std::ranges::find(ring, id, &discovery::FleetKey::id);
    if (found == ring.end()) {
        return refuse(fmt::format("there is no key {}", id));
    }
    if (found == ring.begin()) {
        return refuse(fmt::format("key {} is in use: `herd fleet-key rotate` to another first", id));
    }
    ring.erase(found);
    return ring;
}

int change_fleet_keys(const Verb& given, const cli::Terminal& terminal)
{
    Verb verb = given;
    Running herd(verb);
    take_places(verb, herd);
    auto done = change(verb, herd);
    if (!done) {
        return fail(terminal, done.error().context);
    }
    if (const auto written = write_ring(verb.key_file, done->ring, verb.state_dir); !written) {
        return fail(terminal, written.error().context);
    }
    const HerdsSide side = herds_side(verb, herd);
    const int code = side.well ? 0 : 1;
    if (verb.json) {
        answer::Json ids = answer::Json::array();
        for (const auto& key : done->ring) {
            ids.push_back(key.id);
        }
        terminal.out << answer::Json{{"file", verb.key_file}, {"keys", ids}, {"herd", cli::clean(side.says, 400)}}.dump() << '\n';
        return code;
    }
    terminal.out << done->what << '\n' << side.says << "\n\n" << done->next;
    return code;
}

} // namespace herd::app
