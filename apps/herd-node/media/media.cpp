#include "herd-node/media/media.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "herd-node/agent_api.hpp"
#include "herd-node/media/private_folder.hpp"
#include "net/blocking.hpp"
#include "proxy/dialect/dialect.hpp"
#include "proxy/failover.hpp"
#include "proxy/merged.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace herd::node {

namespace {

using proxy::Dialect;
using proxy::Problem;

constexpr std::size_t request_bytes_max = 8 * base::mib; // for Ollama's own image models too
constexpr std::size_t image_bytes_max = 64 * base::mib;
constexpr std::size_t line_bytes_max = 300;
constexpr const char* output_name = "image.png";

/// What a tool said last, fit to be shown.
std::string last_line(std::string_view text)
{
    text = base::trim(text);
    std::string line(text.substr(text.find_last_of("\r\n") + 1));
    line.resize(std::min(line.size(), line_bytes_max));
    std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
    return line;
}

bool wants_png(const http::RequestHead& head)
{
    return std::ranges::any_of(head.fields.list("Accept"), [](std::string_view one) { return base::iequals(one.substr(0, one.find(';')), "image/png"); });
}

} // namespace

Media::Media(net::Loop& loop, MediaOptions options, std::string_view path, Mark mark)
    : loop_(loop), options_(std::move(options)), mark_(std::move(mark)), images_(image_tools(options_, path))
{
    for (const auto& tool : images_) {
        rows_.push_back(row_of(tool.name, "image", tool.backend, options_.list_in_tags));
        log::info("media", "image_tool", {{"model", tool.name}, {"program", tool.command.front()}});
    }
}

Media::~Media() = default;

net::Blocking& Media::worker()
{
    if (!worker_) {
        worker_ = std::make_unique<net::Blocking>("media", 256);
    }
    return *worker_;
}

void Media::stop()
{
    stopping_ = true;
    for (auto& [key, line] : lines_) {
        line.stop();
    }
}

bool Media::may_be_for_tool(const proxy::Route& route, const http::RequestHead& head) const
{
    if (route.tool != fleet::Tool::image || (images_.empty() && !(route.tools_only && !options_.images))) {
        return false;
    }
    const bool large = head.framing == http::Framing::length && head.content_length > request_bytes_max;
    return route.tools_only || (!large && !head.fields.find("Content-Encoding"));
}

net::Task<std::optional<std::string>> Media::handle(http::ServerExchange& exchange, const proxy::Route& route)
{
    if (!options_.images) {
        co_await refuse(exchange, route.dialect, {503, "unavailable", "images are off at this node: [media] images = false"});
        co_return std::nullopt;
    }
    auto body = co_await exchange.read_all(request_bytes_max);
    if (!body) {
        const bool large = body.error().code == base::Errc::too_large;
        exchange.close_after();
        co_await refuse(exchange, route.dialect, large ? proxy::problem_of(base::Errc::too_large) : proxy::bad_request(body.error().message()));
        co_return std::nullopt;
    }
    const std::string model = model_of(*body);
    const auto tool = std::ranges::find(images_, fleet::ModelName::parse(model).key, &ImageTool::key);
    if (tool == images_.end() && !route.tools_only) {
        co_return std::move(*body);
    }
    if (tool == images_.end() && !model.empty()) {
        co_await refuse(exchange, route.dialect, unknown(model));
        co_return std::nullopt;
    }
    auto request = parse_image_request(*body, route.dialect);
    if (!request || tool == images_.end()) {
        co_await refuse(exchange, route.dialect, proxy::bad_request(request ? "model is required" : std::move(request.error())));
        co_return std::nullopt;
    }
    co_await make_image(exchange, *tool, std::move(*request), route.dialect);
    co_return std::nullopt;
}

/// One at a time, and not for longer than [media] image_timeout, the wait for the tool included.
net::Task<void> Media::make_image(http::ServerExchange& exchange, const ImageTool& tool, ImageRequest request, Dialect dialect)
{
    auto& line = lines_[tool.key];
    if (line.full()) {
        co_await refuse(exchange, dialect, {429, "busy", "too many requests wait for this tool", std::chrono::seconds{5}});
        co_return;
    }
    ToolUse use(loop_);
    use.stopping = stopping_;
    const ToolLine::Place place(line, use);
    exchange.on_client_gone([&use] {
        use.gone = true;
        use.end();
    });
    use.timer.call_after(options_.image_timeout, [&use] {
        use.late = true;
        use.end();
    });
    while (!place.is_first() && !use.over()) {
        co_await use.wake.wait();
    }
    if (use.over()) {
        co_await say_over(exchange, use, tool.name, dialect);
    } else {
        co_await run_image(exchange, tool, request, dialect, use);
    }
    exchange.on_client_gone(nullptr);
}

