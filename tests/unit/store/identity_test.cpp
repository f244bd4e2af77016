#include "store/identity.hpp"

#include "scratch.hpp"
#include "support/catch.hpp"

#include <sys/stat.h>

using namespace herd;
using test::Scratch;

namespace {

store::IdentityOptions options_at(const std::string& path)
{
    return {.path = path,
            .machine_id = "0123456789abcdef\n",
            .host_name = "box",
            .api_port = 11436,
            .now = base::WallTime{std::chrono::seconds{1'700'000'000}}};
}

} // namespace

TEST_CASE("the identity stays, the boot id grows, even with a clock that was set back")
{
    const Scratch scratch;
    auto options = options_at(scratch.file("node.id"));
    base::Uuid id;
    std::uint64_t boot_id = 0;
    {
        const auto first = store::load_identity(options);
        CHECK(first.warning.empty());
        CHECK_FALSE(first.ephemeral);
        CHECK((first.id.bytes[6] >> 4) == 4); // a random UUID
        CHECK(first.boot_id == 1'700'000'000'000'000);
        id = first.id;
        boot_id = first.boot_id;
    }
    options.now -= std::chrono::hours{48};
    {
        const auto second = store::load_identity(options);
        CHECK(second.id == id);
        CHECK(second.boot_id == boot_id + 1);
    }
    options.now += std::chrono::hours{96};
    const auto third = store::load_identity(options);
    CHECK(third.id == id);
    CHECK(third.boot_id == static_cast<std::uint64_t>(options.now.time_since_epoch().count()));
    struct ::stat info{};
    REQUIRE(::stat(options.path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    CHECK(test::content_of(options.path).find("0123456789abcdef") == std::string::npos);
}

TEST_CASE("a cloned disk gets a new identity")
{
    const Scratch scratch;
    auto options = options_at(scratch.file("node.id"));
    const auto id = store::load_identity(options).id;
    options.machine_id = "another";
    const auto cloned = store::load_identity(options);
    CHECK(cloned.id != id);
    CHECK_FALSE(cloned.ephemeral);
    CHECK(cloned.warning.find("another machine") != std::string::npos);
}

TEST_CASE("a damaged identity is set aside")
{
    const Scratch scratch;
    const auto options = options_at(scratch.file("node.id"));
    for (const char* bad : {"", "{}", "{\"id\":\"x\",\"machine\":\"\",\"boot_id\":1}",
                            "{\"id\":1,\"machine\":2,\"boot_id\":\"\"}"}) {
        std::ofstream(options.path) << bad;
        const auto identity = store::load_identity(options);
        CHECK_FALSE(identity.id.is_nil());
        CHECK_FALSE(identity.ephemeral);
        CHECK(identity.warning.find("set aside") != std::string::npos);
    }
}

TEST_CASE("without storage the identity is derived, the same each time, another on another port")
{
    const Scratch scratch;
    auto options = options_at(scratch.file("missing/node.id"));
    const auto first = store::load_identity(options);
    CHECK(first.ephemeral);
    CHECK((first.id.bytes[6] >> 4) == 5);
    CHECK(first.boot_id > 0);
    CHECK_FALSE(first.warning.empty());
    CHECK(store::load_identity(options).id == first.id);
    options.api_port = 11437;
    CHECK(store::load_identity(options).id != first.id);
}

TEST_CASE("two processes never share one identity file")
{
    const Scratch scratch;
    const auto options = options_at(scratch.file("node.id"));
    const auto first = store::load_identity(options);
    const auto second = store::load_identity(options);
    CHECK(second.ephemeral);
    CHECK(second.id != first.id);
    CHECK(second.holder == "process " + std::to_string(::getpid()));
    CHECK(second.warning.find("in use by " + second.holder) != std::string::npos);
    CHECK(first.holder.empty());
}

TEST_CASE("a duplicate makes itself a new identity and keeps it")
{
    const Scratch scratch;
    const auto options = options_at(scratch.file("node.id"));
    auto first = store::load_identity(options);
    const auto old_id = first.id;
    const auto old_boot = first.boot_id;
    base::Uuid id;
    {
        const auto renewed = store::renew_identity(options, std::move(first));
        CHECK(renewed.id != old_id);
        CHECK(renewed.boot_id > old_boot);
        CHECK_FALSE(renewed.ephemeral);
        id = renewed.id;
    }
    CHECK(store::load_identity(options).id == id);
}
