// Requests: what is accepted means the same however it is cut, and the same again after serialize().
// The first byte of the input is the size of the parts it is cut into.
#include "http_fuzz.hpp"

#include "http/hop.hpp"

using namespace herd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) // NOLINT: libFuzzer's name
{
    if (size == 0) {
        return 0;
    }
    const std::string bytes(data + 1, data + size);
    const auto role = http::Parser::Role::request;
    http::Parser whole(role, {});
    http::Parser cut(role, {});
    const auto reading = fuzz::read<http::RequestHead>(whole, bytes, 0);
    fuzz::same_readings(reading, fuzz::read<http::RequestHead>(cut, bytes, data[0]));
    for (const auto* parser : {&whole, &cut}) {
        fuzz::require(parser->refused_target().empty() || parser->refused_target().starts_with('/'));
    }
    for (const auto& message : reading.complete) {
        const http::RequestHead& head = message.head;
        fuzz::require(head.target.starts_with('/') || head.target == "*");
        fuzz::require(head.framing != http::Framing::until_close);
        fuzz::require(head.framing != http::Framing::length || head.content_length == message.body.size());
        fuzz::require(head.path().size() + head.query().size() <= head.target.size());

        std::string wire;
        serialize(head, wire);
        wire += fuzz::framed(head.framing, message.body);
        http::Parser again(role, {.head_bytes = 64 * 1024});
        const auto second = fuzz::read<http::RequestHead>(again, wire, 0);
        fuzz::require(!second.failed && second.complete.size() == 1);
        http::RequestHead copy = second.complete[0].head;
        http::RequestHead original = head;
        fuzz::drop_framing(copy.fields);
        fuzz::drop_framing(original.fields);
        fuzz::require(copy.method == head.method && copy.target == head.target && copy.minor == head.minor);
        fuzz::require(copy.framing == head.framing && copy.keep_alive == head.keep_alive);
        fuzz::require(fuzz::same(copy.fields, original.fields) && second.complete[0].body == message.body);

        http::Fields passed;
        copy_end_to_end(head.fields, passed);
        fuzz::require(!passed.find("transfer-encoding") && !passed.find("content-length") && !passed.find("connection"));
    }
    return 0;
}
