#include "herd-node/media/tools.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace herd::node {

namespace {

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

bool is_program(const std::string& file)
{
    std::error_code ignored; // a directory may be entered, but not run
    return std::filesystem::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
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

} // namespace

std::vector<NamedProgram> named_programs(const MediaOptions& options)
{
    std::vector<NamedProgram> programs;
    for (const auto& tool : options.image) {
        if (options.images && !tool.command.empty()) {
            programs.push_back({tool.model, tool.command.front()});
        }
    }
    if (!options.transcription.command.empty()) {
        programs.push_back({options.transcription.model, options.transcription.command.front()});
    }
    return programs;
}

bool can_run(const std::string& program, std::string_view path)
{
    if (program.find('/') != program.npos) {
        return is_program(program);
    }
    return std::ranges::any_of(base::split_list(path.empty() ? "/bin:/usr/bin" : path, ':'), [&](std::string_view directory) {
        return is_program(std::string(directory) + "/" + program);
    });
}

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
        if (can_run(known.command.front(), path)) {
            add(tools, std::move(known));
        }
    }
    return tools;
}

std::vector<std::string> fill_command(const std::vector<std::string>& command, const ImageRequest& request, const std::string& output)
{
    const auto text = [](const std::string& given) { return given.empty() ? std::nullopt : std::optional(given); };
    const auto number = [](const auto& given) { return given ? std::optional(fmt::format("{}", *given)) : std::nullopt; };
    return fill_command(command, {{"prompt", text(request.prompt)},
                                  {"negative_prompt", text(request.negative_prompt)},
                                  {"width", std::to_string(request.width)},
                                  {"height", std::to_string(request.height)},
                                  {"steps", std::to_string(request.steps)},
                                  {"quantize", std::to_string(request.quantize)},
                                  {"seed", number(request.seed)},
                                  {"guidance", number(request.guidance)},
                                  {"output", output}});
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
