#include "store/device_state.hpp"

#include "store/state_file.hpp"
#include "support/catch.hpp"

#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

using namespace herd;
using namespace herd::store;

namespace {

const std::string one(64, 'a');
const std::string two(64, '0');

DeviceState some()
{
    return {.own_id = std::string(64, 'f'),
            .allowed = {{.id = one, .key_id = "key-0123456789ab", .pin = two, .since = base::WallTime{std::chrono::seconds{1'700'000'000}}}, {.id = two}},
            .servers = {{base::IpAddress::v4({10, 77, 0, 9}), one}}};
}

} // namespace

TEST_CASE("device ids are 64 lower-case hexadecimal digits")
{
    CHECK(is_device_id(one));
    for (const std::string& bad : {std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'), std::string(64, 'g'), std::string{}}) {
        CHECK_FALSE(is_device_id(bad));
    }
}

TEST_CASE("devices.json is read as it was written")
{
    const auto again = parse_device_state(to_json(some()));
    REQUIRE(again);
    CHECK(*again == some());
    CHECK(parse_device_state(to_json({})) == DeviceState{});
}

TEST_CASE("what is no devices.json is refused as a whole")
{
    auto twice = some();
    twice.allowed.push_back(twice.allowed.front());
    auto bad_pin = some();
    bad_pin.allowed.front().pin = "x";
    auto six = some();
    six.servers.front().address = base::IpAddress::v6({});
    for (const std::string& text : {std::string{}, std::string{"[]"}, std::string{"{}"}, std::string{R"({"format":2,"allowed":[],"servers":[]})"},
                                    std::string{R"({"format":1,"device_id":"short","allowed":[],"servers":[]})"},
                                    std::string{R"({"format":1,"allowed":{},"servers":[]})"}, std::string{R"({"format":1,"allowed":[7],"servers":[]})"},
                                    to_json(twice), to_json(bad_pin), to_json(six)}) {
        CHECK_FALSE(parse_device_state(text));
    }
}

TEST_CASE("devices.json that makes no sense is set aside and nobody is allowed; the file is its owner's alone")
{
    const auto folder = std::filesystem::temp_directory_path() / ("herd-devices-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const std::string path = (folder / "devices.json").string();
    CHECK(load_device_state(path).warning.empty());
    REQUIRE(save_device_state(path, some()));
    struct ::stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(load_device_state(path).state == some());
    REQUIRE(write_state_file(path, "no"));
    const auto broken = load_device_state(path);
    CHECK(broken.state.allowed.empty());
    CHECK(broken.warning.find("set aside") != std::string::npos);
    CHECK(std::filesystem::exists(path + ".bad"));
    std::filesystem::remove_all(folder);
}
