#include "herd-node/media/transcriber.hpp"

#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "fleet/model_name.hpp"
#include "herd-node/agent_api.hpp"
#include "herd-node/media/private_folder.hpp"
#include "net/network.hpp"
#include "proxy/merged.hpp"

#include <fmt/format.h>

namespace herd::node {

namespace {

using proxy::Dialect;

constexpr std::size_t request_bytes_max = 100 * base::mib;
constexpr base::Bytes requests_bytes_max = 256 * base::mib; // with those that wait for the tool
constexpr std::size_t printed_bytes_max = 16 * base::mib;
constexpr base::Duration poll_every = std::chrono::milliseconds{500};
constexpr base::Duration answer_timeout = std::chrono::seconds{20}; // of one question to the service, an upload too

/// Fit to be a file of ours, and to tell the tool what it is.
std::string input_name(const AudioForm& form) { return "audio." + (form.extension.empty() ? std::string("wav") : form.extension); }

/// One sentence; empty: it can be served.
std::string fault_of(const AudioForm& form, Dialect dialect)
{
    if (!form.has_audio) {
        return "the form has no file called audio or file";
    }
    if (form.audio.empty()) {
        return "the audio file is empty";
    }
    const auto& format = form.response_format;
    const bool known = format.empty() || format == "json" || format == "verbose_json" || format == "text";
    return dialect == Dialect::openai && !known ? "response_format must be json, verbose_json or text" : std::string{};
}

ToolAnswer say_transcript(const AudioForm& form, Dialect dialect, const Transcript& transcript, base::Duration took)
{
    const bool openai = dialect == Dialect::openai;
    const bool plain = openai && form.response_format == "text";
    auto head = answer_head(200, plain ? "text/plain; charset=utf-8" : openai ? "application/json" : "application/json; charset=utf-8");
    head.fields.add("X-Transcription-Time", std::to_string(base::milliseconds(took)));
    return {std::move(head), plain ? transcript.text + "\n"
                : openai           ? openai_answer(transcript, form.response_format == "verbose_json")
                                   : transcript_answer(transcript)};
}

} // namespace

Transcriber::Transcriber(ToolDesk& desk, net::Network& network, http::Pool& pool, const MediaOptions& options)
    : desk_(desk), network_(network), pool_(pool), options_(options)
{
    if (options.transcription.model.empty()) {
        return;
    }
    const auto name = fleet::ModelName::parse(options.transcription.model);
    name_ = name.display;
    key_ = name.key;
    log::info("media", "speech_tool", {{"model", name_}});
}

void Transcriber::add_rows(std::vector<discovery::ModelFacts>& rows, const std::set<std::string>& missing) const
{
    const auto& command = options_.transcription.command;
    if (!name_.empty() && (command.empty() || !missing.contains(command.front()))) {
        rows.push_back(row_of(name_, "transcription", options_.transcription.url ? "service" : "command", options_.list_in_tags));
    }
}

bool Transcriber::may_be_asked(const proxy::Route& route, const http::RequestHead& head) const
{
    if (route.tool != fleet::Tool::speech || name_.empty()) {
        return false;
    }
    const bool large = head.framing == http::Framing::length && head.content_length > request_bytes_max;
    return route.tools_only || (!large && !head.fields.find("Content-Encoding"));
}

net::Task<std::optional<KeptBody>> Transcriber::handle(http::ServerExchange& exchange, const proxy::Route& route)
{
    if (route.tools_only && desk_.is_full(key_)) {
        co_await desk_.refuse_unread(exchange, route.dialect, base::Error{.code = base::Errc::queue_full});
        co_return std::nullopt;
    }
    auto body = co_await read_kept(exchange, kept_, {.each = request_bytes_max, .together = requests_bytes_max, .time = options_.transcription_timeout});
    if (!body) {
        co_await desk_.refuse_unread(exchange, route.dialect, body.error());
        co_return std::nullopt;
    }
    const std::string type(exchange.head().fields.find("Content-Type").value_or(""));
    const auto form = parse_audio_form(body->text, type);
    const bool ours = form && !desk_.is_taken(key_) && (form->model.empty() ? route.tools_only : fleet::ModelName::parse(form->model).key == key_);
    if (!ours && !route.tools_only) {
        co_return std::move(*body); // Ollama will see
    }
    std::string fault = !form     ? form.error()
        : desk_.is_taken(key_) ? "a model of this node's Ollama has the name of its speech tool"
        : !ours                ? "this node's speech model is another one"
                               : fault_of(*form, route.dialect);
    if (!fault.empty()) {
        co_await desk_.refuse(exchange, route.dialect, proxy::bad_request(std::move(fault)));
        co_return std::nullopt;
    }
    const ToolJob job{.key = key_, .name = std::string(proxy::short_name(name_)), .what = "transcript", .dialect = route.dialect,
                      .timeout = options_.transcription_timeout};
    const ToolDesk::Work work = [&](ToolUse& use) { return run(job, *form, *body, use); };
    co_await desk_.serve(exchange, job, work);
    co_return std::nullopt;
}

net::Task<ToolAnswer> Transcriber::run(const ToolJob& job, const AudioForm& form, KeptBody& body, ToolUse& use)
{
    const auto began = desk_.loop().now();
    const auto made = options_.transcription.url ? co_await by_service(form, use) : co_await by_command(form, use);
    body = {}; // the recording is not needed any more, however slowly the answer is read
    if (use.over()) {
        co_return ToolAnswer{};
    }
    if (!made) {
        co_return ToolDesk::failed(job, made.error().why, made.error().printed);
    }
    co_return say_transcript(form, job.dialect, *made, desk_.loop().now() - began);
}

net::Task<Transcriber::Made> Transcriber::by_command(const AudioForm& form, ToolUse& use)
{
    const auto folder = co_await PrivateFolder::make(desk_.loop(), desk_.worker());
    const auto name = input_name(form);
    if (folder == nullptr || !co_await folder->write(desk_.loop(), name, std::string(form.audio))) {
        co_return std::unexpected(Failure{.why = "the recording cannot be written to a file"});
    }
    const Values values{{"input", folder->file(name)}, {"language", form.language.empty() ? std::nullopt : std::optional(form.language)}};
    auto end = co_await desk_.run(use, {.command = fill_command(options_.transcription.command, values),
                                        .directory = folder->path(),
                                        .output_max = printed_bytes_max});
    if (!end || !end->well) {
        co_return std::unexpected(Failure{!end ? end.error().context : "it " + end->how, end ? std::move(end->errors) : std::string{}});
    }
    auto transcript = parse_transcript(end->output);
    if (!transcript) {
        co_return std::unexpected(Failure{"it printed nothing", std::move(end->errors)});
    }
    co_return std::move(*transcript);
}

/// Source: reference/parity.md 2.14, what upstream's service speaks.
net::Task<Transcriber::Made> Transcriber::by_service(const AudioForm& form, ToolUse& use)
{
    base::Rng rng(base::random_seed());
    const std::string boundary = fmt::format("herd{:016x}{:016x}", rng.next(), rng.next());
    std::string body = fmt::format("--{}\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"{}\"\r\n"
                                   "Content-Type: application/octet-stream\r\n\r\n", boundary, input_name(form));
    body.append(form.audio).append("\r\n");
    if (!form.language.empty()) {
        body += fmt::format("--{}\r\nContent-Disposition: form-data; name=\"language\"\r\n\r\n{}\r\n", boundary, form.language);
    }
    body += fmt::format("--{}--\r\n", boundary);
    auto answer = co_await ask("POST", "/transcribe", "multipart/form-data; boundary=" + boundary, std::move(body));
    if (!answer) {
        co_return std::unexpected(std::move(answer.error()));
    }
    const auto job = job_of(*answer);
    if (job.empty()) {
        co_return std::unexpected(Failure{.why = "its service took the recording and named no job"});
    }
    net::Timer timer(desk_.loop());
    while (!use.over()) {
        timer.call_after(poll_every, [&use] { use.wake.notify(); });
        co_await use.wake.wait();
        if (use.over()) {
            break;
        }
        answer = co_await ask("GET", "/jobs/" + job, {}, {});
        if (!answer) {
            co_return std::unexpected(std::move(answer.error()));
        }
        auto state = job_state_of(*answer);
        if (state.done && state.result) {
            co_return std::move(*state.result);
        }
        if (state.done) {
            co_return std::unexpected(Failure{.why = std::move(state.error)});
        }
    }
    co_return std::unexpected(Failure{});
}

net::Task<std::expected<std::string, Transcriber::Failure>> Transcriber::ask(const char* method, std::string path, std::string type, std::string body)
{
    const auto& url = *options_.transcription.url;
    const auto addresses = co_await network_.resolve(url.host, desk_.loop().now() + answer_timeout);
    if (!addresses || addresses->empty()) {
        co_return std::unexpected(Failure{.why = "its service " + url.text() + " is not found"});
    }
    http::RequestHead head;
    head.method = method;
    head.target = url.path + path;
    head.fields.add("Host", url.authority());
    if (!type.empty()) {
        head.fields.add("Content-Type", type);
    }
    if (!options_.transcription.token.empty()) {
        head.fields.add("Authorization", "Bearer " + options_.transcription.token);
    }
    http::FetchOptions limits{.timeout = answer_timeout, .body_bytes_max = printed_bytes_max};
    limits.fresh = true; // an upload cannot meet a connection that has just died
    auto answer = co_await http::fetch(desk_.loop(), pool_, {addresses->front(), url.port}, std::move(head), std::move(body), limits);
    if (!answer) {
        co_return std::unexpected(Failure{.why = "its service cannot be asked: " + answer.error().message()});
    }
    if (answer->head.status < 200 || answer->head.status > 299) {
        co_return std::unexpected(Failure{.why = fmt::format("its service answered {} to {} {}", answer->head.status, method, path)});
    }
    co_return std::move(answer->body);
}

} // namespace herd::node
