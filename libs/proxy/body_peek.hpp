#pragma once
// What a router must know of a request body, found by looking, never by changing: the body is sent on as it
// came. Keys count regardless of case and the last of two wins, as in Ollama. Pure.
// Source: reference/ollama-api.md 1.0, 1.2 (options, keep_alive, special requests), 3.3; parity.md 2.2.
#include "fleet/profile.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace herd::proxy {

/// A stretch of the body. Size 0: there is none.
struct Place {
    std::size_t offset{0};
    std::size_t size{0};
};

struct BodyPeek {
    bool empty{true};   ///< nothing but white space
    bool object{false}; ///< the first value is an object, read to its end
    bool broken{false}; ///< it is no JSON that Ollama would take, or a field we need has the wrong type
    std::string model{};
    std::string name{};        ///< the older spelling of `model` in show, pull, push, create and delete
    std::string from{};        ///< create
    std::string source{};      ///< copy
    std::string destination{}; ///< copy
    std::vector<std::string> blobs{}; ///< create: digests named by `files` and `adapters`
    std::optional<bool> stream{};
    bool prompt_empty{true};   ///< no prompt, or ""
    bool messages_empty{true}; ///< no messages, or []
    bool keep_alive_given{false}; ///< whatever it is
    std::optional<base::Duration> keep_alive{}; ///< negative: for ever; nothing: none, or none that Ollama reads
    std::optional<int> num_ctx{};
    std::uint64_t options_rest{0};  ///< hash of the other load-time options given; 0: none
    std::uint64_t options_class{0}; ///< fleet::options_class_of(options_rest, num_ctx)
    std::optional<int> output_tokens_max{};
    std::size_t prompt_bytes{0};    ///< of text, images aside
    int images{0};
    fleet::PromptChain prompt{};    ///< null: no text
    std::vector<std::string> tags{}; ///< metadata.tags
    std::string user{};              ///< OpenAI's; empty: none
    std::vector<std::string> fallback_models{};
    bool no_fallback{false};         ///< "fallback": false
    bool prefer_loaded{false};       ///< "fallback": "prefer_loaded"
    bool force{false};               ///< "force": true, of a deletion
    std::vector<std::string> nodes{}; ///< "node_id" and the list "nodes", of a pull or a deletion
    std::string nodes_word{};         ///< "nodes" as a word: "best" or "all"
    bool nodes_bad{false};            ///< one of them names nobody
    int model_members{0};            ///< keys that Ollama takes for `model`
    bool model_exact{false};         ///< the last of them is spelled exactly so
    Place model_at{};                ///< where the value that counts stands, quotes included
    Place name_at{};                 ///< the same of `name`
    Place num_ctx_at{};

    /// `model`, or `name` when that is empty.
    [[nodiscard]] const std::string& model_or_name() const { return model.empty() ? name : model; }
};

/// Looks into a JSON body, or into the beginning of one. O(bytes), no memory beyond the result.
[[nodiscard]] BodyPeek peek_json(std::string_view body);
/// The same into `peek`, which is new.
void peek_json(std::string_view body, BodyPeek& peek);

/// What a multipart body (or its beginning) says of its model.
struct FormPeek {
    std::optional<std::string> model{}; ///< the first field of that name; nothing: it is not there
    Place at{};                         ///< where that stands
    int models{0};                      ///< fields of that name
    bool plain{false};                  ///< all of it was read, and no part of it can be read in two ways
};
[[nodiscard]] FormPeek peek_multipart(std::string_view body, std::string_view content_type);

/// Unpacks a zstd body. Nothing: not zstd, or more than `limit` bytes.
[[nodiscard]] std::optional<std::string> unpack_zstd(std::string_view packed, std::size_t limit = 20 * 1024 * 1024);

} // namespace herd::proxy
