// Answers: what is accepted means the same however it is cut, and the same again after serialize().
// First byte of the input: bit 0, the request was HEAD; the rest, the size of the parts it is cut into.
#include "http_fuzz.hpp"

using namespace herd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    const bool head_request = (data[0] & 1) != 0;
    const std::string bytes(data + 1, data + size);
    const auto role = http::Parser::Role::response;
    http::Parser whole(role, {});
    http::Parser cut(role, {});
    whole.expect_no_body(head_request);
    cut.expect_no_body(head_request);
    auto reading = fuzz::read<http::ResponseHead>(whole, bytes, 0);
    fuzz::same_readings(reading, fuzz::read<http::ResponseHead>(cut, bytes, data[0] >> 1));
    if (!reading.failed) {
        fuzz::require(whole.finish() == cut.finish());
    }
    for (const auto& message : reading.complete) {
        const http::ResponseHead& head = message.head;
        fuzz::require(head.status >= 100 && head.status <= 599 && head.status != 101);
        if (head_request || head.framing == http::Framing::until_close) {
            continue;
        }
        std::string wire;
        serialize(head, wire);
        wire += fuzz::framed(head.framing, message.body);
        http::Parser again(role, {.head_bytes = 64 * 1024});
        const auto second = fuzz::read<http::ResponseHead>(again, wire, 0);
        fuzz::require(!second.failed && second.complete.size() == 1);
        http::ResponseHead copy = second.complete[0].head;
        http::ResponseHead original = head;
        fuzz::drop_framing(copy.fields);
        fuzz::drop_framing(original.fields);
        fuzz::require(copy.status == head.status && copy.framing == head.framing && copy.keep_alive == head.keep_alive);
        fuzz::require(fuzz::same(copy.fields, original.fields) && second.complete[0].body == message.body);
    }
    return 0;
}
