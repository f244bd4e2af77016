#include "herd-node/media/image_maker.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "herd-node/agent_api.hpp"
#include "herd-node/media/private_folder.hpp"
#include "proxy/merged.hpp"

#include <algorithm>

namespace herd::node {

namespace {

using proxy::Dialect;

constexpr std::size_t request_bytes_max = 8 * base::mib; // for Ollama's own image models too
constexpr base::Bytes requests_bytes_max = 128 * base::mib;
constexpr std::size_t image_bytes_max = 64 * base::mib;
constexpr const char* output_name = "image.png";

bool wants_png(const http::RequestHead& head)
{
    return std::ranges::any_of(head.fields.list("Accept"),
                               [](std::string_view one) { return base::iequals(one.substr(0, one.find(';')), "image/png"); });
}

} // namespace

ImageMaker::ImageMaker(ToolDesk& desk, const MediaOptions& options, std::string_view path)
    : desk_(desk), options_(options), tools_(image_tools(options, path))
{
    for (const auto& tool : tools_) {
        log::info("media", "image_tool", {{"model", tool.name}, {"program", tool.command.front()}});
    }
}

void ImageMaker::add_rows(std::vector<discovery::ModelFacts>& rows, const std::set<std::string>& missing) const
{
    for (const auto& tool : tools_) {
        if (!missing.contains(tool.command.front())) {
            rows.push_back(row_of(tool.name, "image", tool.backend, options_.list_in_tags));
        }
    }
}

bool ImageMaker::may_be_asked(const proxy::Route& route, const http::RequestHead& head) const
{
    if (route.tool != fleet::Tool::image || (tools_.empty() && !(route.tools_only && !options_.images))) {
        return false;
    }
    const bool large = head.framing == http::Framing::length && head.content_length > request_bytes_max;
    return route.tools_only || (!large && !head.fields.find("Content-Encoding"));
}

net::Task<std::optional<KeptBody>> ImageMaker::handle(http::ServerExchange& exchange, const proxy::Route& route)
{
    if (!options_.images) {
        co_await desk_.refuse(exchange, route.dialect, {503, "unavailable", "images are off at this node: [media] images = false"});
        co_return std::nullopt;
    }
    auto body = co_await read_kept(exchange, kept_, {.each = request_bytes_max, .together = requests_bytes_max, .time = options_.image_timeout});
    if (!body) {
        co_await desk_.refuse_unread(exchange, route.dialect, body.error());
        co_return std::nullopt;
    }
    const std::string model = model_of(body->text);
    const auto key = fleet::ModelName::parse(model).key;
    const auto tool = desk_.is_taken(key) ? tools_.end() : std::ranges::find(tools_, key, &ImageTool::key);
    if (tool == tools_.end() && !route.tools_only) {
        co_return std::move(*body);
    }
    if (tool == tools_.end() && !model.empty()) {
        co_await desk_.refuse(exchange, route.dialect, unknown(model));
        co_return std::nullopt;
    }
    auto request = parse_image_request(body->text, route.dialect);
    if (!request || tool == tools_.end()) {
        auto fault = request ? std::string("model is required") : std::move(request.error());
        co_await desk_.refuse(exchange, route.dialect, proxy::bad_request(std::move(fault)));
        co_return std::nullopt;
    }
    *body = {}; // the wait for the tool may be long
    co_await make(exchange, *tool, *request, route.dialect);
    co_return std::nullopt;
}

net::Task<void> ImageMaker::make(http::ServerExchange& exchange, const ImageTool& tool, const ImageRequest& request, Dialect dialect)
{
    const ToolJob job{.key = tool.key, .name = std::string(proxy::short_name(tool.name)), .what = "image", .dialect = dialect,
                      .timeout = options_.image_timeout};
    const bool raw = dialect == Dialect::ollama || wants_png(exchange.head());
    const ToolDesk::Work work = [&](ToolUse& use) { return run(job, tool, request, raw, use); };
    co_await desk_.serve(exchange, job, work);
}

net::Task<ToolAnswer> ImageMaker::run(const ToolJob& job, const ImageTool& tool, const ImageRequest& request, bool raw, ToolUse& use)
{
    const auto folder = co_await PrivateFolder::make(desk_.loop(), desk_.worker());
    if (folder == nullptr) {
        co_return ToolDesk::failed(job, "no directory can be made for it", {});
    }
    const auto began = desk_.loop().now();
    const auto end = co_await desk_.run(
        use, {.command = fill_command(tool.command, request, folder->file(output_name)), .directory = folder->path()});
    if (use.over()) {
        co_return ToolAnswer{};
    }
    const auto took = desk_.loop().now() - began;
    auto png = end && end->well ? co_await folder->read(desk_.loop(), output_name, image_bytes_max) : std::nullopt;
    if (png && is_png(*png)) {
        co_return say_image(request, raw, std::move(*png), took);
    }
    co_return ToolDesk::failed(job, !end ? end.error().context : end->well ? "it wrote no PNG file" : "it " + end->how,
                               end ? std::string_view(end->errors) : std::string_view());
}

ToolAnswer ImageMaker::say_image(const ImageRequest& request, bool raw, std::string png, base::Duration took)
{
    auto head = answer_head(200, raw ? "image/png" : "application/json");
    head.fields.add("X-Generation-Time", std::to_string(base::milliseconds(took)));
    const auto created = std::chrono::duration_cast<std::chrono::seconds>(desk_.loop().wall().time_since_epoch()).count();
    return {std::move(head), raw ? std::move(png) : image_answer(png, request.prompt, created)};
}

proxy::Problem ImageMaker::unknown(const std::string& model) const
{
    std::string names;
    for (const auto& tool : tools_) {
        if (desk_.is_taken(tool.key)) {
            continue;
        }
        names.append(names.empty() ? "" : ", ").append(proxy::short_name(tool.name));
    }
    return {404, "model_not_found", "image model '" + model + "' not found; available: " + (names.empty() ? "none" : names)};
}

} // namespace herd::node
