#include "base/error.hpp"

namespace herd::base {

std::string_view to_string(Errc code)
{
    switch (code) {
    case Errc::refused: return "refused";
    case Errc::reset: return "reset";
    case Errc::closed: return "closed";
    case Errc::timed_out: return "timed_out";
    case Errc::unreachable: return "unreachable";
    case Errc::cancelled: return "cancelled";
    case Errc::in_use: return "in_use";
    case Errc::io: return "io";
    case Errc::malformed: return "malformed";
    case Errc::too_large: return "too_large";
    case Errc::unsupported: return "unsupported";
    case Errc::no_such_model: return "no_such_model";
    case Errc::no_node: return "no_node";
    case Errc::no_such_label: return "no_such_label";
    case Errc::queue_full: return "queue_full";
    case Errc::deadline_passed: return "deadline_passed";
    case Errc::attempts_failed: return "attempts_failed";
    case Errc::forbidden: return "forbidden";
    case Errc::not_found: return "not_found";
    case Errc::conflict: return "conflict";
    case Errc::loop: return "loop";
    case Errc::bad_config: return "bad_config";
    case Errc::internal: return "internal";
    }
    return "unknown";
}

std::string Error::message() const
{
    std::string text{to_string(code)};
    if (!context.empty()) {
        text += ": " + context;
    }
    if (cause) {
        text += " (" + cause.message() + ")";
    }
    return text;
}

Errc errc_of(const std::error_code& code)
{
    const auto is = [&](std::errc e) { return code == e; };
    if (is(std::errc::connection_refused)) {
        return Errc::refused;
    }
    if (is(std::errc::connection_reset) || is(std::errc::broken_pipe) || is(std::errc::connection_aborted)) {
        return Errc::reset;
    }
    if (is(std::errc::timed_out)) {
        return Errc::timed_out;
    }
    if (is(std::errc::host_unreachable) || is(std::errc::network_unreachable) || is(std::errc::network_down)
        || is(std::errc::address_not_available)) {
        return Errc::unreachable;
    }
    if (is(std::errc::operation_canceled)) {
        return Errc::cancelled;
    }
    if (is(std::errc::address_in_use)) {
        return Errc::in_use;
    }
    return Errc::io;
}

} // namespace herd::base
