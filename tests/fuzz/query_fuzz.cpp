// Hostile questions behind the question mark of /herd/v1/requests and /usage, and addresses as admins post them: what is
// understood is within its limits, and reads the same when it is written again.
#include "base/assert.hpp"
#include "herd/admin/query.hpp"
#include "herd/admin/records_api.hpp"
#include "http/url.hpp"

#include <cstdint>

using namespace herd;

namespace {

const base::WallTime now{std::chrono::hours{500'000}};

void requests(std::string_view text)
{
    app::admin::Query query(text, {"limit", "model", "node", "status", "tag", "key", "client", "since", "before"});
    bool in_flight = false;
    const auto filter = app::admin::filter_of(query, now, in_flight);
    if (!query.fault().empty()) {
        return;
    }
    HERD_ASSERT(filter.limit >= 1 && filter.limit <= 1000);
    HERD_ASSERT(filter.status.first <= filter.status.last);
    if (filter.before) {
        HERD_ASSERT(store::Cursor::parse(filter.before->text()) == filter.before);
    }
    (void)store::matches(filter, store::RequestRecord{});
}

void usage(std::string_view text)
{
    app::admin::Query query(text, {"by", "bucket", "since", "until"});
    (void)app::admin::usage_query_of(query, now);
}

void url(std::string_view text)
{
    const auto url = http::Url::parse(text);
    if (!url) {
        HERD_ASSERT(!url.error().context.empty());
        return;
    }
    HERD_ASSERT(!url->host.empty() && url->host.find_first_of("/@?# \r\n\t") == std::string::npos);
    HERD_ASSERT(url->path.empty() || url->path.front() == '/');
    const auto again = http::Url::parse(url->text());
    HERD_ASSERT(again && again->text() == url->text());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 1 || size > 10'000) {
        return 0;
    }
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1); // NOLINT: bytes are characters here
    switch (data[0]) {
    case 'r': requests(text); break;
    case 'u': usage(text); break;
    default: url(text); break;
    }
    return 0;
}
