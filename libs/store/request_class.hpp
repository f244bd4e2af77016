#pragma once
// What a request was for, told by what every record has, those of former herds too: its method and path. Figures about
// requests to models count these classes and nothing else: whoever asks for the version or the list each second is no
// work for anybody, and would bury those who are.
// Source: reference/parity.md 2.10.
#include <array>
#include <cstdint>
#include <string_view>

namespace herd::store {

enum class RequestClass : std::uint8_t {
    other, ///< lists, versions, counting of tokens, changes of models and of herd itself, routes that herd does not know
    chat,
    generate,
    embed,
    image,
    speech,
    pull,
};

struct ClassifiedPath {
    std::string_view path;
    RequestClass what;
};
/// POST alone: another method is refused, or asks whether the route is there.
inline constexpr std::array classified_paths{
    ClassifiedPath{"/api/chat", RequestClass::chat},
    ClassifiedPath{"/v1/chat/completions", RequestClass::chat},
    ClassifiedPath{"/v1/responses", RequestClass::chat},
    ClassifiedPath{"/v1/messages", RequestClass::chat},
    ClassifiedPath{"/api/generate", RequestClass::generate},
    ClassifiedPath{"/v1/completions", RequestClass::generate},
    ClassifiedPath{"/v1/systemone", RequestClass::generate},
    ClassifiedPath{"/api/embed", RequestClass::embed},
    ClassifiedPath{"/api/embeddings", RequestClass::embed},
    ClassifiedPath{"/v1/embeddings", RequestClass::embed},
    ClassifiedPath{"/api/embed-image", RequestClass::embed},
    ClassifiedPath{"/v1/images/generations", RequestClass::image},
    ClassifiedPath{"/api/generate-image", RequestClass::image},
    ClassifiedPath{"/v1/audio/transcriptions", RequestClass::speech},
    ClassifiedPath{"/api/transcribe", RequestClass::speech},
    ClassifiedPath{"/api/pull", RequestClass::pull},
    ClassifiedPath{"", RequestClass::chat}, // of Ollama Herd's history, which is of nothing else and has no paths
};

[[nodiscard]] constexpr RequestClass class_of(std::string_view method, std::string_view path)
{
    if (method == "POST") {
        for (const ClassifiedPath& each : classified_paths) {
            if (each.path == path) {
                return each.what;
            }
        }
    }
    return RequestClass::other;
}

} // namespace herd::store
