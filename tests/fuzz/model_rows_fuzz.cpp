// Lists of models as nodes send them: whatever is read has a name that is one, and its row is JSON that it came from.
#include "fleet/model_name.hpp"
#include "proxy/model_rows.hpp"

#include <cstdio>
#include <cstdlib>
#include <source_location>
#include <string>

using namespace herd;

namespace {

void require(bool condition, std::source_location where = std::source_location::current())
{
    if (!condition) {
        std::fprintf(stderr, "line %u does not hold\n", where.line());
        std::abort();
    }
}

template <class Rows>
void check(const Rows& rows, std::string_view text)
{
    if (rows) {
        require(rows->size() <= 10'000);
        for (const auto& row : *rows) {
            const auto name = fleet::ModelName::parse(row.name);
            require(name.valid && name.key == row.key);
            require(text.find(row.row) != std::string_view::npos);
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    const std::string text(data, data + size);
    check(proxy::parse_tags(text), text);
    check(proxy::parse_ps(text), text);
    check(proxy::parse_openai_models(text), text);
    return 0;
}
