// Node documents: what parses must survive the way to JSON and back, rows byte for byte.
#include "discovery/node_document.hpp"

#include <cstdio>
#include <cstdlib>
#include <source_location>

using namespace herd::discovery;

namespace {

void require(bool condition, std::source_location where = std::source_location::current())
{
    if (!condition) {
        std::fprintf(stderr, "line %u does not hold\n", where.line());
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    const std::string text(data, data + size);
    if (const auto document = parse_node_document(text)) {
        const auto again = parse_node_document(to_json(*document));
        require(again && *again == *document);
        require(!document->sender_id.is_nil() && document->agent_port != 0);
        const Facts facts = facts_of(*document);
        Header header = header_of(*document);
        header.seq = 1;
        require(parse_header(encode(header, facts.announce)).has_value());
    }
    (void)parse_watch_line(text);
    (void)parse_announce_answer(text);
    return 0;
}
