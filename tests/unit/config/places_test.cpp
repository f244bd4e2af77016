#include "config/places.hpp"

#include "support/catch.hpp"

using namespace herd;

TEST_CASE("a sentence is led by the place of the first key that it names")
{
    const config::Places places{{"tls.key", "herd.toml line 5"}, {"tls.cert", "HERD_TLS_CERT"}, {"listen", "herd.toml line 1"}};
    CHECK(config::with_place(places, "tls.key: no such file") == "herd.toml line 5: tls.key: no such file");
    CHECK(config::with_place(places, "tls.cert and tls.key need each other") == "HERD_TLS_CERT: tls.cert and tls.key need each other");
    CHECK(config::with_place(places, "both need tls.key.") == "herd.toml line 5: both need tls.key.");
    CHECK(config::with_place(places, "TLS on the listener") == "TLS on the listener"); // a word that begins like a key
    CHECK(config::with_place(places, "my.tls.key, tls.key_file and tls.keys") == "my.tls.key, tls.key_file and tls.keys");
    CHECK(config::with_place({}, "tls.key: x") == "tls.key: x");
}

TEST_CASE("a flag has no place, a file and a variable have one")
{
    config::Table table{"HERD_"};
    std::string a;
    std::string b;
    std::string c;
    table.text({.key = "a"}, a).origin = {config::From::file, "herd.toml line 7"};
    table.text({.key = "b"}, b).origin = {config::From::flag, "--b"};
    table.text({.key = "c"}, c).origin = {config::From::environment, "HERD_C"};
    CHECK(config::places_of(table) == config::Places{{"a", "herd.toml line 7"}, {"c", "HERD_C"}});
}
