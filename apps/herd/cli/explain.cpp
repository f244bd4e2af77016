#include "herd/cli/explain.hpp"

#include "herd/cli/print.hpp"

#include <fmt/format.h>

namespace herd::app {

std::string explain(const base::Error& error, const Verb& verb)
{
    const std::string url = verb.url.text();
    switch (error.code) {
    case base::Errc::refused:
        return fmt::format("no herd answers at {}: start it with `herd`, or name another with --url", url);
    case base::Errc::timed_out: return fmt::format("{} does not answer in time", url);
    case base::Errc::too_large: return fmt::format("the answer of {} is too large", url);
    case base::Errc::forbidden:
    case base::Errc::unsupported: return fmt::format("cannot talk to {}: {}", url, error.context);
    default: return fmt::format("cannot talk to {} ({})", url, error.context);
    }
}

std::string explain_status(const cli::Answer& answer, const Verb& verb)
{
    const std::string error = error_of(answer.body);
    if (answer.status == 401) {
        return fmt::format("this herd wants a key: pass --key or set HERD_API_KEY ({})", error.empty() ? "no further word" : error);
    }
    if (error.empty()) {
        return fmt::format("what answers at {} is not a herd (status {})", verb.url.text(), answer.status);
    }
    return error;
}

} // namespace herd::app
