// docs/HEALTH.md is the registry in words.
// Bring it up to date with:  HERD_UPDATE_GOLDEN=1 build/dev/bin/herd_health_test "docs/HEALTH.md*"
#include "herd/health/registry.hpp"

#include "support/catch.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace herd;

TEST_CASE("docs/HEALTH.md says what the registry says")
{
    const char* path = "docs/HEALTH.md"; // tests run in the project's directory
    if (std::getenv("HERD_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(path) << app::health::reference();
    }
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    const bool same = text.str() == app::health::reference();
    INFO("run HERD_UPDATE_GOLDEN=1 herd_health_test \"docs/HEALTH.md*\" and read the difference");
    CHECK(same);
}
