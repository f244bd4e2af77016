// Hostile request bodies against everything in the proxy that looks into one. Whatever nlohmann/json accepts
// we must read the same way: that the grammar is good, and which model it names (the last one wins).
#include "base/text.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/go_json.hpp"
#include "proxy/json_reader.hpp"
#include "proxy/model_rows.hpp"
#include "proxy/prompt_reader.hpp"
#include "proxy/routes.hpp"
#include "proxy/stream_tail.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>
#include <optional>

namespace {

using namespace herd;

void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

/// What a body says at its top level, by another parser.
struct TopLevel : nlohmann::json_sax<nlohmann::json> {
    int depth{0};
    bool object{false};
    bool of_model{false};
    bool wrong_type{false};
    std::optional<std::string> model{};

    bool scalar()
    {
        wrong_type = wrong_type || (depth == 1 && of_model);
        return true;
    }
    bool null() override { return true; }
    bool boolean(bool) override { return scalar(); }
    bool number_integer(number_integer_t) override { return scalar(); }
    bool number_unsigned(number_unsigned_t) override { return scalar(); }
    bool number_float(number_float_t, const string_t&) override { return scalar(); }
    bool binary(binary_t&) override { return false; }
    bool string(string_t& value) override
    {
        if (depth == 1 && of_model) {
            model = value;
        }
        return true;
    }
    bool key(string_t& name) override
    {
        of_model = depth == 1 && base::iequals(name, "model");
        return true;
    }
    bool start_object(std::size_t) override
    {
        scalar();
        object = object || depth == 0;
        ++depth;
        return true;
    }
    bool end_object() override
    {
        --depth;
        of_model = false;
        return true;
    }
    bool start_array(std::size_t) override
    {
        scalar();
        ++depth;
        return true;
    }
    bool end_array() override
    {
        --depth;
        of_model = false;
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
};

void compare(std::string_view text)
{
    TopLevel top;
    if (text.size() > 9000 || !nlohmann::json::sax_parse(text, &top)) {
        return;
    }
    require(proxy::go_json_fault(text).empty());
    const auto peek = proxy::peek_json(text);
    if (!top.object || top.wrong_type || (top.model && top.model->size() > 4000)) {
        return;
    }
    require(peek.object);
    require(peek.model == top.model.value_or(""));
    if (peek.model_at.size > 0) { // what would be replaced when another model takes the request
        auto changed = std::string(text);
        changed.replace(peek.model_at.offset, peek.model_at.size, "\"other\"");
        require(proxy::peek_json(changed).model == "other");
    }
    if (peek.num_ctx_at.size > 0) {
        auto changed = std::string(text);
        changed.replace(peek.num_ctx_at.offset, peek.num_ctx_at.size, "77");
        require(proxy::peek_json(changed).num_ctx == 77);
    }
}

void check_chain(std::string_view text)
{
    const auto peek = proxy::peek_json(text);
    if (!peek.prompt) {
        return;
    }
    require(peek.prompt->size() <= proxy::PromptReader::blocks_max);
    std::size_t bytes = 0;
    for (const auto& block : *peek.prompt) {
        bytes += block.bytes;
    }
    require(bytes == peek.prompt_bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size); // NOLINT: bytes are characters here
    compare(text);
    check_chain(text);
    (void)proxy::go_json_fault(text);
    (void)proxy::peek_multipart(text, "multipart/form-data; boundary=b");
    (void)proxy::peek_multipart("--b\r\n", text);
    (void)proxy::unpack_zstd(text, 100'000);
    (void)proxy::parse_tags(text);
    (void)proxy::parse_ps(text);
    (void)proxy::parse_rfc3339(text);
    (void)proxy::classify("POST", text, "");
    std::string meaning;
    (void)proxy::JsonReader::unescape(text, meaning);
    require(nlohmann::json::accept(proxy::json_quoted(text)));
    proxy::StreamTail tail;
    const std::array<std::string_view, 2> pieces{std::string_view(text).substr(0, size / 3), std::string_view(text).substr(size / 3)};
    tail.feed(pieces);
    for (const auto kind : {proxy::StreamKind::ndjson_done, proxy::StreamKind::ndjson_success, proxy::StreamKind::sse_done,
                            proxy::StreamKind::sse_response, proxy::StreamKind::sse_message}) {
        (void)tail.end(kind);
    }
    (void)tail.told();
    return 0;
}
