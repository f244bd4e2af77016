#include "herd/keyring.hpp"

#include <cstdlib>

#include <dlfcn.h>

namespace herd::app {

namespace {

/// SecretSchema of libsecret's ABI (libsecret/secret-schema.h).
struct Schema {
    const char* name;
    int flags;
    struct {
        const char* name;
        int type;
    } attributes[32];
    int reserved;
    void* reserved_more[7];
};
constexpr int dont_match_name = 1 << 1; // whichever program stored it
using Lookup = char* (*)(const Schema* schema, void* cancellable, void** error, ...);
using Free = void (*)(char* password);

} // namespace

std::string keyring_cloud_key(const char* library)
{
    const char* bus = std::getenv("DBUS_SESSION_BUS_ADDRESS");
    if (bus == nullptr || *bus == '\0') {
        return {}; // without one libsecret would try to start one
    }
    void* opened = ::dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) {
        return {};
    }
    const auto lookup = reinterpret_cast<Lookup>(::dlsym(opened, "secret_password_lookup_sync")); // NOLINT: dlsym
    const auto free_password = reinterpret_cast<Free>(::dlsym(opened, "secret_password_free"));   // NOLINT: dlsym
    std::string key;
    if (lookup != nullptr && free_password != nullptr) {
        Schema schema{};
        schema.name = "org.freedesktop.Secret.Generic";
        schema.flags = dont_match_name;
        schema.attributes[0].name = "service";
        schema.attributes[1].name = "username";
        void* error = nullptr; // stays: nobody to tell, and the key is simply not there
        char* found = lookup(&schema, nullptr, &error, "service", "ollama", "username", "api-key",
                             static_cast<const char*>(nullptr));
        if (found != nullptr) {
            key = found;
            free_password(found);
        }
    }
    return key; // the library stays: GLib cannot be unloaded
}

} // namespace herd::app
