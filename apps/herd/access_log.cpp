#include "herd/access_log.hpp"

#include "base/log.hpp"

namespace herd::app {

namespace {

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words) {
        text.append(text.empty() ? "" : ",").append(word);
    }
    return text;
}

} // namespace

void write_access_line(const store::RequestRecord& record)
{
    if (!log::enabled(log::Level::info)) {
        return;
    }
    const auto ms = [](base::Duration d) { return base::milliseconds(d); };
    log::info("access", "request_done",
              {{"id", record.id},
               {"client", record.client},
               {"key", record.key},
               {"method", record.method},
               {"path", record.path},
               {"model", record.model.empty() ? record.requested_model : record.model},
               {"node", record.node},
               {"status", record.status},
               {"end", record.termination},
               {"attempts", record.attempts.size()},
               {"queue_ms", ms(record.queue)},
               {"connect_ms", ms(record.connect)},
               {"first_byte_ms", ms(record.ttft)},
               {"total_ms", ms(record.total)},
               {"prompt_tokens", record.prompt_tokens.value_or(0)},
               {"output_tokens", record.output_tokens.value_or(0)},
               {"tokens_per_s", record.tokens_per_s.value_or(0)},
               {"bytes_in", record.bytes_in},
               {"bytes_out", record.bytes_out},
               {"tags", joined(record.tags)},
               {"error", record.error}});
}

} // namespace herd::app
