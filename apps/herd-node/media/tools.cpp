#include "herd-node/media/tools.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace herd::node {

namespace {

constexpr std::array placeholders{"prompt", "negative_prompt", "width", "height", "steps", "seed", "guidance", "quantize", "output"};

/// "--name=VALUE" in one argument: a prompt that begins with a dash is no flag then.
std::vector<std::string> mflux(const char* program, const char* model)
{
    std::vector<std::string> command{program};
    if (*model != '\0') {
        command.push_back(fmt::format("--model={}", model));
    }
    for (const char* argument : {"--prompt={prompt}", "--width={width}", "--height={height}", "--steps={steps}", "--quantize={quantize}",
                                 "--output={output}", "--guidance={guidance}", "--seed={seed}", "--negative-prompt={negative_prompt}"}) {
        command.emplace_back(argument);
    }
    return command;
}

std::vector<std::string> diffusionkit(const char* version, bool t5)
{
    std::vector<std::string> command{"diffusionkit-cli", fmt::format("--model-version={}", version)};
    if (t5) {
        command.emplace_back("--t5");
    }
    for (const char* argument : {"--prompt={prompt}", "--width={width}", "--height={height}", "--steps={steps}", "--output-path={output}",
                                 "--cfg={guidance}", "--seed={seed}", "--negative_prompt={negative_prompt}"}) {
        command.emplace_back(argument);
    }
    return command;
}

/// Ollama Herd's, by the names that it gives them.
std::vector<ImageTool> well_known()
{
    return {{"z-image-turbo", {}, "mflux", mflux("mflux-generate-z-image-turbo", "")},
            {"flux-dev", {}, "mflux", mflux("mflux-generate", "dev")},
            {"flux-schnell", {}, "mflux", mflux("mflux-generate", "schnell")},
            {"sd3-medium", {}, "diffusionkit", diffusionkit("argmaxinc/mlx-stable-diffusion-3-medium", false)},
            {"sd3.5-large", {}, "diffusionkit", diffusionkit("argmaxinc/mlx-stable-diffusion-3.5-large", true)}};
}

bool is_on(std::string_view path, const std::string& program)
{
    return std::ranges::any_of(base::split_list(path, ':'), [&](std::string_view directory) {
        return ::access((std::string(directory) + "/" + program).c_str(), X_OK) == 0;
    });
}

void add(std::vector<ImageTool>& tools, ImageTool tool)
{
    const auto name = fleet::ModelName::parse(tool.name);
    tool.name = name.display;
    tool.key = name.key;
    if (name.valid && std::ranges::find(tools, tool.key, &ImageTool::key) == tools.end()) {
        tools.push_back(std::move(tool));
    }
}

/// What stands for `{name}`; nothing: the request does not say it.
std::optional<std::string> value_of(std::string_view name, const ImageRequest& request, const std::string& output)
{
    const auto text = [](const std::string& given) { return given.empty() ? std::nullopt : std::optional(given); };
    if (name == "prompt" || name == "negative_prompt") {
        return text(name == "prompt" ? request.prompt : request.negative_prompt);
    }
    if (name == "width" || name == "height") {
        return std::to_string(name == "width" ? request.width : request.height);
    }
    if (name == "steps" || name == "quantize") {
        return std::to_string(name == "steps" ? request.steps : request.quantize);
    }
    if (name == "seed") {
        return request.seed ? std::optional(std::to_string(*request.seed)) : std::nullopt;
    }
    if (name == "guidance") {
        return request.guidance ? std::optional(fmt::format("{}", *request.guidance)) : std::nullopt;
    }
    return output;
}

/// Calls `found(begin, end, name)` for each {name} that we know; what else stands in braces is the person's own.
template <class Found>
void each_placeholder(std::string_view argument, Found found)
{
    for (std::size_t at = argument.find('{'); at != argument.npos; at = argument.find('{', at + 1)) {
        const auto end = argument.find('}', at);
        const auto name = end == argument.npos ? std::string_view{} : argument.substr(at + 1, end - at - 1);
        if (std::ranges::find(placeholders, name) != placeholders.end()) {
            found(at, end + 1, name);
        }
    }
}

/// Nothing: it asks for what is not there.
std::optional<std::string> filled(const std::string& argument, const ImageRequest& request, const std::string& output)
{
    std::string out;
    std::size_t done = 0;
    bool lacking = false;
    each_placeholder(argument, [&](std::size_t begin, std::size_t end, std::string_view name) {
        const auto value = value_of(name, request, output);
        lacking = lacking || !value;
        out.append(argument, done, begin - done).append(value.value_or(""));
        done = end;
    });
    out.append(argument, done);
    // A client's text must not become a flag: no tool minds a blank before its prompt.
    const bool became_flag = out.starts_with('-') && !argument.starts_with('-');
    return lacking ? std::nullopt : std::optional(became_flag ? " " + out : out);
}

} // namespace

std::vector<ImageTool> image_tools(const MediaOptions& options, std::string_view path)
{
    std::vector<ImageTool> tools;
    if (!options.images) {
        return tools;
    }
    for (const auto& own : options.image) {
        add(tools, {own.model, {}, "command", own.command});
    }
    for (auto& known : well_known()) {
        if (is_on(path, known.command.front())) {
            add(tools, std::move(known));
        }
    }
    return tools;
}

std::string command_fault(const std::vector<std::string>& command)
{
    if (command.empty() || command.front().empty()) {
        return "needs a command: the program and its arguments, each a string of its own";
    }
    const auto has = [&](std::string_view wanted) {
        bool there = false;
        for (const auto& argument : command) {
            each_placeholder(argument, [&](std::size_t, std::size_t, std::string_view name) { there = there || name == wanted; });
        }
        return there;
    };
    return has("prompt") && has("output") ? std::string{} : "command must hold {prompt} and {output}, the file that the tool writes its PNG to";
}

std::vector<std::string> fill_command(const std::vector<std::string>& command, const ImageRequest& request, const std::string& output)
{
    std::vector<std::string> out;
    bool flag_before = false; // the last one, written as it stood there
    for (const auto& argument : command) {
        auto value = filled(argument, request, output);
        if (!value && flag_before && !argument.starts_with('-')) {
            out.pop_back();
        }
        flag_before = value && argument.starts_with('-') && *value == argument && !out.empty();
        if (value) {
            out.push_back(std::move(*value));
        }
    }
    return out;
}

discovery::ModelFacts row_of(const std::string& name, std::string_view type, std::string_view backend, bool listed)
{
    discovery::ModelFacts facts;
    facts.name = name;
    facts.modified_at = "1970-01-01T00:00:00Z"; // behind every model: clients take the first one for chats
    for (const auto byte : net::sha256("herd tool " + name)) {
        facts.digest += fmt::format("{:02x}", byte); // `ollama ls` crashes on short ones
    }
    nlohmann::ordered_json details{{"parent_model", ""}, {"format", ""}, {"family", ""}, {"families", nullptr},
                                   {"parameter_size", ""}, {"quantization_level", ""}, {"type", type}, {"backend", backend}};
    if (!listed) {
        details["listed"] = false;
    }
    const nlohmann::ordered_json row{{"name", name}, {"model", name}, {"modified_at", facts.modified_at}, {"size", 0}, {"digest", facts.digest},
                                     {"details", std::move(details)}, {"capabilities", nlohmann::ordered_json::array({type})}};
    facts.row = row.dump();
    return facts;
}

} // namespace herd::node
