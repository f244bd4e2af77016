// Hostile request bodies against the merge of pinned properties. Input: pins, a line end, the body. What comes out is
// well-formed, means what a plain merge of values would mean, and names the pinned model to Ollama whatever the client
// wrote.
#include "base/text.hpp"
#include "proxy/body_peek.hpp"
#include "proxy/go_json.hpp"
#include "proxy/pins.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdlib>

namespace {

using namespace herd;
using Json = nlohmann::json;

void require(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

void merge(Json& into, const Json& pins)
{
    for (const auto& [key, value] : pins.items()) {
        const auto theirs = into.find(key);
        if (value.is_object() && theirs != into.end() && theirs->is_object()) {
            merge(*theirs, value);
        } else {
            into[key] = value;
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size); // NOLINT: bytes are characters here
    const auto line = text.find('\n');
    if (line == text.npos || size > 20'000) {
        return 0;
    }
    const auto body = text.substr(line + 1);
    const auto pins = proxy::Pins::compile(text.substr(0, line));
    if (!pins || !proxy::go_json_fault(body).empty() || !base::trim(body).starts_with('{')) {
        return 0;
    }
    const auto merged = pins->merge_into(body);
    require(proxy::go_json_fault(merged).empty());
    require(pins->merge_into(merged) == merged); // once more changes nothing
    require(pins->with(*pins).merge_into(body) == merged);
    auto theirs = Json::parse(body, nullptr, false);
    const auto ours = Json::parse(text.substr(0, line), nullptr, false);
    if (theirs.is_object() && ours.is_object()) {
        merge(theirs, ours);
        require(Json::parse(merged, nullptr, false) == theirs);
        if (const auto model = ours.find("model"); model != ours.end() && model->is_string()) {
            require(proxy::peek_json(merged).model == model->get<std::string>());
        }
    }
    return 0;
}
