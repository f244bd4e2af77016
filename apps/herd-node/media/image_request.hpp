#pragma once
// A request for an image, in either of the two forms that clients write it in, and its answer. Pure.
// Source: reference/parity.md 2.14.
#include "proxy/routes.hpp"

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace herd::node {

/// What stands in the request, or its default where there is one.
struct ImageRequest {
    std::string model{};
    std::string prompt{};
    std::string negative_prompt{};
    int width{1024};
    int height{1024};
    int steps{4};
    int quantize{8};
    std::optional<std::uint64_t> seed{};
    std::optional<double> guidance{};
};

/// The model alone; empty when the body is no JSON object that names one.
[[nodiscard]] std::string model_of(std::string_view body);

/// `dialect` ollama: POST /api/generate-image; openai: POST /v1/images/generations.
/// Errors: one sentence that says what is wrong.
[[nodiscard]] std::expected<ImageRequest, std::string> parse_image_request(std::string_view body, proxy::Dialect dialect);

/// {"created":…,"data":[{"b64_json":…,"revised_prompt":…}]}
[[nodiscard]] std::string image_answer(std::string_view png, const std::string& prompt, std::int64_t created);

[[nodiscard]] bool is_png(std::string_view bytes);

} // namespace herd::node
