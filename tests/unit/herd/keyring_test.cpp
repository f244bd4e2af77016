#include "herd/keyring.hpp"

#include "support/catch.hpp"

#include <cstdlib>

using namespace herd;

TEST_CASE("the cloud's key is found in the keyring where there is one")
{
    ::setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere", 1);
    CHECK(app::keyring_cloud_key(HERD_FAKE_LIBSECRET) == "key of the keyring");
    CHECK(app::keyring_cloud_key("libsecret-that-is-not-there.so").empty());
    ::unsetenv("DBUS_SESSION_BUS_ADDRESS");
    CHECK(app::keyring_cloud_key(HERD_FAKE_LIBSECRET).empty()); // no session to ask in
}
