// docs/config.md is generated from the option tables of both programs.
// Bring it up to date with:  HERD_UPDATE_GOLDEN=1 build/dev/bin/commands_test "docs/config.md*"
#include "herd-node/options.hpp"
#include "herd/options.hpp"

#include "support/catch.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace herd;

namespace {

std::string reference()
{
    return "# Configuration\n\n"
           "<!-- Generated from the option tables in apps/*/option*.cpp. Do not edit: change the table, then "
           "run\n"
           "     HERD_UPDATE_GOLDEN=1 build/dev/bin/commands_test \"docs/config.md*\" -->\n\n"
           "Every setting has a key in the TOML file, an environment variable, and often a flag. A flag "
           "beats the\n"
           "environment, the environment beats the file, the file beats the default. `--check-config` checks "
           "everything\n"
           "and prints the settings in force with where each came from. Unknown keys are errors.\n\n"
           "Durations are written `300ms`, `30s`, `5m`, `1h30m`; sizes `64MiB` or in bytes. A key "
           "`proxy.max_body` is\n"
           "`max_body` under `[proxy]`. SIGHUP or `herd reload` applies a changed file at once and whole, or "
           "not at all;\n"
           "settings marked *Needs a restart* keep their old value until then; `herd reload` names those that wait.\n\n"
           "## herd\n\n"
           "File: the first of `./herd.toml`, `$XDG_CONFIG_HOME/herd/herd.toml`, `/etc/herd/herd.toml`.\n"
        + app::herd_config_reference()
        + "\n## herd-node\n\n"
          "File: the first of `./herd-node.toml`, `$XDG_CONFIG_HOME/herd/herd-node.toml`, "
          "`/etc/herd/herd-node.toml`.\n"
          "`$OLLAMA_HOST` is the default of `ollama`.\n"
        + node::node_config_reference();
}

} // namespace

TEST_CASE("docs/config.md says what the option tables say")
{
    const char* path = "docs/config.md"; // tests run in the project's directory
    if (std::getenv("HERD_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(path) << reference();
    }
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    // One comparison, not one giant expansion: the text is long.
    const bool same = text.str() == reference();
    INFO("run HERD_UPDATE_GOLDEN=1 commands_test \"docs/config.md*\" and read the difference");
    CHECK(same);
}