net::Task<void> Media::run_image(http::ServerExchange& exchange, const ImageTool& tool, const ImageRequest& request, Dialect dialect,
                                 ToolUse& use)
{
    const auto folder = co_await PrivateFolder::make(loop_, worker());
    if (folder == nullptr) {
        co_await refuse(exchange, dialect, {502, "node_failed", "no directory can be made for the image"});
        co_return;
    }
    const auto began = loop_.now();
    auto child = use.over() ? nullptr
                            : net::Child::start(loop_, {.command = fill_command(tool.command, request, folder->file(output_name)),
                                                        .directory = folder->path()});
    net::ChildEnd end{.how = "never began"};
    if (child && *child) {
        use.child = child->get();
        end = co_await (*child)->ended();
        use.child = nullptr;
    }
    if (use.over()) {
        co_return co_await say_over(exchange, use, tool.name, dialect);
    }
    const auto took = loop_.now() - began;
    auto png = end.well ? co_await folder->read(loop_, output_name, image_bytes_max) : std::nullopt;
    if (png && is_png(*png)) {
        co_return co_await say_image(exchange, request, dialect, std::move(*png), took);
    }
    std::string why = !child ? child.error().context : end.well ? "it wrote no PNG file" : "it " + end.how;
    log::warn("media", "tool_failed", {{"model", tool.name}, {"why", why}}); // what it printed may repeat the prompt
    if (const auto said = last_line(end.errors); !said.empty()) {
        why += ": " + said;
    }
    co_await refuse(exchange, dialect, {502, "node_failed", fmt::format("{} failed: {}", proxy::short_name(tool.name), why)});
}

/// Not served, and not for a fault of the tool.
net::Task<void> Media::say_over(http::ServerExchange& exchange, const ToolUse& use, const std::string& name, Dialect dialect)
{
    http::Fields fields;
    if (use.stopping) {
        fields.add(proxy::gateway_field, proxy::gateway_untouched);
        co_await refuse(exchange, dialect, {503, "unavailable", "this node is being shut down"}, std::move(fields));
    } else if (use.late && !use.gone) {
        fields.add(proxy::gateway_field, proxy::gateway_late);
        const auto seconds = std::chrono::duration<double>(options_.image_timeout).count();
        co_await refuse(exchange, dialect, {504, "timed_out", fmt::format("{} made no image within {:g} s", proxy::short_name(name), seconds)}, std::move(fields));
    }
}

net::Task<void> Media::say_image(http::ServerExchange& exchange, const ImageRequest& request, Dialect dialect, std::string png,
                                 base::Duration took)
{
    const bool raw = dialect == Dialect::ollama || wants_png(exchange.head());
    auto head = answer_head(200, raw ? "image/png" : "application/json");
    head.fields.add("X-Generation-Time", std::to_string(base::milliseconds(took)));
    const auto created = std::chrono::duration_cast<std::chrono::seconds>(loop_.wall().time_since_epoch()).count();
    const std::string body = raw ? std::move(png) : image_answer(png, request.prompt, created);
    co_await say(exchange, std::move(head), body);
}

net::Task<void> Media::say(http::ServerExchange& exchange, http::ResponseHead head, std::string_view body)
{
    mark_(exchange.head(), head.fields);
    (void)co_await exchange.respond(std::move(head), body);
}

net::Task<void> Media::refuse(http::ServerExchange& exchange, Dialect dialect, Problem problem, http::Fields fields)
{
    const auto text = proxy::error_text(dialect, problem);
    auto head = answer_head(problem.status, text.content_type);
    for (const auto& field : fields) {
        head.fields.add(field.name, field.value);
    }
    if (const int seconds = proxy::retry_after_seconds(problem.retry_after); seconds > 0) {
        head.fields.add("Retry-After", std::to_string(seconds));
    }
    co_await say(exchange, std::move(head), text.body);
}

Problem Media::unknown(const std::string& model) const
{
    std::string names;
    for (const auto& tool : images_) {
        names.append(names.empty() ? "" : ", ").append(proxy::short_name(tool.name));
    }
    return {404, "model_not_found", "image model '" + model + "' not found; available: " + (names.empty() ? "none" : names)};
}

} // namespace herd::node
