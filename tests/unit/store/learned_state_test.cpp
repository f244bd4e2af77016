// Speeds over a restart: written and read back, and never believed when they cannot be true.
#include "store/learned_state.hpp"

#include "support/catch.hpp"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

using namespace herd;

namespace {

std::vector<store::SavedRates> some()
{
    return {{.node = *base::NodeId::parse("0f8fad5b-d9cb-469f-a165-70867728950e"), .digest = "sha256:ab\"c", .prefill_s = 0.00125,
             .prefill_slope_s = 1e-9, .decode_s = 1.0 / 64, .decode_slope_s = 0.001, .load_rate = 1.5e9, .weight = 12.5},
            {.node = *base::NodeId::parse("7c9e6679-7425-40de-944b-e07fc1f90ae7"), .digest = "", .weight = 1}};
}

} // namespace

TEST_CASE("rates come back as they were written")
{
    const auto back = store::parse_rates(store::to_json(some()));
    REQUIRE(back);
    REQUIRE(back->size() == 2);
    CHECK((*back)[0].node == some()[0].node);
    CHECK((*back)[0].digest == "sha256:ab\"c");
    CHECK((*back)[0].decode_s == 1.0 / 64);
    CHECK((*back)[0].load_rate == 1.5e9);
    CHECK((*back)[1].prefill_s == 0);
    CHECK(store::parse_rates(store::to_json({}))->empty());
}

TEST_CASE("rates that cannot be true are not believed")
{
    const std::string good = store::to_json(some());
    for (const auto& [what, by] : {std::pair{"12.5", "-1"}, {"12.5", "1e300"}, {"12.5", "\"x\""}, {"12.5", "null"},
                                   {"0f8fad5b", "zf8fad5b"}, {"\"format\":1", "\"format\":2"}, {"\"node\"", "\"nod\""}}) {
        std::string bad = good;
        bad.replace(bad.find(what), std::string_view(what).size(), by);
        CAPTURE(what, by);
        CHECK_FALSE(store::parse_rates(bad));
    }
    CHECK_FALSE(store::parse_rates(""));
    CHECK_FALSE(store::parse_rates("[]"));
}

TEST_CASE("a file is private, and one that makes no sense is set aside")
{
    const auto directory = std::filesystem::temp_directory_path() / ("herd_rates_" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory);
    const std::string path = directory / "rates.json";
    CHECK(store::load_rates(path).rates.empty());
    CHECK(store::load_rates(path).warning.empty());
    REQUIRE(store::save_rates(path, some()));
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    CHECK(store::load_rates(path).rates.size() == 2);
    std::ofstream(path) << "{";
    CHECK_FALSE(store::load_rates(path).warning.empty());
    CHECK(std::filesystem::exists(path + ".bad"));
    std::filesystem::remove_all(directory);
}
