#include "herd/access_log.hpp"

#include "base/log.hpp"

namespace herd::app {

void write_access_line(const proxy::ExchangeRecord& record)
{
    if (!log::enabled(log::Level::info)) {
        return;
    }
    const auto ms = [](base::Duration d) { return base::milliseconds(d); };
    log::info("access", "request_done",
              {{"id", record.id},
               {"client", record.client.address.text()},
               {"method", record.method},
               {"path", record.path},
               {"model", record.model.empty() ? record.requested_model : record.model},
               {"node", record.node},
               {"status", record.status},
               {"end", record.termination},
               {"attempts", record.attempts.size()},
               {"queue_ms", ms(record.queue)},
               {"connect_ms", ms(record.connect)},
               {"first_byte_ms", ms(record.first_byte)},
               {"total_ms", ms(record.total)},
               {"prompt_tokens", record.timings.prompt_tokens},
               {"output_tokens", record.timings.output_tokens},
               {"bytes_in", record.bytes_in},
               {"bytes_out", record.bytes_out},
               {"error", record.error}});
}

} // namespace herd::app
